"""Numbers and settings as people read them, for reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and short texts, in order."""
    if isinstance(value, Mapping) and (value or not name):
        return [row for k, v in value.items() for row in flatten(v, f"{name}.{k}" if name else k)]
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return [row for i, item in enumerate(value) for row in flatten(item, f"{name}.{i}")]
    if isinstance(value, list | tuple) and len(value) > 2 and len(set(map(str, value))) == 1:
        return [(name, f"{len(value)} x {value[0]}")]
    if name.endswith("_bytes") and isinstance(value, int | float):
        return [(name.removesuffix("_bytes"), size(value))]
    if isinstance(value, str):
        return [(name, value)]
    return [(name, json.dumps(value, ensure_ascii=False, default=str))]


def percent(share: float) -> str:
    """A share as percent with one decimal; 100% only if it is all."""
    return "100%" if share >= 1 else f"{min(100 * share, 99.9):.1f}%"


def outward(low: float, high: float) -> str:
    """An interval in percent, rounded outward: 94.97% must not look as if it met 95%."""
    return f"{math.floor(1000 * low) / 10:.1f}% to {percent(math.ceil(1000 * high) / 1000)}"


def amount(value: float) -> str:
    """A count as people say it: 950, 5,012, 48 k, 2.2 M, 1.3 B."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(value) >= scale:
            scale = 1e3 if unit == "k" else scale
            return f"{value / scale:.3g} {unit}"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.3g}"


def size(num_bytes: float) -> str:
    """Bytes in decimal units: 820 MB, 1.92 GB."""
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """A length of time: 4.2 s, 48 s, 9 min 12 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
