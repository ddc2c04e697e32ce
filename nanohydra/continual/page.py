"""continual.html: comparisons of strategies for a person to read; asks nothing of the network.

Draws what results.json says and adds no number of its own but means over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nanohydra.continual.drawings import (
    forgetting_curves,
    learning_plot,
    matrices,
    memory_plot,
    styles,
)
from nanohydra.continual.figures import (
    Figures,
    bytes_text,
    figures,
    lost_text,
    lost_unit,
    score_text,
    spread_text,
)
from nanohydra.continual.results import Results
from nanohydra.core.units import amount, duration, flatten

ALL_DATA = ("joint", "cumulative")  # have all data of all tasks at hand, so are no one's rivals
HIDDEN_SETTINGS = ("sft", "eval", "learn", "generation")  # of a recipe, not of a comparison


def render(runs: Sequence[Results], *, now: datetime | None = None) -> str:
    """The page of one run or several as one HTML document."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("nanohydra.continual"), PackageLoader("nanohydra.core")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    moment = now or datetime.now(UTC)
    return environment.get_template("continual.html").render(
        title=" and ".join(run.name.replace("_", " ") for run in runs),
        created=f"{moment.day} {moment:%B %Y}",
        runs=[_run(run) for run in runs],
        compared=_compared(runs) if len(runs) > 1 else [],
    )


def _run(run: Results) -> dict[str, Any]:
    """All that the template draws of one run."""
    found = figures(run)
    unit = lost_unit(run)
    return {
        "name": run.name.replace("_", " "),
        "tasks": [
            {"name": task, "sources": ", ".join(run.sources.get(task, ())), "metric": metric}
            for task, metric in zip(run.tasks, run.metrics, strict=True)
        ],
        "unit": unit,
        "costs": _costs(run, found),
        "ranks": _ranks(run, found),
        "legend": list(styles([f.name for f in found]).items()),
        "curves": forgetting_curves(run, found),
        "matrices": matrices(run, found),
        "scatters": [p for p in (memory_plot(run, found), learning_plot(run, found)) if p],
        "lines": [_line(run, f) for f in found],
        "machine": flatten(run.machine),
        "configuration": flatten(
            {key: value for key, value in run.recipe.items() if key not in HIDDEN_SETTINGS}
        ),
    }


def _costs(run: Results, found: Sequence[Figures]) -> list[tuple[str, str, str]]:
    """The figures at the top: value, label, note."""
    seeds = max((f.num_seeds for f in found), default=0)
    rows = [
        (str(len(run.tasks)), "tasks", ", ".join(run.tasks)),
        (str(len(found)), "strategies", f"{seeds} {'seed' if seeds == 1 else 'seeds'} each"),
    ]
    unit = lost_unit(run)
    end = "" if unit == "%" else " points"
    single = [f for f in found if f.lost is not None and not f.added and f.name not in ALL_DATA]
    if single:
        best = min(single, key=lambda f: f.lost.mean if f.lost else 0.0)
        assert best.lost is not None
        rows.append((lost_text(best.lost.mean, unit) + end, "least lost with one model", best.name))
    naive = next((f for f in found if f.name == "naive" and f.lost is not None), None)
    if naive is not None and naive.lost is not None:
        rows.append((lost_text(naive.lost.mean, unit) + end, "lost by doing nothing", "naive"))
    return rows


def _ranks(run: Results, found: Sequence[Figures]) -> list[dict[str, Any]]:
    """Strategies by what they lost, the least first, with bars of the same scale."""
    unit, look = lost_unit(run), styles([f.name for f in found])
    known = sorted(
        (f for f in found if f.lost is not None), key=lambda f: f.lost.mean if f.lost else 0.0
    )
    most = max((abs(f.lost.mean) for f in known if f.lost), default=0.0) or 1.0
    rows = []
    for f in known:
        assert f.lost is not None
        each = zip(run.tasks, f.lost_by_task, strict=False)
        band = "" if f.lost.high is None or f.lost.low is None else (
            f"{lost_text(f.lost.low, unit)} to {lost_text(f.lost.high, unit)}"
        )  # fmt: skip
        rows.append(
            {
                "name": f.name,
                "style": look[f.name],
                "value": lost_text(f.lost.mean, unit),
                "width": 100 * max(0.0, f.lost.mean) / most,
                "band": band,
                "tasks": ", ".join(f"{task} {lost_text(v, unit)}" for task, v in each),
            }
        )
    return rows


def _line(run: Results, f: Figures) -> dict[str, Any]:
    """A line of the table."""
    unit = lost_unit(run)
    finals = []
    for task, metric in enumerate(run.metrics):
        lost = f.lost_by_task[task] if task < len(f.lost_by_task) else None
        note = "" if lost is None else lost_text(lost, unit)
        finals.append((score_text(f.R[-1][task], metric), note))
    return {
        "name": f.name,
        "style": styles(list(run.strategies))[f.name],
        "finals": finals,
        "average": spread_text(f.average),
        "bwt": spread_text(f.bwt),
        "fwt": spread_text(f.fwt),
        "forgetting": spread_text(f.forgetting),
        "intransigence": spread_text(f.intransigence),
        "seconds": "–" if f.seconds is None else duration(f.seconds),
        "memory": bytes_text(f.memory),
        "added": f"+{amount(f.added)}" if f.added else "0",
    }


def _compared(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """Every strategy that more than one run has, with a cell for each run."""
    by_run = [{f.name: f for f in figures(run)} for run in runs]
    names = [name for name in dict.fromkeys(n for found in by_run for n in found)]
    rows = []
    for name in names:
        cells: list[Mapping[str, str] | None] = []
        for run, found in zip(runs, by_run, strict=True):
            f = found.get(name)
            unit = lost_unit(run)
            cells.append(
                None if f is None else {
                    "average": spread_text(f.average),
                    "lost": lost_text(f.lost.mean if f.lost else None, unit),
                    "seconds": "–" if f.seconds is None else duration(f.seconds),
                    "kept": bytes_text(f.bytes_beside),
                }
            )  # fmt: skip
        rows.append({"name": name, "cells": cells})
    return rows
