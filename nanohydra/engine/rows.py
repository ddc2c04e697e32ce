"""The sequences that decode, as arrays that change only where one comes, goes or grows.

In a step in which all of them get one more token nothing is laid out anew: the last step's tokens
are the next step's input, and every length is one more.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nanohydra.engine.batch import FlatBatch
from nanohydra.engine.sequence import Sequence

if TYPE_CHECKING:
    from nanohydra.adapters.batch import ReadyAdapter
    from nanohydra.engine.sampling.state import SampleState


@dataclass(frozen=True, slots=True)
class Part:
    """What one sequence brings into a step: new tokens, and how many of the last ask for logits.

    Of a row that decodes all do: its newest token, and what was guessed to follow it.
    """

    sequence: Sequence
    ids: list[int]
    num_wanted: int


class Rows:
    """Sequences 0 to n - 1. width: blocks that a table has room for."""

    def __init__(self, max_rows: int, width: int, block_size: int) -> None:
        self.block_size = block_size
        self.sequences: list[Sequence] = []
        self.room = 0  # steps until a row needs a block
        self._ids = np.zeros(max_rows, np.int32)
        self._held = np.zeros(max_rows, np.int32)
        self._capacity = np.zeros(max_rows, np.int32)
        self._tables = np.zeros((max_rows, width), np.int32)
        self._count = np.arange(max_rows + 1, dtype=np.int32)
        self._batch: FlatBatch | None = None
        self._states: tuple[SampleState, ...] = ()
        self._adapters: tuple[ReadyAdapter | None, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def states(self) -> tuple[SampleState, ...]:
        """What the sampler keeps of each row; the same tuple while the rows are the same."""
        self._lay_out()
        return self._states

    def add(self, sequence: Sequence) -> None:
        """Let a sequence decode; all its tokens but the newest must be held."""
        sequence.row = len(self.sequences)
        self.sequences.append(sequence)
        self._batch = None
        self.update(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out; the last row takes its place."""
        sequence.num_read = sequence.held
        hole, sequence.row = sequence.row, -1
        last = self.sequences.pop()
        if last is not sequence:
            self.sequences[hole] = last
            last.row = hole
            for array in (self._ids, self._held, self._capacity, self._tables):
                array[hole] = array[len(self.sequences)]
        self._batch = None
        self._measure()

    def update(self, sequence: Sequence) -> None:
        """Lay out a row whose blocks or tokens have changed."""
        row, blocks = sequence.row, sequence.blocks
        self._ids[row] = sequence.ids[-1]
        self._held[row] = sequence.held
        self._tables[row, : len(blocks)] = blocks
        # A block that others hold too must not be written to, so it counts as full.
        self._capacity[row] = 0 if sequence.shares_tail else len(blocks) * self.block_size
        self._measure()

    def in_need(self) -> list[Sequence]:
        """Those that have no place for their next token."""
        count = len(self.sequences)
        places = np.flatnonzero(self._held[:count] >= self._capacity[:count])
        return [self.sequences[place] for place in places]

    def batch(self) -> FlatBatch:
        """One token of each."""
        return self._lay_out()

    def advance(self, tokens: Items[int]) -> None:
        """Every row has taken its token in and got another one, in the order of the rows."""
        count = len(tokens)
        self._ids[:count] = tokens
        self._held[:count] += 1
        self.room -= 1

    def refresh(self) -> None:
        """Lay out all tokens and lengths again, after a step that gave rows any number of them."""
        count, size = len(self.sequences), self.block_size
        self._ids[:count] = [sequence.ids[-1] for sequence in self.sequences]
        self._held[:count] = [len(sequence.ids) - 1 for sequence in self.sequences]
        self._capacity[:count] = [
            0 if sequence.shares_tail else len(sequence.blocks) * size
            for sequence in self.sequences
        ]
        self._measure()

    def join(self, parts: Items[Part]) -> FlatBatch:
        """A batch of several tokens for some; `parts` begins with all rows, in their order.

        Or it is a part of a single sequence, wherever that stands.
        """
        count = len(parts)
        tables = self._tables[:count] if count > 1 else np.zeros_like(self._tables[:1])
        ids: list[int] = []
        starts, wanted = [0], list[int]()
        for place, part in enumerate(parts):
            blocks = part.sequence.blocks
            if count == 1 or part.sequence.row != place:
                tables[place, : len(blocks)] = blocks
            ids += part.ids
            starts.append(len(ids))
            wanted += range(len(ids) - part.num_wanted, len(ids))
        return FlatBatch(
            ids=np.array(ids, np.int32),
            starts=np.array(starts, np.int32),
            held=np.array([part.sequence.held for part in parts], np.int32),
            tables=tables,
            wanted=np.array(wanted, np.int32) if wanted else self._count[:0],
            adapters=tuple(part.sequence.adapter for part in parts),
        )

    def _lay_out(self) -> FlatBatch:
        if self._batch is None:
            count = len(self.sequences)
            self._states = tuple(sequence.state for sequence in self.sequences)
            self._batch = FlatBatch(
                ids=self._ids[:count],
                starts=self._count[: count + 1],
                held=self._held[:count],
                tables=self._tables[:count],
                wanted=self._count[:count],
                adapters=tuple(sequence.adapter for sequence in self.sequences),
            )
        return self._batch

    def _measure(self) -> None:
        count = len(self.sequences)
        if count:
            self.room = int((self._capacity[:count] - self._held[:count]).min())
