"""Text to tokens: any tokenizer, training one, and chat formats (messages to ids and mask)."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.tokenizer.config import TokenizerConfig
from nanohydra.tokenizer.special import SPECIAL_TOKENS

if TYPE_CHECKING:
    from nanohydra.tokenizer.chat import ChatFormat, ChatTool, Rendered
    from nanohydra.tokenizer.inspection import SAMPLES, DomainReport, inspect
    from nanohydra.tokenizer.stream import StreamDecoder
    from nanohydra.tokenizer.template import (
        CHAT_TEMPLATE,
        format_call,
        parse_assistant,
        parse_call,
        record_texts,
        render,
    )
    from nanohydra.tokenizer.tokenizer import Tokenizer

__all__ = [
    "CHAT_TEMPLATE",
    "SAMPLES",
    "SPECIAL_TOKENS",
    "ChatFormat",
    "ChatTool",
    "DomainReport",
    "Rendered",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerConfig",
    "format_call",
    "inspect",
    "parse_assistant",
    "parse_call",
    "record_texts",
    "render",
]
_TEMPLATE = "nanohydra.tokenizer.template"
__getattr__ = lazy_names(
    __name__,
    {
        "CHAT_TEMPLATE": _TEMPLATE,
        "DomainReport": "nanohydra.tokenizer.inspection",
        "ChatFormat": "nanohydra.tokenizer.chat",
        "ChatTool": "nanohydra.tokenizer.chat",
        "Rendered": "nanohydra.tokenizer.chat",
        "SAMPLES": "nanohydra.tokenizer.inspection",
        "StreamDecoder": "nanohydra.tokenizer.stream",
        "Tokenizer": "nanohydra.tokenizer.tokenizer",
        "format_call": _TEMPLATE,
        "inspect": "nanohydra.tokenizer.inspection",
        "parse_assistant": _TEMPLATE,
        "parse_call": _TEMPLATE,
        "record_texts": _TEMPLATE,
        "render": _TEMPLATE,
    },
)
