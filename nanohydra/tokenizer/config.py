"""Which tokenizer to build, as data; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.special import MIN_VOCAB_SIZE


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """What to make from the training text.

    vocab_size: special tokens included; ignored by `characters`, which takes what it sees.
    max_characters: of text to learn merges from, taken in turn from all sources; 0 = all.

    Raises UserError for a vocabulary that cannot hold the special tokens and all 256 bytes.
    """

    kind: Literal["bpe", "characters"] = "bpe"
    vocab_size: int = 4096
    max_characters: int = 100_000_000

    def __post_init__(self) -> None:
        if self.kind not in ("bpe", "characters"):
            raise UserError(f"unknown tokenizer kind {self.kind!r}; known: bpe, characters")
        if self.kind == "bpe":
            check_vocab_size(self.vocab_size)
        if self.max_characters < 0:
            raise UserError(f"max_characters is {self.max_characters}; 0 means all, or give more")


def check_vocab_size(vocab_size: int) -> None:
    """Raise UserError if a byte-level vocabulary of this size is impossible."""
    if vocab_size < MIN_VOCAB_SIZE:
        raise UserError(
            f"vocab_size is {vocab_size}, but the special tokens and the 256 bytes alone "
            f"take {MIN_VOCAB_SIZE}; give at least that"
        )
