"""How long a reply takes: to its first token, and per token while the model writes."""

from __future__ import annotations

import time

from nanohydra.chat.events import Timings


class Clock:
    """When the tokens of a reply arrived."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.first: float | None = None
        self._round_start: float | None = None
        self._seconds = 0.0
        self._tokens = 0

    def tick(self, num_tokens: int) -> None:
        """Some tokens have arrived."""
        now = time.perf_counter()
        if self.first is None:
            self.first = now
        if self._round_start is None:
            # The first token of a round pays for reading the prompt; the rate leaves it out.
            self._round_start, num_tokens = now, num_tokens - 1
        self._tokens += num_tokens
        self._last = now

    def end_round(self) -> None:
        """The round is over; what a tool takes does not count."""
        if self._round_start is not None:
            self._seconds += self._last - self._round_start
        self._round_start = None

    def timings(self) -> Timings:
        """What the clock says now."""
        now = time.perf_counter()
        return Timings(
            ttft_s=(self.first or now) - self.start,
            total_s=now - self.start,
            tokens_per_s=self._tokens / self._seconds if self._seconds else 0.0,
        )
