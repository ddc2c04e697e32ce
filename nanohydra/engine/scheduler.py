"""What runs next: who decodes, whose prompt is read, who waits, who has to give its blocks back.

Every sequence that has begun holds a row (there are `max_rows`) and blocks for all of its tokens.
Sequences are ordered by rank, which never changes: by when they came, a unit of priority counting
as `priority_seconds` of waiting, so that lower priorities go first and nobody waits for ever.
When blocks run out, the last of those that have begun gives its own back and reads its tokens
again later (preemption by recompute). Knows nothing of tensors and models.
"""

from __future__ import annotations

import time
from bisect import insort
from dataclasses import dataclass, field

from nanohydra.core.histogram import Histogram
from nanohydra.engine.blocks import BlockPool
from nanohydra.engine.config import EngineConfig
from nanohydra.engine.request import Request
from nanohydra.engine.rows import Part, Rows
from nanohydra.engine.sequence import Rank, Sequence

QUEUE_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """The next `length` unread tokens of a sequence."""

    sequence: Sequence
    length: int


@dataclass(slots=True)
class Plan:
    """A step: all rows get a token, and `pieces` are read.

    copies: blocks to copy before, from one to another, in this order.
    """

    pieces: list[Piece] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)


def rank_of(sequence: Sequence) -> Rank:
    """The order of sequences."""
    return sequence.rank


