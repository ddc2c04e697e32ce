"""Who runs: first come, first served into a fixed number of rows; which prompt is read next.

Knows nothing of tensors or models. The sequences that decode always hold the rows 0..n-1, so that
one forward call takes them as views; those whose prompts are still being read hold the next rows.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from nanohydra.engine.request import Request
from nanohydra.engine.sampler import random_stream

if TYPE_CHECKING:
    from nanohydra.adapters.batch import ReadyAdapter
    from nanohydra.engine.prefixes import Match


@dataclass(eq=False, slots=True)
class Sequence:
    """One request under way: how much of its prompt was read, and what was generated.

    adapter: pinned until the request ends. match: where the start of the prompt is remembered.
    alone: its prompt is not read together with others, because that has failed once.
    """

    request: Request
    max_new: int
    stop_ids: frozenset[int]
    stream: random.Random
    adapter: ReadyAdapter | None = None
    num_read: int = 0
    new_ids: list[int] = field(default_factory=list)
    match: Match | None = None
    alone: bool = False

    @classmethod
    def start(
        cls, request: Request, max_length: int, adapter: ReadyAdapter | None = None
    ) -> Sequence:
        """A sequence that stops at the request's own limit or at the end of the context."""
        params = request.params
        return cls(
            request=request,
            max_new=min(params.max_tokens, max_length - len(request.prompt_ids)),
            stop_ids=frozenset(params.stop_ids),
            stream=random_stream(params.seed),
            adapter=adapter,
        )

    @property
    def held_ids(self) -> tuple[int, ...]:
        """What its row of the state has taken in: the newest token comes with the next step."""
        return (*self.request.prompt_ids[: self.num_read], *self.new_ids[:-1])

    @property
    def num_unread(self) -> int:
        """Prompt tokens that the model has not seen yet."""
        return len(self.request.prompt_ids) - self.num_read


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What a removal asks of the state: copy rows (source, target) in order, then empty one."""

    copies: tuple[tuple[int, int], ...]
    emptied: int


class Scheduler:
    """The waiting line and the rows; the index in `rows` is the row of the state."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.waiting: deque[Sequence] = deque()
        self.rows: list[Sequence] = []
        self.num_running = 0
        self._by_id: dict[str, Sequence] = {}

    @property
    def running(self) -> list[Sequence]:
        """The sequences that decode, in the order of their rows."""
        return self.rows[: self.num_running]

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request that is under way."""
        return self._by_id.get(request_id)

    @property
    def next_in_line(self) -> list[Sequence]:
        """Those that the free rows would take."""
        return list(islice(self.waiting, self.max_rows - len(self.rows)))

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the waiting line."""
        assert sequence.request.id not in self._by_id
        self._by_id[sequence.request.id] = sequence
        self.waiting.append(sequence)

    def next_to_read(self, budget: int) -> list[Sequence]:
        """The sequences whose prompts the next forward call reads; all hold rows, side by side.

        One prompt that does not fit the budget is read alone, in pieces. Shorter ones are read
        together as long as they stand next to each other in line and have the same length.
        Empty if there is nothing to read or no row is free.
        """
        reading = self.rows[self.num_running :]
        if reading:
            assert len(reading) == 1, "only a single prompt is read in pieces"
            return reading
        length = self.waiting[0].num_unread if self.waiting else 0
        while (
            self.waiting
            and len(self.rows) < self.max_rows
            and self.waiting[0].num_unread == length
            and (not reading or (len(reading) + 1) * length <= budget)
            and not (reading and (reading[0].alone or self.waiting[0].alone))
        ):
            reading.append(self.waiting.popleft())
            self.rows.append(reading[-1])
        return reading

    def read_alone(self, group: list[Sequence]) -> None:
        """Send the prompts that were being read together back to the head of the line."""
        del self.rows[self.num_running :]
        for sequence in reversed(group):
            sequence.alone, sequence.num_read = True, 0
            self.waiting.appendleft(sequence)

    def start_running(self) -> None:
        """The prompts that were being read are read: their rows join those that decode."""
        self.num_running = len(self.rows)

    def remove(self, sequence: Sequence) -> Removal | None:
        """Forget a sequence and close the hole that its row leaves; None if it held no row."""
        del self._by_id[sequence.request.id]
        if sequence not in self.rows:
            self.waiting.remove(sequence)
            return None
        copies = []
        hole = self.rows.index(sequence)
        if hole < self.num_running:
            self.num_running -= 1
            if hole < self.num_running:
                copies.append(self._move(self.num_running, hole))
            hole = self.num_running
        last = len(self.rows) - 1
        if hole < last:
            copies.append(self._move(last, hole))
        self.rows.pop()
        return Removal(copies=tuple(copies), emptied=last)

    def _move(self, source: int, target: int) -> tuple[int, int]:
        self.rows[target] = self.rows[source]
        return source, target
