"""What the tokens of a vocabulary stand for, for those who may not know a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenTable:
    """The bytes of every id, in order; two tables are never equal but to themselves.

    tokens: what each id adds to a text; a special one its name, an id without a token nothing.
    special_ids: markers, which no text contains. end_ids: those that end a text.
    encode: the ids that the model expects for a piece of text; if their bytes are not the text's,
    it has no such ids. None if that is not known.
    """

    tokens: tuple[bytes, ...]
    special_ids: frozenset[int]
    end_ids: tuple[int, ...]
    encode: Callable[[str], list[int]] | None = None
