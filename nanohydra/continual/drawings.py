"""Forgetting curves, matrices and scatter plots as geometry for a page: percent in a box.

Colours come from the page's CSS by class: each strategy has a number, and the page a colour for
each number. Knows nothing of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nanohydra.continual.figures import (
    BOUNDS,
    Figures,
    bytes_text,
    lost_text,
    lost_unit,
    score_text,
)
from nanohydra.continual.results import Results
from nanohydra.core.ticks import linear_ticks, log_ticks

NUM_COLOURS = 8
EDGE, WIDE_EDGE = 5.0, 10.0  # percent between the frame and the outermost points
Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Label:
    """A tick, `at` percent along its axis."""

    text: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A measured point with what is said of it. side: where its name has room."""

    x: float
    y: float
    title: str
    style: str
    name: str = ""
    side: str = "right"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What the template draws; y grows downwards. paths: (strategy, style, path)."""

    title: str
    description: str
    x_ticks: tuple[Label, ...]
    y_ticks: tuple[Label, ...]
    x_title: str = ""
    paths: tuple[tuple[str, str, str], ...] = ()
    dots: tuple[Dot, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a matrix. strength: 0 as bad as any on this task, 1 as good as the best."""

    text: str
    title: str
    strength: float | None
    own: bool


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The matrix R of a strategy as rows of cells."""

    name: str
    style: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def styles(names: Sequence[str]) -> dict[str, str]:
    """A CSS class for each strategy: bounds apart, the others by number, dashed from the ninth."""
    found, number = {}, 0
    for name in names:
        if name in BOUNDS:
            found[name] = name
        else:
            again = " again" if number >= NUM_COLOURS else ""
            found[name] = f"s{number % NUM_COLOURS}{again}"
            number += 1
    return found


def forgetting_curves(results: Results, found: Sequence[Figures]) -> list[Plot]:
    """A plot for each task but the last: its score from its learning on, a line a strategy.

    What was before is in the matrices; here it would press together what matters.
    """
    look = styles([f.name for f in found])
    plots = (_curve(results, found, task, look) for task in range(len(results.tasks) - 1))
    return [plot for plot in plots if plot is not None]


def _curve(
    results: Results, found: Sequence[Figures], task: int, look: dict[str, str]
) -> Plot | None:
    metric, name = results.metrics[task], results.tasks[task]
    after = results.tasks[task:]
    places = [WIDE_EDGE + (100 - 2 * WIDE_EDGE) * t / (len(after) - 1) for t in range(len(after))]
    columns = {f.name: [row[task] for row in f.R[task + 1 :]] for f in found}
    known = [score for column in columns.values() for score in column if score is not None]
    if not known:
        return None
    down, ticks = _score_axis(known, metric)
    paths, dots = [], []
    for f in reversed(found):  # the first strategies lie on top
        column = columns[f.name]
        points = [
            None if score is None else (x, down(score))
            for x, score in zip(places, column, strict=True)
        ]
        paths.append((f.name, look[f.name], _path(points)))
        for point, score, when in zip(points, column, after, strict=True):
            if point is not None:
                title = f"{f.name}, after {when}: {score_text(score, metric)}"
                dots.append(
                    Dot(x=point[0], y=point[1], style=look[f.name], name=f.name, title=title)
                )
    ends = "; ".join(f"{f.name} ends at {score_text(f.R[-1][task], metric)}" for f in found)
    what = "Right answers" if metric == "accuracy" else "Perplexity"
    return Plot(
        title=f"{what} on {name}",
        description=f"{what} on {name} from its learning on: {ends}",
        x_ticks=tuple(
            Label(text=text, at=place) for text, place in zip(after, places, strict=True)
        ),
        y_ticks=ticks,
        x_title="after this was learned",
        paths=tuple(paths),
        dots=tuple(dots),
    )


def _score_axis(
    scores: Sequence[float], metric: str
) -> tuple[Callable[[float], float], tuple[Label, ...]]:
    """Where a score lies, and round numbers: perplexities on a logarithmic scale, or shares."""
    if metric == "accuracy":
        return lambda score: 100 * (1 - score), tuple(
            Label(text=f"{share}%", at=100.0 - share) for share in (0, 25, 50, 75, 100)
        )
    low, high = min((-s for s in scores), default=0.0), max((-s for s in scores), default=1.0)
    low, high = low - 0.06 * (high - low) - 1e-3, high + 0.06 * (high - low) + 1e-3

    def down(score: float) -> float:
        return 100 * (high + score) / (high - low)

    ticks = log_ticks(math.exp(min(low, 600)), math.exp(min(high, 600)))
    if len(ticks) < 3:  # within a narrow range no number of the coarse row may lie
        near = linear_ticks(math.exp(low), math.exp(high))
        ticks = [tick for tick in near if math.exp(low) <= tick <= math.exp(high)]
    return down, tuple(Label(text=f"{tick:,.4g}", at=down(-math.log(tick))) for tick in ticks)


def _path(points: Sequence[Place | None]) -> str:
    """A line through neighbours; where one was not evaluated there is a gap."""
    path, pen = "", "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        path += f"{pen}{point[0]:.2f} {point[1]:.2f}"
        pen = "L"
    return path


def matrices(results: Results, found: Sequence[Figures]) -> list[Matrix]:
    """All strategies' matrices, with one scale of colour for each task."""
    look = styles([f.name for f in found])
    columns = []
    for task in range(len(results.tasks)):
        known = [s for f in found for row in f.R if (s := row[task]) is not None]
        columns.append((min(known), max(known)) if known else (0.0, 0.0))
    after = ["base", *results.tasks]
    made = []
    for f in found:
        rows = []
        for t, row in enumerate(f.R):
            cells = []
            for i, score in enumerate(row):
                low, high = columns[i]
                span = (high - low) or 1.0
                said = score_text(score, results.metrics[i])
                when = "before learning" if t == 0 else f"after {after[t]}"
                title = f"{results.tasks[i]} {when}: " + (
                    "not evaluated" if score is None else said
                )
                strength = None if score is None else (score - low) / span
                cells.append(Cell(text=said, title=title, strength=strength, own=t == i + 1))
            rows.append((after[t], tuple(cells)))
        made.append(Matrix(name=f.name, style=look[f.name], rows=tuple(rows)))
    return made


