"""Guessing the next tokens, so that one forward call can confirm several of them.

The engine verifies: it draws a token at every guessed place as it would have anyway, and keeps
them as long as each equals its guess (arXiv 2211.17192, with guesses that are certain). The text
is therefore the same with and without. What guesses bring depends on text and machine, so both
are measured while it runs, and whoever does not gain is left alone for a while.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Protocol

from nanohydra.engine.rows import Part
from nanohydra.engine.sampler import Sampler
from nanohydra.engine.scheduler import Scheduler
from nanohydra.engine.sequence import Sequence

FORGET = 0.9  # how much of what was seen still counts one guess later
MIN_PATIENCE, MAX_PATIENCE = 16, 512  # tokens between attempts of a text that does not gain
PROBE = 3  # tokens of such an attempt
NUM_PLAIN = 2  # steps of a number of rows whose time is taken before guessing begins
REFRESH = 64  # steps with guesses between such steps later on
UNKNOWN_COST = 0.25
MARGIN = 1.25  # by which a guess has to be likelier than it costs, as both are estimates
WEIGHT = 2.0  # of what other texts have shown, in guesses, for a text that begins


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for `count` tokens behind `ids`, a text of which `memory` knows the beginning."""

    memory: object
    ids: Items[int]
    count: int


class Proposer(Protocol):
    """Guesses how texts go on."""

    def start(self) -> object:
        """What is remembered of one text between two calls."""

    def propose(self, queries: Items[Query]) -> list[list[int]]:
        """Up to `count` tokens for each text; none where there is no idea."""


@dataclass(slots=True)
class Costs:
    """What steps take, by the number of rows, in seconds: exponential means."""

    plain: dict[int, float] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    guess: float | None = None  # one more guessed token in a step
    since_plain: int = 0

    def measure(self, num_rows: int, num_guesses: int, seconds: float) -> None:
        """A step of nothing but rows has taken this long, guessing included."""
        if num_guesses == 0:
            self.plain[num_rows] = _mean(self.plain.get(num_rows), seconds)
            self.seen[num_rows] = self.seen.get(num_rows, 0) + 1
            self.since_plain = 0
            return
        self.since_plain += 1
        if (plain := self.plain.get(num_rows)) is not None:
            self.guess = _mean(self.guess, max(seconds - plain, 0.0) / num_guesses)

    def wants_plain(self, num_rows: int) -> bool:
        """Whether a step without guesses is due, to compare with."""
        return self.seen.get(num_rows, 0) < NUM_PLAIN or self.since_plain >= REFRESH

    def relative(self, num_rows: int) -> float:
        """What a guessed token takes, as a share of what a token takes without guessing."""
        plain = self.plain.get(num_rows)
        if plain is None or self.guess is None:
            return UNKNOWN_COST
        return self.guess * num_rows / plain


@dataclass(slots=True)
class Track:
    """How guessing has gone for one sequence.

    kept, tried: guessed tokens that came true, and those that could have, both decaying.
    resume: while it does not pay, the length at which it is tried again, and else 0.
    patience: tokens from one such attempt to the next.
    """

    memory: object
    kept: float = WEIGHT / 2
    tried: float = WEIGHT
    resume: int = 0
    patience: int = MIN_PATIENCE

    @property
    def chance(self) -> float:
        """That a guess comes true if those before it did."""
        return min(max(self.kept / self.tried, 1e-3), 0.99)

    def count(self, cost: float, length: int, most: int) -> int:
        """How many tokens to guess at this length of the text.

        As long as a token is likelier to be right than it costs; where not even the first one
        is, a few after a while, in case the text has changed.
        """
        if length < self.resume:
            return 0
        cost = max(cost * MARGIN, 1e-3)
        count = 0 if cost >= 1 else int(math.log(cost) / math.log(self.chance))
        if count:
            self.resume, self.patience = 0, MIN_PATIENCE
        elif self.resume:
            count = PROBE
        else:
            self.resume = length + self.patience
        return min(count, most)

    def judge(self, num_guesses: int, num_right: int, length: int) -> None:
        """So many of the guesses came true, up to this length."""
        self.kept = self.kept * FORGET + num_right
        self.tried = self.tried * FORGET + num_right + (num_right < num_guesses)
        if self.resume:
            self.patience = min(2 * self.patience, MAX_PATIENCE)
            self.resume = length + self.patience


