"""How long a reply takes: to its first token, and per token while the model writes."""

from __future__ import annotations

import time
from collections.abc import Iterable

from nanohydra.chat.events import Timings
from nanohydra.engine import Event


class Clock:
    """Starts when it is made. What tools and slow readers take does not count as writing."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._first: float | None = None
        self._last: float | None = None  # the latest token of the round
        self.gaps: list[float] = []  # between tokens of a round, in seconds
        self._seconds = 0.0
        self._tokens = 0

    def copy(self) -> Clock:
        """A clock that started when this one did, before any token."""
        other = Clock()
        other._start = self._start
        return other

    def tick(self, events: Iterable[Event]) -> None:
        """Some tokens of a round were made."""
        for event in events:
            if event.token_id is None:
                continue
            if self._first is None:
                self._first = event.time
            # The first token of a round pays for reading the prompt: the rate leaves it out.
            if self._last is not None:
                gap = event.time - self._last
                self.gaps.append(gap)
                self._seconds += gap
                self._tokens += 1
            self._last = event.time

    def end_round(self) -> None:
        """The next token will be the first of another round."""
        self._last = None

    def timings(self) -> Timings:
        """What the clock says now."""
        now = time.perf_counter()
        return Timings(
            ttft_s=(self._first or now) - self._start,
            total_s=now - self._start,
            tokens_per_s=self._tokens / self._seconds if self._seconds else 0.0,
        )