def memory_plot(results: Results, found: Sequence[Figures]) -> Plot | None:
    """What is kept beside one model against what is forgotten; None if nothing is known."""
    unit = lost_unit(results)
    known = [f for f in found if f.lost is not None]
    if not known:
        return None
    sizes = [f.bytes_beside for f in known if f.bytes_beside]
    across, x_ticks = _bytes_axis(sizes)
    down, y_ticks = _lost_axis([f.lost.mean for f in known if f.lost], unit)
    return _scatter(
        "Memory and forgetting",
        "kept beside one model",
        known,
        x=[across(f.bytes_beside) for f in known],
        y=[down(f.lost.mean) for f in known if f.lost],
        said=[
            f"{bytes_text(f.bytes_beside)}, {lost_text(f.lost.mean if f.lost else None, unit)}"
            for f in known
        ],
        ticks=(x_ticks, y_ticks),
        look=styles([f.name for f in found]),
    )


def learning_plot(results: Results, found: Sequence[Figures]) -> Plot | None:
    """How well each task was learned against what was forgotten of it; None if nothing is known."""
    unit = lost_unit(results)
    known = [f for f in found if f.lost is not None and f.learned is not None]
    if not known or len(set(results.metrics)) > 1:
        return None
    metric = results.metrics[0]
    scores = [f.learned for f in known if f.learned is not None]
    axis, ticks = _score_axis(scores, metric)
    if metric == "accuracy":
        low, high = min(scores), max(scores)
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
        axis = lambda score: 100 * (high - score) / (high - low)  # noqa: E731
        ticks = tuple(
            Label(text=f"{100 * tick:.4g}%", at=axis(tick))
            for tick in linear_ticks(low, high)
            if low <= tick <= high
        )
    down, y_ticks = _lost_axis([f.lost.mean for f in known if f.lost], unit)
    return _scatter(
        "Learning and forgetting",
        "just after learning, mean of the tasks; better to the right",
        known,
        x=[_inner(100 - axis(score)) for score in scores],
        y=[down(f.lost.mean) for f in known if f.lost],
        said=[
            f"learned to {score_text(f.learned, metric)}, "
            f"{lost_text(f.lost.mean if f.lost else None, unit)}"
            for f in known
        ],
        ticks=(tuple(Label(text=t.text, at=_inner(100 - t.at)) for t in ticks), y_ticks),
        look=styles([f.name for f in found]),
    )


