"""Median and tails of a few numbers."""

from __future__ import annotations

from collections.abc import Sequence

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99, each a value that occurred; None where there are no values."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(SHARES)
    last = len(ordered) - 1
    return {name: ordered[min(last, int(share * len(ordered)))] for name, share in SHARES.items()}
