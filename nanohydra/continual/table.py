"""The table that ends a comparison: a line for each strategy, means over seeds with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nanohydra.continual.metrics import interval
from nanohydra.continual.results import Results, SeedResult

MIB = 2**20


def table(results: Results) -> list[Sequence[str]]:
    """Rows of text, the first one the head."""
    head = ["strategy", "average", "BWT", "FWT", "forgetting", "intransigence"]
    head += [f"{task} %" for task in results.tasks[:-1]]
    return [[*head, "s per task", "memory", "parameters"], *_lines(results)]


def _lines(results: Results) -> Iterator[Sequence[str]]:
    for name, seeds in results.strategies.items():
        found = [results.summary(name, seed) for seed in seeds]
        line = [name]
        for key in ("average", "bwt", "fwt", "forgetting", "intransigence"):
            line.append(spread([summary[key] for summary in found]))
        for task in range(len(results.tasks) - 1):
            changes = [summary["perplexity_change"][task] for summary in found]
            line.append(spread(changes, digits=1))
        line += [spread([seconds_per_task(seed) for seed in seeds], digits=1)]
        memory = max((m for seed in seeds for m in seed.memory_bytes if m is not None), default=0)
        added = max((a for s in seeds for a in s.added_parameters if a is not None), default=0)
        yield [*line, f"{memory / MIB:.1f} MiB", f"+{added:,}"]


def seconds_per_task(result: SeedResult) -> float | None:
    """All training of a run over the number of tasks."""
    known = [seconds for seconds in result.seconds if seconds is not None]
    return sum(known) / len(result.seconds) if known else None


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    """The mean over seeds, with half the width of its 95% interval if there is one."""
    found = interval(values)
    if found is None:
        return "-"
    text = f"{found.mean:.{digits}f}"
    return text if found.high is None else f"{text} ± {found.high - found.mean:.{digits}f}"
