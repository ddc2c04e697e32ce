"""The records of one folder of shards as pieces of at most a row, epoch after epoch.

Sampling is without replacement: an epoch is a permutation that the seed, the folder's name and the
number of the epoch alone decide, so that a position in it is all there is to remember.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.errors import UserError
from nanohydra.data.config import Packing
from nanohydra.data.packing import Piece
from nanohydra.data.shards import Shards

_BLOCK = 1024
_SHIFTED_ROWS = 8  # a document of so many rows hardly suffers from one more cut


class Stream:
    """Draws pieces from `shards`, which is number `index` among those of the run.

    seed: shuffle each epoch, endlessly; None = one epoch in stored order.
    packing "crop": a record longer than a row gives several pieces. In stored order they follow
    each other; shuffled, each is drawn for itself, because a corpus of a few long documents would
    else be read from front to back, and the cuts of a very long one move from epoch to epoch.
    packing "pad": a record longer than a row loses its end, or is dropped if no target is left.
    """

    def __init__(
        self,
        name: str,
        index: int,
        shards: Shards,
        *,
        row_length: int,
        packing: Packing,
        seed: int | None,
    ) -> None:
        if not len(shards):
            raise UserError(f"{shards.folder} has no records; prepare it from a source with text")
        self.name = name
        self.shards = shards
        self.counts: Counter[str] = Counter()
        self.epoch = 0
        self.position = 0  # items of this epoch that are drawn
        self._index = index
        self._row_length = row_length
        self._packing = packing
        self._seed = seed
        self._useful = False  # whether this epoch has given a piece
        self._block: list[tuple[int, int, int]] = []  # the next items, last first
        self._num_items = 0  # of this epoch
        self._order: NDArray[np.int64] | None = None  # of the items, None = as stored
        self._ends: NDArray[np.int64] | None = None  # items up to and with each record
        self._first = np.minimum(shards.lengths, row_length)  # tokens in a record's first item
        self._start_epoch()

    def draw(self) -> Piece | None:
        """The next piece that has a target; None when the one epoch is over.

        Raises UserError if a whole epoch gave none.
        """
        pad = self._packing == "pad"
        while True:
            if not self._block and not self._next_block():
                return None
            record, start, stop = self._block.pop()
            self.position += 1
            length = int(self.shards.lengths[record])
            if pad and stop < length:
                stop = self.shards.last_target(record, stop) + 1
            if stop - start > 1 and self.shards.has_target(record, start, stop):
                self._useful = True
                self.counts["pieces"] += 1
                if pad and stop < length:
                    self.counts["truncated"] += 1
                    self.counts["truncated tokens"] += length - stop
                elif stop < length and start == 0:
                    self.counts["split"] += 1
                return Piece(self._index, record, start, stop)
            self.counts["dropped: no target"] += 1
            self.counts["dropped tokens"] += length if pad else stop - start

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as plain JSON types."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "useful": self._useful,
            "counts": dict(self.counts),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        self.epoch = state["epoch"]
        self._start_epoch()
        self.position = state["position"]
        self._useful = state["useful"]
        self.counts = Counter(state["counts"])

    def _next_block(self) -> bool:
        """Make the next items ready, in the next epoch if need be; False at the very end."""
        if self.position >= self._num_items:
            if not self._useful:
                raise UserError(
                    f"{self.shards.folder}: no record has a target within a row of "
                    f"{self._row_length} tokens; use longer rows"
                )
            if self._seed is None:
                return False
            self.epoch += 1
            self._start_epoch()
        items = np.arange(self.position, min(self.position + _BLOCK, self._num_items))
        if self._order is not None:
            items = self._order[items]
        self._block = self._pieces(items)[::-1].tolist()  # as `pop` takes from the end
        return True

    def _start_epoch(self) -> None:
        """Lay out the items of this epoch and their order."""
        lengths, row = self.shards.lengths, self._row_length
        self.position = 0
        self._useful = False
        self._block = []
        self._num_items = len(lengths)
        rng = None
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, zlib.crc32(self.name.encode()), self.epoch])
        if self._packing == "crop" and int(lengths.max()) > row:
            long = lengths >= _SHIFTED_ROWS * row
            if rng is not None:
                self._first[long] = rng.integers(1, row + 1, int(long.sum()))
            more = -(-(lengths - self._first) // row)
            self._ends = np.cumsum(1 + more)
            self._num_items = int(self._ends[-1])
        self._order = rng.permutation(self._num_items) if rng is not None else None

    def _pieces(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Record, start and stop of each item, as rows."""
        if self._ends is None:
            starts = np.zeros_like(items)
            return np.stack([items, starts, self._first[items]], axis=1)
        records = np.searchsorted(self._ends, items, "right")
        numbers = items - np.where(records > 0, self._ends[records - 1], 0)
        stops = self._first[records] + numbers * self._row_length
        starts = np.where(numbers > 0, stops - self._row_length, 0)
        lengths = self.shards.lengths[records]
        return np.stack([records, starts, np.minimum(stops, lengths)], axis=1)
