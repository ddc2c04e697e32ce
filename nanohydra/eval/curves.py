"""What a training run's metrics.jsonl says: curves by step and time, and a summary per stage.

Reads one JSON object a line with "step" and, where known, "stage" and "seconds"; every other
number is a curve. A line that a crash cut short is skipped; a step that was logged twice (an
interrupted run, resumed) counts once, as last written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_STAGE = "train"
POSITION = ("step", "stage", "seconds")

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a curve, placed on the whole run: stages follow each other."""

    step: float
    seconds: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the run, with where it lies on the axes of the whole run.

    seconds: None if the file does not say. tokens_per_second: over the whole stage where tokens
    and time are known, else the median of what was logged.
    """

    name: str
    steps: int
    seconds: float | None
    first_step: float
    first_second: float
    tokens: int | None = None
    tokens_per_second: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None
    last_val_loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """All curves of a run by metric name, and its stages in order."""

    curves: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

    def of(self, name: str) -> tuple[Point, ...]:
        """The curve of a metric; empty if it was not logged."""
        return self.curves.get(name, ())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; none where there is no file."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and _number(row.get("step")) is not None:
            rows.append(row)
    return rows


def trace_curves(rows: Iterable[Row]) -> Curves:
    """Curves over the whole run. Stages are placed one after another in order of appearance."""
    stages: list[Stage] = []
    curves: dict[str, list[Point]] = {}
    step_offset = seconds_offset = 0.0
    for name, stage_rows in _by_stage(rows).items():
        last_step = stage_rows[-1]["step"]
        times = _filled(_number(row.get("seconds")) for row in stage_rows)
        # A counter that starts anew is moved behind what came before; a continued one is not.
        step_start = step_offset if stage_rows[0]["step"] < step_offset else 0.0
        time_start = seconds_offset if times[0] < seconds_offset else 0.0
        for row, second in zip(stage_rows, times, strict=True):
            for key, value in row.items():
                number = _number(value)
                if key not in POSITION and number is not None:
                    place = Point(
                        step=step_start + row["step"], seconds=time_start + second, value=number
                    )
                    curves.setdefault(key, []).append(place)
        seconds = time_start + max(times) - seconds_offset
        steps = round(step_start + last_step - step_offset)
        stages.append(_stage(name, stage_rows, steps, seconds, step_offset, seconds_offset))
        step_offset, seconds_offset = step_start + last_step, time_start + max(times)
    return Curves(
        curves={name: tuple(points) for name, points in curves.items()}, stages=tuple(stages)
    )


def _stage(
    name: str, rows: Sequence[Row], steps: int, seconds: float, at_step: float, at_second: float
) -> Stage:
    losses = _values(rows, "loss")
    validation = _values(rows, "val_loss")
    totals = _values(rows, "tokens")
    speed = totals[-1] / seconds if totals and seconds else None
    speeds = _values(rows, "tokens_per_second")
    return Stage(
        name=name,
        steps=steps,
        seconds=seconds or None,
        first_step=at_step,
        first_second=at_second,
        tokens=round(totals[-1]) if totals else None,
        tokens_per_second=speed or _median(speeds),
        first_loss=losses[0] if losses else None,
        last_loss=_mean(losses[-10:]),
        last_val_loss=validation[-1] if validation else None,
    )


def _by_stage(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """Rows per stage in order of step; rows of the same step are merged, the later wins."""
    stages: dict[str, dict[float, dict[str, Any]]] = {}
    for row in rows:
        step = _number(row.get("step"))
        if step is not None:
            merged = stages.setdefault(str(row.get("stage") or DEFAULT_STAGE), {})
            merged.setdefault(step, {}).update(row)
    return {name: [by_step[step] for step in sorted(by_step)] for name, by_step in stages.items()}


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [number for row in rows if (number := _number(row.get(name))) is not None]


def _filled(values: Iterable[float | None]) -> list[float]:
    """Each value, or where it is missing the one before; 0 at the start."""
    filled = [0.0]
    for value in values:
        filled.append(filled[-1] if value is None else value)
    return filled[1:]


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None