@dataclass(slots=True)
class DraftCounts:
    """How often was guessed, how many tokens, and how many of those were right."""

    drafts: int = 0
    tokens: int = 0
    accepted: int = 0


class Speculator:
    """Decides who guesses how much, and measures what comes of it.

    Where texts do not gain, a new one waits for as long as the others do by now, so that many
    short texts do not each make attempts of their own; one of them may try sooner every now and
    then, in case texts have changed.

    num_guesses: tokens guessed for a sequence in one step at most. max_tokens: for all of them.
    """

    def __init__(
        self,
        proposer: Proposer,
        sampler: Sampler,
        *,
        num_guesses: int,
        max_tokens: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.proposer = proposer
        self.sampler = sampler
        self.num_guesses = num_guesses
        self.max_tokens = max_tokens
        self.clock = clock
        self.counts = DraftCounts()
        self.costs = Costs()
        self.overall = Track(None)
        self.patience = MIN_PATIENCE  # of all texts together
        self._passed = 0  # tokens since a text was let try sooner
        self._tracks: dict[Sequence, Track] = {}
        self._num_guessed = 0

    def parts(self, scheduler: Scheduler) -> list[Part]:
        """What the rows bring into a step; empty where nothing is guessed for any of them."""
        rows = scheduler.rows.sequences
        self._num_guessed = 0
        if self.costs.wants_plain(len(rows)):
            return []
        queries = self._queries(rows)
        if not queries:
            return []
        guesses = self.proposer.propose(list(queries.values()))
        own: dict[Sequence, list[int]] = {}
        for sequence, ids in zip(queries, guesses, strict=True):
            possible = ids[: self.sampler.count_possible(sequence.state, ids)] if ids else []
            if possible and scheduler.try_room(sequence, 1 + len(possible)):
                own[sequence] = possible
                self._num_guessed += len(possible)
        if not own:
            return []
        parts = [[sequence.ids[-1], *own.get(sequence, ())] for sequence in rows]
        return [Part(row, ids, len(ids)) for row, ids in zip(rows, parts, strict=True)]

    def observe(self, num_rows: int, started: float) -> None:
        """A step of nothing but rows that began at this time has ended."""
        self.costs.measure(num_rows, self._num_guessed, self.clock() - started)

    def judge(self, sequence: Sequence, num_guesses: int, num_right: int) -> None:
        """So many of a row's guesses came true."""
        track = self._tracks[sequence]
        track.judge(num_guesses, num_right, len(sequence.ids))
        self.patience = max(self.patience, track.patience) if track.resume else MIN_PATIENCE
        self.overall.judge(num_guesses, num_right, 0)
        self.counts.drafts += 1
        self.counts.tokens += num_guesses
        self.counts.accepted += num_right

    def _queries(self, rows: Items[Sequence]) -> dict[Sequence, Query]:
        """What to ask for."""
        if len(self._tracks) > 2 * len(rows) + 32:  # most of them have ended
            self._tracks = {row: self._tracks[row] for row in rows if row in self._tracks}
        cost, left = self.costs.relative(len(rows)), self.max_tokens
        self._passed += len(rows)
        queries = {}
        for row in rows:
            track = self._tracks.get(row)
            if track is None:
                chance = self.overall.chance
                sooner = self._passed >= self.patience
                track = Track(
                    self.proposer.start(), kept=WEIGHT * chance, tried=WEIGHT,
                    patience=MIN_PATIENCE if sooner else self.patience,
                )  # fmt: skip
                self._tracks[row] = track
                self._passed = 0 if sooner else self._passed
            # The token that is drawn behind the last guess has to fit as well.
            most = min(self.num_guesses, row.max_ids - len(row.ids) - 1, left)
            count = track.count(cost, len(row.ids), most)
            if count > 0:
                queries[row] = Query(track.memory, row.ids, count)
                left -= count
        return queries


def _mean(old: float | None, new: float) -> float:
    """A mean that follows; one outlier, such as a step that was interrupted, moves it little."""
    return new if old is None else 0.8 * old + 0.2 * min(new, 3 * old)
