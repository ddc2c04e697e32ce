"""Guesses from the text itself: what followed the last time that its end occurred.

Prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding: answers repeat parts of
their prompts, and themselves. Earlier places are found as in LZ77 (RFC 1951, section 4): chains of
places with the same two tokens, of which the longest match counts. Adding a token takes the same
time however long the text is.
"""

from __future__ import annotations

from collections.abc import Sequence

from nanohydra.engine.speculation import Query

MAX_CHAIN = 16  # earlier places that are compared
MAX_MATCH = 32  # tokens that are compared there


class NgramIndex:
    """Where each pair of tokens of one text occurred last, and each time before."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], int] = {}
        self._before: list[int] = []  # the place with the same pair before each place, or -1

    def extend(self, ids: Sequence[int]) -> None:
        """The text has become `ids`; what was indexed of it before has not changed."""
        before, last = self._before, self._last
        for place in range(len(before), len(ids)):
            pair = (ids[place - 1], ids[place]) if place else (-1, ids[0])
            before.append(last.get(pair, -1))
            last[pair] = place

    def find(self, ids: Sequence[int]) -> int:
        """Where the longest match with the end of the text ends, the latest of equals, or -1."""
        found, longest = -1, 1
        end = len(ids) - 1
        place = self._before[end]
        for _ in range(MAX_CHAIN):
            if place < 0:
                break
            size = 2
            while size < MAX_MATCH and size <= place and ids[place - size] == ids[end - size]:
                size += 1
            if size > longest:
                found, longest = place, size
            place = self._before[place]
        return found


class NgramProposer:
    """Guesses from each text itself."""

    def start(self) -> NgramIndex:
        """As in Proposer."""
        return NgramIndex()

    def propose(self, queries: Sequence[Query]) -> list[list[int]]:
        """As in Proposer. A text that goes round in circles is continued round and round."""
        return [self._propose(query) for query in queries]

    def _propose(self, query: Query) -> list[int]:
        index, ids = query.memory, query.ids
        assert isinstance(index, NgramIndex)
        index.extend(ids)
        place = index.find(ids)
        if place < 0:
            return []
        guesses: list[int] = []
        for next_place in range(place + 1, place + 1 + query.count):
            over = next_place - len(ids)
            guesses.append(ids[next_place] if over < 0 else guesses[over])
        return guesses
