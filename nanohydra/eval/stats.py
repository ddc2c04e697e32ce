"""Intervals: how far a measured share or ratio may lie from the truth.

Knows nothing of models. Wilson's score interval for shares (Wilson 1927; it stays inside 0..1 and
is sound at 0% and 100%), the linearised ratio estimator for sums over documents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054  # two-sided 95% of the normal distribution


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95% confidence interval."""

    low: float
    high: float


def wilson(successes: float, trials: int, z: float = Z95) -> Interval:
    """Wilson's interval of a share. `successes` may be fractional; no trials say nothing."""
    assert 0 <= successes <= max(trials, 0), f"{successes} successes of {trials} trials"
    if trials == 0:
        return Interval(low=0.0, high=1.0)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # Rounding must not push an end past the share itself, as it would at 0% and 100%.
    return Interval(
        low=min(share, max(0.0, (centre - spread) / scale)),
        high=max(share, min(1.0, (centre + spread) / scale)),
    )


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], z: float = Z95
) -> Interval | None:
    """Interval of sum(numerators) / sum(denominators) over independent documents.

    Cochran, Sampling Techniques, 6.4. None where fewer than two documents leave no spread to see.
    """
    count = len(numerators)
    total = math.fsum(denominators)
    if count < 2 or total <= 0:
        return None
    ratio = math.fsum(numerators) / total
    residuals = [n - ratio * d for n, d in zip(numerators, denominators, strict=True)]
    variance = math.fsum(r * r for r in residuals) * count / (count - 1)
    spread = z * math.sqrt(variance) / total
    return Interval(low=ratio - spread, high=ratio + spread)
