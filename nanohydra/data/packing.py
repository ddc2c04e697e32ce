"""Pieces of records into rows, by best fit from a buffer; works on lengths and never sees a token.

The idea of BOS-aligned best-fit packing is nanochat's: a row begins with the beginning of a piece
and is filled with the longest pieces that fit. Here a row begins with the piece that has waited
longest, so that no record waits for more rows than the buffer holds, and a cut loses no token: what
is left over goes back into the buffer.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nanohydra.data.config import Packing


class Piece(NamedTuple):
    """The tokens start..stop of a record of the shard with this number."""

    shard: int
    record: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.stop - self.start


class Buffer:
    """Pieces in the order of their arrival, also found by length."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._waiting: dict[int, Piece] = {}  # arrival number -> piece, oldest first
        self._by_length: list[tuple[int, int]] = []  # (length, -arrival number), sorted
        self._arrivals = 0
        for piece in pieces:
            self.add(piece)

    def __len__(self) -> int:
        return len(self._waiting)

    def pieces(self) -> list[Piece]:
        """All pieces, oldest first; `Buffer(pieces)` behaves as this one."""
        return list(self._waiting.values())

    def add(self, piece: Piece) -> None:
        """Put a piece at the end of the line."""
        self._waiting[self._arrivals] = piece
        insort(self._by_length, (piece.length, -self._arrivals))
        self._arrivals += 1

    def pop_oldest(self) -> Piece:
        """Take the piece that arrived first."""
        arrival = next(iter(self._waiting))
        key = (self._waiting[arrival].length, -arrival)
        del self._by_length[bisect_right(self._by_length, key) - 1]
        return self._waiting.pop(arrival)

    def pop_longest(self, room: int) -> Piece | None:
        """Take the longest piece of at most `room` tokens, the oldest of equals; None if none."""
        place = bisect_right(self._by_length, (room, 1)) - 1
        return self._pop(place) if place >= 0 else None

    def pop_shortest(self) -> Piece:
        """Take the shortest piece."""
        return self._pop(0)

    def _pop(self, place: int) -> Piece:
        _, arrival = self._by_length.pop(place)
        return self._waiting.pop(-arrival)


class Packer:
    """Fills rows of `row_length` tokens.

    draw: gives the next piece, of 1 to row_length tokens and with a target, or None at the end.
    has_target: whether a piece has a token that something predicts and that carries loss.
    """

    def __init__(
        self,
        draw: Callable[[], Piece | None],
        has_target: Callable[[Piece], bool],
        *,
        row_length: int,
        packing: Packing,
        buffer_size: int,
    ) -> None:
        self.buffer = Buffer()
        self.counts: Counter[str] = Counter()
        self.row_length = row_length
        self._draw = draw
        self._has_target = has_target
        self._may_cut = packing == "crop"
        self._buffer_size = buffer_size

    def next_row(self) -> list[Piece]:
        """The pieces of the next row, which has a target; [] at the end.

        "crop" fills the row to its last place as long as there are pieces.
        """
        self._fill()
        if not self.buffer:
            return []
        row = [self.buffer.pop_oldest()]
        room = self.row_length - row[0].length
        while room:
            self._fill()
            piece = self.buffer.pop_longest(room)
            if piece is None:
                if not self._may_cut or not self.buffer:
                    break
                piece = self._cut(self.buffer.pop_shortest(), room)
            row.append(piece)
            room -= piece.length
        self.counts["rows"] += 1
        self.counts["padding"] += room
        return row

    def _fill(self) -> None:
        while len(self.buffer) < self._buffer_size:
            piece = self._draw()
            if piece is None:
                return
            self.buffer.add(piece)

    def _cut(self, piece: Piece, room: int) -> Piece:
        """The first `room` tokens of a piece; the rest waits for another row."""
        middle = piece.start + room
        rest = piece._replace(start=middle)
        self.counts["cuts"] += 1
        if self._has_target(rest):
            self.buffer.add(rest)
        else:
            self.counts["dropped: rest of a cut without a target"] += 1
            self.counts["dropped tokens"] += rest.length
        return piece._replace(stop=middle)
