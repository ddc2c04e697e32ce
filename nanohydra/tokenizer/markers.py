"""Markers typed by people stay text: they are cut behind their first character.

The library looks for special tokens in the whole text, so a marker that somebody typed would
become one. Cut in two it cannot; the pieces are encoded apart and give the same text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer as Backend

ANCHOR = "\n"  # never merges with what follows it in vocabularies that put a space before a text


class Markers:
    """Texts that stand for something other than themselves; a single character is never one."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(name for name in names if len(name) > 1))
        longest = sorted(self.names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)) or "(?!)")
        self._sizes = range(1, max(map(len, self.names), default=1))
        self._heads = {name[:size] for name in self.names for size in range(1, len(name))}
        self._tails = {name[size:] for name in self.names for size in range(1, len(name))}

    def find(self, text: str) -> list[str]:
        """All markers in a text, in their order."""
        return self._pattern.findall(text)

    def cut(self, text: str) -> list[str]:
        """The text in pieces of which none holds a marker; joined, they are the text."""
        pieces, start, place = [], 0, 0
        while found := self._pattern.search(text, place):
            place = found.start() + 1
            pieces.append(text[start:place])
            start = place
        return [*pieces, text[start:]]

    def is_torn(self, text: str) -> bool:
        """Whether the text ends as a marker begins, or begins as one ends."""
        return any(text[-n:] in self._heads or text[:n] in self._tails for n in self._sizes)


class PieceEncoder:
    """Encodes pieces of one text apart, each as if it stood where it stands."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._anchor = self._ids(ANCHOR)
        probe = "a"
        self._prefixes = self._ids(ANCHOR + probe)[len(self._anchor) :] != self._ids(probe) or (
            self._ids(ANCHOR + probe)[: len(self._anchor)] != self._anchor
        )

    def encode(self, pieces: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids, and where each one's text begins and ends in the pieces joined."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        start = 0
        for piece in pieces:
            anchored = bool(ids) and self._prefixes and bool(piece)
            encoding = self._backend.encode(
                ANCHOR + piece if anchored else piece, add_special_tokens=False
            )
            skip, shift = 0, start
            if anchored and encoding.ids[: len(self._anchor)] == self._anchor:
                skip, shift = len(self._anchor), start - len(ANCHOR)
            elif anchored:  # a space too many is better than an anchor in the text
                encoding = self._backend.encode(piece, add_special_tokens=False)
            ids += encoding.ids[skip:]
            spans += [(shift + a, shift + b) for a, b in encoding.offsets[skip:]]
            start += len(piece)
        return ids, spans

    def _ids(self, text: str) -> list[int]:
        return list(self._backend.encode(text, add_special_tokens=False).ids)
