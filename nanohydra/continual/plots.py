"""The same drawings as pictures, for papers and pages: curves, matrices, memory and forgetting.

Needs matplotlib (the extra `track`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.continual.figures import (
    BOUNDS,
    Figures,
    bytes_text,
    figures,
    lost_unit,
    score_text,
)
from nanohydra.continual.results import Results
from nanohydra.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0f7b6c", "#2f66c9", "#8a4fbf", "#c03f78", "#a87900", "#55862a", "#2490b2", "#7b6a59")
INK, WARN, SOFT = "#1d2126", "#b4541a", "#6b7078"
CURVES, MATRICES, MEMORY = "forgetting.png", "matrices.png", "memory.png"
DPI = 140


def write_plots(run: Results, folder: Path) -> list[Path]:
    """Three pictures in a folder; none without matplotlib, or if nothing was compared."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    found = figures(run)
    if not found:
        return []
    drawn = [(CURVES, curves(Figure(), run, found)), (MATRICES, heat_maps(Figure(), run, found))]
    if any(f.lost is not None for f in found):
        drawn.append((MEMORY, memory(Figure(), run, found)))
    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn:
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
        paths.append(folder / name)
    return paths


def curves(figure: Figure, run: Results, found: Sequence[Figures]) -> Figure:
    """For each task but the last, its score from its learning on."""
    tasks = range(max(1, len(run.tasks) - 1))
    _prepare(figure, 5.4 * len(tasks), 4.2)
    for task, axes in zip(tasks, _row(figure, len(tasks)), strict=True):
        perplexity = run.metrics[task] == "log_likelihood"
        for f, look in zip(found, _looks(found), strict=True):
            column = [row[task] for row in f.R[task + 1 :]]
            scores = [float("nan") if s is None else _shown(s, perplexity) for s in column]
            axes.plot(range(len(scores)), scores, label=f.name, marker="o", markersize=3.5, **look)
        axes.set_xticks(range(len(run.tasks) - task), [f"after {t}" for t in run.tasks[task:]])
        axes.set_title(f"{'perplexity' if perplexity else 'accuracy'} of {run.tasks[task]}")
        _plain(axes)
        if perplexity:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:,.4g}")
            axes.yaxis.set_minor_formatter("{x:,.4g}")
            axes.grid(axis="y", which="minor", color="#e4e0d8", linewidth=0.8)
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure


def heat_maps(figure: Figure, run: Results, found: Sequence[Figures]) -> Figure:
    """The matrix R of each strategy; a colour means the same in all of a column."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    _prepare(figure, 3.4 * columns, (0.5 * len(run.tasks) + 1.6) * rows)
    from matplotlib.colors import LinearSegmentedColormap

    heat = LinearSegmentedColormap.from_list("heat", ["#f3f1ec", "#6fb5a9", "#0f7b6c"])
    all_axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in all_axes[len(found) :]:
        axes.set_axis_off()
    limits = []
    for task in range(len(run.tasks)):
        known = [s for f in found for row in f.R if (s := row[task]) is not None]
        limits.append((min(known), max(known)) if known else (0.0, 0.0))
    for f, axes in zip(found, all_axes, strict=False):
        cells = [
            [
                float("nan") if s is None else (s - low) / ((high - low) or 1.0)
                for s, (low, high) in zip(row, limits, strict=True)
            ]
            for row in f.R
        ]
        axes.imshow(cells, cmap=heat, vmin=0, vmax=1, aspect="auto")
        for t, row in enumerate(f.R):
            for i, score in enumerate(row):
                strong = score is not None and cells[t][i] > 0.62
                axes.text(
                    i, t, score_text(score, run.metrics[i]), ha="center", va="center", fontsize=8,
                    color="white" if strong else INK, weight="bold" if t == i + 1 else "normal",
                )  # fmt: skip
        axes.set_xticks(range(len(run.tasks)), run.tasks, fontsize=8)
        axes.set_yticks(range(len(f.R)), ["base", *run.tasks], fontsize=8)
        axes.set_title(f.name, fontsize=10, loc="left", weight="bold")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


def memory(figure: Figure, run: Results, found: Sequence[Figures]) -> Figure:
    """What is kept beside one model against what is lost."""
    from matplotlib.ticker import NullLocator

    _prepare(figure, 7.2, 4.6)
    (axes,) = _row(figure, 1)
    known = [(f, look) for f, look in zip(found, _looks(found), strict=True) if f.lost is not None]
    sizes = [f.bytes_beside for f, _ in known if f.bytes_beside]
    least, most = min(sizes, default=1024), max(sizes, default=1024)
    for f, look in known:
        assert f.lost is not None
        place = (f.bytes_beside, f.lost.mean)
        axes.plot(*place, marker="o", markersize=7, color=look["color"])
        axes.annotate(f.name, place, xytext=(7, 3), textcoords="offset points", fontsize=8)
    axes.set_xscale("symlog", linthresh=least, linscale=0.5)
    axes.set_yscale("symlog", linthresh=1.0)
    powers = range(math.ceil(math.log2(least)), math.floor(math.log2(most)) + 1, 2)
    axes.set_xticks([0, *(2**power for power in powers)])
    axes.xaxis.set_major_formatter(lambda value, _: bytes_text(value))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,.4g}")
    axes.set_xlim(-0.3 * least, 4 * most)
    axes.set_xlabel("kept beside one model")
    axes.set_ylabel(
        "rise of perplexity, %" if lost_unit(run) == "%" else "points of the score lost"
    )
    axes.set_title("memory and forgetting")
    axes.axhline(0, color=SOFT, linewidth=0.8, zorder=0)
    _plain(axes)
    return figure


def _looks(found: Sequence[Figures]) -> list[dict[str, Any]]:
    """The colour and line of each strategy, as on the page."""
    looks: list[dict[str, Any]] = []
    number = 0
    for f in found:
        if f.name in BOUNDS:
            joint = f.name == "joint"
            looks.append({"color": INK if joint else WARN, "linestyle": ":" if joint else "-"})
            continue
        style = "--" if number >= len(COLOURS) else "-"
        looks.append({"color": COLOURS[number % len(COLOURS)], "linestyle": style})
        number += 1
    return looks


def _shown(score: float, perplexity: bool) -> float:
    return math.exp(min(-score, 700)) if perplexity else score


def _prepare(figure: Figure, width: float, height: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)  # no global state of pyplot
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")


def _row(figure: Figure, count: int) -> Sequence[Any]:
    axes: Sequence[Any] = figure.subplots(1, count, squeeze=False)[0]
    return axes


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e0d8", linewidth=0.8)
    axes.set_axisbelow(True)
