"""Which chat format a tokenizer has: its own layout, its template, or plain labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.tokenizer.chat import ChatFormat
from nanohydra.tokenizer.plain import PlainChat
from nanohydra.tokenizer.template import OwnChat
from nanohydra.tokenizer.templated import TemplateChat

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer


def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    """The format of the model that a tokenizer belongs to."""
    if tokenizer.native:
        return OwnChat(tokenizer)
    if tokenizer.files.templates:
        return TemplateChat(tokenizer)
    return PlainChat(tokenizer)
