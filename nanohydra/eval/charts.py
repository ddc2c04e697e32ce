"""Line charts as inline SVG that stretches to its box, with labels in HTML that do not stretch.

Knows nothing of reports. Colours come from the page's CSS by class, so one drawing serves light
and dark; the points go along as JSON for the read-out under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nanohydra.core.ticks import linear_ticks, log_ticks
from nanohydra.eval.curves import Point, Stage

Axis = Literal["step", "seconds"]
MAX_POINTS = 400
LOG_FROM_RATIO = 4.0  # a curve that falls by more is drawn on a logarithmic scale


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: what it is called, its points, its CSS class, and whether to smooth it."""

    name: str
    points: tuple[Point, ...]
    style: str = "a"
    smooth: bool = False


@dataclass(frozen=True, kw_only=True)
class Label:
    """A tick or a stage name, `at` percent along its axis."""

    text: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """A drawn line: an SVG path in a box of 100 x 100, and (x, y, px, py) of its points."""

    name: str
    style: str
    path: str
    faint_path: str
    points: list[tuple[float, float, float, float]]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What the template draws; y grows downwards, as SVG has it."""

    title: str
    axis: Axis
    description: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Label, ...]
    y_ticks: tuple[Label, ...]
    stages: tuple[Label, ...]
    final: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where values lie in a box of 100 x 100."""

    left: float
    right: float
    low: float
    high: float
    log: bool

    def across(self, place: float) -> float:
        """A step or second as percent from the left."""
        return 100 * (place - self.left) / (self.right - self.left)

    def down(self, value: float) -> float:
        """A value as percent from the top."""
        if self.log:
            return 100 * (1 - math.log(value / self.low) / math.log(self.high / self.low))
        return 100 * (1 - (value - self.low) / (self.high - self.low))


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    axis: Axis,
    stages: Sequence[Stage] = (),
    label: Callable[[float], str] = lambda value: f"{value:.4g}",
    from_zero: bool = False,
    end: float = 0.0,
) -> Chart | None:
    """Draw the series that have points; None if none has two.

    The horizontal axis goes on to `end` at least, so that charts of one run line up.
    """
    series = [line for line in series if len(line.points) > 1]
    if not series:
        return None
    values = [point.value for line in series for point in line.points]
    places = [getattr(point, axis) for line in series for point in line.points]
    low, high = (0.0 if from_zero else min(values)), max(values)
    log = low > 0 and high / low > LOG_FROM_RATIO
    y_ticks = log_ticks(low, high) if log else linear_ticks(low, high)
    left = 0.0 if min(places) < 0.2 * max(places) else min(places)
    frame = Frame(
        left=left,
        right=max(*places, end, left + 1),
        low=low / 1.04 if log else min(low, *y_ticks),
        high=high * 1.04 if log else max(high, *y_ticks),
        log=log,
    )
    starts = [getattr(s, "first_step" if axis == "step" else "first_second") for s in stages]
    said = "; ".join(
        f"{one.name} from {label(one.points[0].value)} to {label(one.points[-1].value)}"
        for one in series
    )
    return Chart(
        title=title,
        axis=axis,
        description=f"{title}: {said}",
        lines=tuple(_line(one, axis, starts, frame) for one in series),
        x_ticks=_x_ticks(axis, frame),
        y_ticks=tuple(Label(text=label(tick), at=frame.down(tick)) for tick in y_ticks),
        stages=tuple(
            Label(text=stage.name, at=max(0.0, frame.across(start)))
            for stage, start in zip(stages, starts, strict=True)
        ),
        final=label(series[0].points[-1].value),
    )


def _x_ticks(axis: Axis, frame: Frame) -> tuple[Label, ...]:
    if axis == "seconds":
        ticks = [(tick, clock(tick)) for tick in time_ticks(frame.left, frame.right)]
    else:
        steps = linear_ticks(frame.left, frame.right, whole=True)
        ticks = [(tick, f"{tick:,.0f}") for tick in steps]
    return tuple(
        Label(text=text, at=frame.across(tick))
        for tick, text in ticks
        if frame.left <= tick <= frame.right
    )


def _line(series: Series, axis: Axis, starts: Sequence[float], frame: Frame) -> Line:
    """Stages are smoothed and drawn apart: nothing lies between the end of one and the next."""
    faint: list[str] = []
    bold: list[str] = []
    points: list[tuple[float, float, float, float]] = []
    for part in _parts([(getattr(p, axis), p.value) for p in series.points], starts):
        main = part
        if series.smooth and len(part) > 2:
            main = moving_average(part, max(1, len(part) // 40))
            faint.append(_path(thin(part), frame))
        main = thin(main)
        bold.append(_path(main, frame))
        points += [(x, y, round(frame.across(x), 2), round(frame.down(y), 2)) for x, y in main]
    return Line(
        name=series.name,
        style=series.style,
        path="".join(bold),
        faint_path="".join(faint),
        points=points,
    )


def _parts(
    points: Sequence[tuple[float, float]], starts: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """The points cut where a stage starts; a point on the border ends the earlier stage."""
    bounds = [*(start for start in starts if start > 0), math.inf]
    parts: list[list[tuple[float, float]]] = [[] for _ in bounds]
    for point in points:
        parts[next(i for i, bound in enumerate(bounds) if point[0] <= bound)].append(point)
    return [part for part in parts if part]


def _path(points: Sequence[tuple[float, float]], frame: Frame) -> str:
    return "M" + "L".join(f"{frame.across(x):.2f} {frame.down(y):.2f}" for x, y in points)


def thin(
    points: Sequence[tuple[float, float]], limit: int = MAX_POINTS
) -> list[tuple[float, float]]:
    """At most about `limit` points: of each bucket the lowest and the highest, and both ends.

    Spikes survive, which evenly spaced samples would lose.
    """
    if len(points) <= limit:
        return list(points)
    size = math.ceil(2 * len(points) / limit)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        bucket = range(start, min(start + size, len(points)))
        kept |= {min(bucket, key=lambda i: points[i][1]), max(bucket, key=lambda i: points[i][1])}
    return [points[index] for index in sorted(kept)]


def moving_average(points: Sequence[tuple[float, float]], radius: int) -> list[tuple[float, float]]:
    """Each value averaged with its neighbours, fewer at the ends; x stays."""
    values = [y for _, y in points]
    averaged = []
    for index, (x, _) in enumerate(points):
        reach = min(radius, index, len(points) - 1 - index)
        near = values[index - reach : index + reach + 1]
        averaged.append((x, math.fsum(near) / len(near)))
    return averaged


def time_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round times around low..high, in seconds."""
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]
    step = next((s for s in steps if (high - low) / s <= count), None)
    if step is None:
        return [tick * 86400 for tick in linear_ticks(low / 86400, high / 86400, whole=True)]
    return [index * float(step) for index in range(int(low // step), int(high // step) + 1)]


def clock(seconds: float) -> str:
    """A duration as read on an axis: 45 s, 7:30, 2:05 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s" if seconds else "0"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d}"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