def _scatter(
    title: str,
    x_title: str,
    known: Sequence[Figures],
    *,
    x: Sequence[float],
    y: Sequence[float],
    said: Sequence[str],
    ticks: tuple[tuple[Label, ...], tuple[Label, ...]],
    look: dict[str, str],
) -> Plot:
    sides = place_names([f.name for f in known], list(zip(x, y, strict=True)))
    dots = tuple(
        Dot(x=px, y=py, style=look[f.name], name=f.name, title=f"{f.name}: {text}", side=side)
        for f, px, py, text, side in zip(known, x, y, said, sides, strict=True)
    )
    return Plot(
        title=title,
        description=f"{title}: " + "; ".join(dot.title for dot in dots),
        x_ticks=ticks[0],
        y_ticks=ticks[1],
        x_title=x_title,
        dots=dots,
    )


def _bytes_axis(sizes: Sequence[int]) -> tuple[Callable[[float], float], tuple[Label, ...]]:
    """Bytes on a logarithmic scale, with a place of its own for nothing at all."""
    if not sizes:
        return lambda count: _inner(50), (Label(text="0", at=_inner(50)),)
    low, high = math.log2(min(sizes)) - 1, math.log2(max(sizes)) + 1
    start = 18.0  # percent; nothing lies at 0

    def across(count: float) -> float:
        if not count:
            return _inner(0)
        return _inner(start + (100 - start) * (math.log2(count) - low) / (high - low))

    step = max(1, math.ceil((high - low) / 4))
    powers = range(math.ceil(low), math.floor(high) + 1, step)
    ticks = [Label(text=bytes_text(2**power), at=across(2**power)) for power in powers]
    return across, (Label(text="0", at=_inner(0)), *ticks)


def _lost_axis(
    losses: Sequence[float], unit: str
) -> tuple[Callable[[float], float], tuple[Label, ...]]:
    """Losses, the larger ones nearer to each other, so that 1% and 500% are both seen."""

    def bent(value: float) -> float:
        return math.copysign(math.log1p(abs(value)), value)

    low, high = min(0.0, *map(bent, losses)), max(bent(1.0), *map(bent, losses))
    low, high = low - 0.05 * (high - low), high + 0.08 * (high - low)

    def down(value: float) -> float:
        return 100 * (high - bent(value)) / (high - low)

    row = [0.0, *(s * v for v in (1, 3, 10, 30, 100, 300, 1000, 10000) for s in (1.0, -1.0))]
    inside = sorted(value for value in row if low <= bent(value) <= high)
    ticks = (Label(text=lost_text(v, unit) if v else "0", at=down(v)) for v in inside)
    return down, tuple(Label(text=t.text.replace(".0", ""), at=t.at) for t in ticks)


def _inner(percent: float) -> float:
    """Away from the frame, so that no dot is cut."""
    return EDGE + (100 - 2 * EDGE) * percent / 100


def place_names(names: Sequence[str], places: Sequence[Place]) -> list[str]:
    """A side for each dot's name, right if there is room: off the other names, dots and edges."""
    taken = [(x - 1.2, y - 2.0, x + 1.2, y + 2.0) for x, y in places]
    sides = []
    for name, (x, y) in zip(names, places, strict=True):
        wide, high = 1.9 * len(name), 2.4  # percent, of a chart of a narrow page
        boxes = {
            "right": (x + 2.5, y - high, x + 2.5 + wide, y + high),
            "left": (x - 2.5 - wide, y - high, x - 2.5, y + high),
            "above": (x - wide / 2, y - 3.5 - 2 * high, x + wide / 2, y - 3.5),
            "below": (x - wide / 2, y + 3.5, x + wide / 2, y + 3.5 + 2 * high),
        }
        side = min(boxes, key=lambda side: _crowding(boxes[side], taken))
        taken.append(boxes[side])
        sides.append(side)
    return sides


def _crowding(box: tuple[float, ...], taken: Sequence[tuple[float, ...]]) -> float:
    """The area that a box shares with others, and what of it lies outside of the frame."""
    x0, y0, x1, y1 = box
    shared = sum(
        max(0.0, min(x1, c) - max(x0, a)) * max(0.0, min(y1, d) - max(y0, b))
        for a, b, c, d in taken
    )
    outside = max(0.0, -x0) + max(0.0, x1 - 100) + max(0.0, -y0) + max(0.0, y1 - 100)
    return shared + 20 * outside