class Scheduler:
    """width: blocks of the longest sequence. pool: has blocks for at least one of that length."""

    def __init__(self, config: EngineConfig, pool: BlockPool, width: int) -> None:
        self.config = config
        self.pool = pool
        self.rows = Rows(config.max_rows, width, config.block_size)
        self.reading: list[Sequence] = []  # by rank
        self.waiting: list[Sequence] = []  # by rank
        self.num_waiting_tokens = 0
        self.queue_seconds = Histogram(QUEUE_BOUNDS)  # until a sequence first got a row
        self.num_preemptions = 0
        self.num_queries = 0  # tokens that were looked up among the known blocks, and those found
        self.num_hits = 0
        self._by_id: dict[str, list[Sequence]] = {}

    @property
    def num_active(self) -> int:
        """Sequences that hold a row."""
        return len(self.rows) + len(self.reading)

    @property
    def active(self) -> list[Sequence]:
        """Those that decode, and those whose prompts are being read."""
        return [*self.rows.sequences, *self.reading]

    def has_work(self) -> bool:
        """Whether anything is under way."""
        return bool(self._by_id)

    def find(self, request_id: str) -> tuple[Sequence, ...]:
        """The sequences of a request that is under way."""
        return tuple(self._by_id.get(request_id, ()))

    def rank(self, request: Request, arrival: float, number: int, index: int = 0) -> Rank:
        """Where a request stands that came at this time, as the number-th."""
        return (arrival + request.priority * self.config.priority_seconds, number, index)

    def add(self, sequence: Sequence) -> None:
        """Let a sequence wait for its turn."""
        self._by_id.setdefault(sequence.request.id, []).append(sequence)
        self._wait(sequence)

    def start(self, sequence: Sequence) -> None:
        """All tokens of a sequence but the newest have been read: from now on it decodes."""
        self.reading.remove(sequence)
        self.rows.add(sequence)

    def fork(self, parent: Sequence, child: Sequence) -> bool:
        """Let a sequence begin from all that another one has read, to `start` at once.

        False: no row is free, and it waits for its turn.
        """
        self._by_id[child.request.id].append(child)
        if self.num_active >= self.config.max_rows:
            self._wait(child)
            return False
        child.blocks = parent.blocks[: self._blocks_for(parent.held)]
        child.num_published = parent.num_published
        child.num_read = parent.held
        self.pool.share(child.blocks)
        if child.num_read % self.config.block_size:
            parent.shares_tail = child.shares_tail = True
        self.reading.append(child)
        return True

    def remove(self, sequence: Sequence) -> bool:
        """Forget a sequence. True if it was the last of its request."""
        self._release(sequence)
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            self.num_waiting_tokens -= len(sequence.ids)
        same = self._by_id[sequence.request.id]
        same.remove(sequence)
        if not same:
            del self._by_id[sequence.request.id]
        return not same

    def plan(self) -> Plan:
        """The next step. Makes room for a token of each row first, then reads prompts."""
        plan = Plan()
        before = self.num_preemptions
        if len(self.rows) and self.rows.room <= 0:
            for sequence in sorted(self.rows.in_need(), key=rank_of):
                if sequence.row >= 0:  # it has not given way to one before
                    self.make_room(sequence, 1, plan.copies)
        budget = self.config.prefill_tokens
        for sequence in self.reading:
            if budget > 0:
                plan.pieces.append(Piece(sequence, min(budget, sequence.num_unread)))
                budget -= plan.pieces[-1].length
        if self.num_preemptions > before:
            return plan  # whoever came in now would be the next to go
        while budget > 0 and self.waiting and self.num_active < self.config.max_rows:
            sequence = self.waiting[0]
            if not self._admit(sequence):
                break
            plan.pieces.append(Piece(sequence, min(budget, sequence.num_unread)))
            budget -= plan.pieces[-1].length
        return plan

    def parts(self, plan: Plan) -> list[Part]:
        """What every sequence brings into a step."""
        parts = [Part(sequence, sequence.ids[-1:], 1) for sequence in self.rows.sequences]
        for piece in plan.pieces:
            sequence, start = piece.sequence, piece.sequence.num_read
            ids = sequence.ids[start : start + piece.length]
            parts.append(Part(sequence, ids, int(piece.length == sequence.num_unread)))
        return parts

    def make_room(self, sequence: Sequence, count: int, copies: list[tuple[int, int]]) -> bool:
        """Blocks of its own for the next tokens of a row; False if it lost its row over it."""
        self.publish(sequence)
        if sequence.shares_tail:
            shared = sequence.blocks[-1]
            if self.pool.is_shared(shared):
                if not self._free_one(sequence):
                    return False
                if self.pool.is_shared(shared):  # who held it as well may have been preempted
                    sequence.blocks[-1] = self.pool.take()
                    self.pool.release([shared])
                    copies.append((shared, sequence.blocks[-1]))
            sequence.shares_tail = False
        while len(sequence.blocks) < self._blocks_for(sequence.held + count):
            if not self._free_one(sequence):
                return False
            sequence.blocks.append(self.pool.take())
        self.rows.update(sequence)
        return True

    def try_room(self, sequence: Sequence, count: int) -> bool:
        """Blocks for several next tokens of a row that has one for the first, if any are left."""
        missing = self._blocks_for(sequence.held + count) - len(sequence.blocks)
        if missing > self.pool.num_available:
            return False
        if missing > 0:
            sequence.blocks += [self.pool.take() for _ in range(missing)]
            self.rows.update(sequence)
        return True

    def trim(self, sequence: Sequence) -> None:
        """Give back blocks of a row that were for guesses which did not come true."""
        kept = self._blocks_for(len(sequence.ids))
        self.pool.release(sequence.blocks[kept:])
        del sequence.blocks[kept:]

    def publish(self, sequence: Sequence) -> None:
        """Make the blocks that are full and computed known, so that others can begin from them."""
        count = sequence.held // self.config.block_size
        if count <= sequence.num_published or not self.config.prefix_caching:
            return
        keys = sequence.keys_up_to(count, self.config.block_size)
        for place in range(sequence.num_published, count):
            self.pool.publish(sequence.blocks[place], keys[place])
        sequence.num_published = count

    def _admit(self, sequence: Sequence) -> bool:
        """Give the first in line a row and blocks for all its tokens, if there are enough."""
        found: list[int] = []
        total = self._blocks_for(len(sequence.ids))
        if self.config.prefix_caching:
            # At least one token is left to read: it is its logits that are asked for.
            count = (len(sequence.ids) - 1) // self.config.block_size
            found = self.pool.find(sequence.keys_up_to(count, self.config.block_size))
        # Every row may need a block soon, which would send the last that came back again.
        needed = total - len(found) + self.num_active
        if needed > self.pool.num_available - self.pool.num_idle(found):
            return False
        self.pool.share(found)
        sequence.blocks = found + [self.pool.take() for _ in range(total - len(found))]
        sequence.num_published = len(found)
        sequence.num_read = len(found) * self.config.block_size
        if sequence.num_counted < 0:
            earlier = sequence.request.priority * self.config.priority_seconds
            self.queue_seconds.observe(time.perf_counter() - sequence.rank[0] + earlier)
            self.num_queries += len(sequence.ids)
            self.num_hits += sequence.num_read
            sequence.num_counted = sequence.num_read
        self.waiting.pop(0)
        self.num_waiting_tokens -= len(sequence.ids)
        insort(self.reading, sequence, key=rank_of)
        return True

    def _free_one(self, sequence: Sequence) -> bool:
        """See to it that a block can be taken; False if the sequence itself had to give way."""
        while not self.pool.num_available:
            last = max(self.active, key=rank_of)
            self._preempt(last)
            if last is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        self._release(sequence)
        self._wait(sequence)

    def _wait(self, sequence: Sequence) -> None:
        insort(self.waiting, sequence, key=rank_of)
        self.num_waiting_tokens += len(sequence.ids)

    def _release(self, sequence: Sequence) -> None:
        """Take its row and its blocks; what they contain can be found until they are needed."""
        self.publish(sequence)
        if sequence.row >= 0:
            self.rows.remove(sequence)
        elif sequence in self.reading:
            self.reading.remove(sequence)
        self.pool.release(sequence.blocks)
        sequence.blocks, sequence.num_read, sequence.num_published = [], 0, 0
        sequence.shares_tail = False

    def _blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.config.block_size)
