"""What a run says: trackers of metrics by step (JSONL, TensorBoard, terminal) and summary tables.

Progress goes to standard error and results to standard output, so that a pipe gets results alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nanohydra.core.errors import UserError
from nanohydra.core.files import json_safe

SECONDS_BETWEEN_LINES = 10.0


class Tracker(Protocol):
    """Takes the metrics of a step; one run has one writer."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` of `step`; steps do not decrease."""

    def close(self) -> None:
        """Flush and release; no `log` comes after it."""


def console(*, stderr: bool = False) -> Console:
    """A rich console on the streams as they are now; colours only where a terminal is."""
    return Console(stderr=stderr, highlight=False)


def summary_table(title: str, rows: Mapping[str, object] | Sequence[Sequence[object]]) -> None:
    """Print the one table that ends a command: name and value, or rows of equal length."""
    pairs = list(rows.items()) if isinstance(rows, Mapping) else rows
    table = Table(title=title, title_justify="left", show_header=False)
    for row in pairs:
        table.add_row(*(Text(format_value(cell)) for cell in row))
    console().print(table)


def format_value(value: object) -> str:
    """A number as people read it: 0.0213, 12,345,678, 3.2e-05; anything else as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    if size >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if size >= 0.001 or size == 0 else f"{value:.1e}"


class JsonlTracker:
    """One JSON object per line: the step and its metrics, flushed at once.

    resume_step: the step that the run continues from; later lines, which a crash left behind, are
        dropped, so that a curve never runs twice. None starts an empty file.
    """

    def __init__(self, path: Path, *, resume_step: int | None = None) -> None:
        kept = [] if resume_step is None else _lines_until(path, resume_step)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", encoding="utf-8")
        self.file.writelines(kept)
        self.file.flush()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line; NaN and infinity become null."""
        row = json_safe({"step": step, **metrics})
        self.file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of a metrics file up to `step`; a line that a crash cut short is left out."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    return kept


class TensorBoardTracker:
    """Scalars for TensorBoard in `folder`; needs the extra `track`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("TensorBoard is not installed: pip install nanohydra[track]") from error
        self.writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each metric's curve."""
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()


class TerminalTracker:
    """One moving line with a bar on a terminal; a plain line now and then in a pipe or a log."""

    def __init__(self, title: str, *, total_steps: int) -> None:
        self.title = title
        self.total_steps = total_steps
        self.console = console(stderr=True)
        self.last_line = float("-inf")
        self.shown: dict[str, float] = {}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=total_steps, metrics="")
        self.bar.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the step and the latest value of every metric seen so far."""
        self.shown |= metrics
        text = " ".join(f"{name} {format_value(value)}" for name, value in self.shown.items())
        self.bar.update(self.task, completed=step, metrics=text)
        now = time.monotonic()
        due = now - self.last_line >= SECONDS_BETWEEN_LINES or step >= self.total_steps
        if not self.console.is_terminal and due:
            self.last_line = now
            self.console.print(f"{self.title} {step}/{self.total_steps} {text}", soft_wrap=True)

    def close(self) -> None:
        """Leave the last line where it is."""
        self.bar.stop()


class Trackers:
    """Several trackers as one; all are closed even if one fails."""

    def __init__(self, trackers: Iterable[Tracker]) -> None:
        self.trackers = list(trackers)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass the metrics on to each."""
        for tracker in self.trackers:
            tracker.log(step, metrics)

    def close(self) -> None:
        """Close each; raises the first error after all were tried."""
        errors = []
        for tracker in self.trackers:
            try:
                tracker.close()
            except Exception as error:  # the others must still be closed
                errors.append(error)
        if errors:
            raise errors[0]
