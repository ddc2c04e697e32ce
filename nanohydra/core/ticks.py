"""Round numbers for the axes of charts."""

from __future__ import annotations

import math


def linear_ticks(low: float, high: float, *, count: int = 4, whole: bool = False) -> list[float]:
    """About `count` round numbers around low..high, the first at or below low."""
    if high - low < 1e-12 * max(1.0, abs(low), abs(high)):
        high = low + max(abs(low), 1.0)
    step = _round_step((high - low) / count)
    step = max(1.0, step) if whole else step
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers of the row 1, 1.5, 2, 3, 5, 7, 10, ... that lie between low and high."""
    assert 0 < low < high
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    row = [float(f"{digit}e{exponent}") for exponent in exponents for digit in (1, 1.5, 2, 3, 5, 7)]
    inside = [tick for tick in row if low <= tick <= high]
    return inside if len(inside) <= 7 else inside[:: math.ceil(len(inside) / 6)]


def _round_step(step: float) -> float:
    """The nearest of 1, 2, 2.5, 5 times a power of ten that is not below 0.7 of `step`."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= 0.7 * step)
