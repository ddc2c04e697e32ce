"""How often a number was how large, in the manner of Prometheus; cheap enough for every token.

One thread observes; any may read, and at worst misses the newest number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class Histogram:
    """Counts of numbers up to each bound, and their sum. The bounds rise; beyond is a last bin."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a number."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count many numbers; sorted, they are counted bound by bound."""
        ordered, before = sorted(values), 0
        for place, bound in enumerate(self.bounds):
            after = bisect_right(ordered, bound, before)
            self._counts[place] += after - before
            before = after
        self._counts[-1] += len(ordered) - before
        self.total += sum(ordered)

    def cumulative(self) -> list[int]:
        """How many numbers were at most each bound, and last how many there were."""
        counts, number = [], 0
        for count in self._counts:
            number += count
            counts.append(number)
        return counts
