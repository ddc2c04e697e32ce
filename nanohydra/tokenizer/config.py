"""Which tokenizer to build, as data; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.special import MIN_VOCAB_SIZE


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """`vocab_size` counts special tokens and is ignored by `characters`, which takes what it sees.

    Raises UserError for a vocabulary that cannot hold the special tokens and all 256 bytes.
    """

    kind: Literal["bpe", "characters"] = "bpe"
    vocab_size: int = 4096

    def __post_init__(self) -> None:
        if self.kind not in ("bpe", "characters"):
            raise UserError(f"unknown tokenizer kind {self.kind!r}; known: bpe, characters")
        if self.kind == "bpe":
            check_vocab_size(self.vocab_size)


def check_vocab_size(vocab_size: int) -> None:
    """Raise UserError if a byte-level vocabulary of this size is impossible."""
    if vocab_size < MIN_VOCAB_SIZE:
        raise UserError(
            f"vocab_size is {vocab_size}, but the special tokens and the 256 bytes alone "
            f"take {MIN_VOCAB_SIZE}; give at least that"
        )
