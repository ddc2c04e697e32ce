"""Text to tokens: BPE training, special tokens, the chat template (messages to ids and mask)."""

from nanohydra.tokenizer.config import TokenizerConfig
from nanohydra.tokenizer.inspect import DomainReport, inspect
from nanohydra.tokenizer.special import SPECIAL_TOKENS
from nanohydra.tokenizer.stream import StreamDecoder
from nanohydra.tokenizer.template import (
    CHAT_TEMPLATE,
    Rendered,
    format_call,
    parse_assistant,
    parse_call,
    render,
)
from nanohydra.tokenizer.tokenizer import Tokenizer

__all__ = [
    "CHAT_TEMPLATE",
    "DomainReport",
    "Rendered",
    "SPECIAL_TOKENS",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerConfig",
    "format_call",
    "inspect",
    "parse_assistant",
    "parse_call",
    "render",
]
