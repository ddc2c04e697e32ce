"""The report of one comparison or several: a page, and pictures of each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanohydra.continual.results import Results
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path

PAGE = "report.html"


def write_report(runs: Sequence[Results], folder: Path) -> list[Path]:
    """Write report.html and the plots, each atomically; returns what was written.

    The plots of several runs lie in folders of their names. Without matplotlib there are none.
    Raises UserError if there is nothing to report.
    """
    from nanohydra.continual.page import render
    from nanohydra.continual.plots import write_plots

    if not any(run.strategies for run in runs):
        raise UserError("there are no results to report on; run `nanohydra continual run` first")
    page = render(runs)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    written = [path]
    for number, run in enumerate(runs, 1):
        place = folder if len(runs) == 1 else folder / f"{number}-{run.name}"
        written += write_plots(run, place)
    return written
