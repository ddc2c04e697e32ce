"""What a report shows of a comparison: means over seeds with intervals, and texts for numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.continual.metrics import Interval, interval
from nanohydra.continual.results import Results, SeedResult

Row = tuple[float | None, ...]
FLOAT_BYTES = 4
BOUNDS = ("joint", "naive")  # above and below all others, as far as methods do what they should


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One strategy of a run.

    R: the mean over seeds. lost: what the tasks but the last lost from their learning to the end,
    in the unit of `lost_unit`; lost_by_task: each of them. learned: the mean score just after
    each task was learned. memory: bytes kept to go on learning; added: parameters that answers
    need beside the base's; both at the end. seconds: of training, per task.
    """

    name: str
    num_seeds: int
    R: tuple[Row, ...]
    average: Interval | None
    bwt: Interval | None
    fwt: Interval | None
    forgetting: Interval | None
    intransigence: Interval | None
    lost: Interval | None
    lost_by_task: tuple[float | None, ...]
    learned: float | None
    memory: int
    added: int
    seconds: float | None

    @property
    def bytes_beside(self) -> int:
        """All that is kept beside one model. Adapters are part of the memory already."""
        return max(self.memory, FLOAT_BYTES * self.added)


def figures(results: Results) -> list[Figures]:
    """All strategies in the order of the run."""
    return [_of(results, name, seeds) for name, seeds in results.strategies.items() if seeds]


def lost_unit(results: Results) -> str:
    """How `Figures.lost` is counted: a rise of perplexity in percent, or points of accuracy."""
    return "%" if set(results.metrics) == {"log_likelihood"} else "points"


def _of(results: Results, name: str, seeds: Sequence[SeedResult]) -> Figures:
    summaries = [results.summary(name, seed) for seed in seeds]
    losses = [_lost(results, seed) for seed in seeds]
    R = tuple(
        tuple(_mean([seed.R[t][i] for seed in seeds]) for i in range(len(results.tasks)))
        for t in range(len(seeds[0].R))
    )
    values = {
        key: interval([summary[key] for summary in summaries])
        for key in ("average", "bwt", "fwt", "forgetting", "intransigence")
    }
    spent = [_mean_known(seed.seconds) for seed in seeds]
    return Figures(
        name=name,
        num_seeds=len(seeds),
        R=R,
        lost=interval([_mean(loss) for loss in losses]),
        lost_by_task=tuple(_mean(column) for column in zip(*losses, strict=True)),
        learned=_mean([R[i + 1][i] for i in range(len(results.tasks))]),
        memory=max((m for s in seeds for m in s.memory_bytes if m is not None), default=0),
        added=max((a for s in seeds for a in s.added_parameters if a is not None), default=0),
        seconds=_mean(spent),
        **values,
    )


def _lost(results: Results, seed: SeedResult) -> list[float | None]:
    """Of each task but the last: how much worse it is at the end than just after its learning."""
    change = results.summary("", seed)["perplexity_change"]
    percent = lost_unit(results) == "%"
    found: list[float | None] = []
    for task in range(len(results.tasks) - 1):
        before, after = seed.R[task + 1][task], seed.R[-1][task]
        if percent:
            found.append(change[task])
        else:
            found.append(None if before is None or after is None else 100 * (before - after))
    return found


def score_text(score: float | None, metric: str) -> str:
    """A score as people read it: a perplexity, or a share in percent."""
    if score is None:
        return "–"
    if metric == "accuracy":
        return f"{100 * score:.1f}%"
    perplexity = math.exp(min(-score, 700))
    digits = 2 if perplexity < 100 else 0
    return f"{perplexity:,.{digits}f}"


def lost_text(value: float | None, unit: str) -> str:
    """A loss as a change with its sign: perplexity +12.3%, or points -4.5."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1
    change = round(value if unit == "%" else -value, digits)
    end = "%" if unit == "%" else ""
    return f"{change:+.{digits}f}{end}" if change else f"0.0{end}"  # never -0.0


def spread_text(found: Interval | None, digits: int = 3) -> str:
    """A mean, with half the width of its interval if it has one."""
    if found is None:
        return "–"
    text = f"{found.mean:+.{digits}f}" if digits else f"{found.mean:+.0f}"
    return text if found.high is None else f"{text} ± {found.high - found.mean:.{digits}f}"


def bytes_text(count: float) -> str:
    """Bytes in binary units, as results.json's are of tensors: 0, 512 KiB, 3.4 MiB."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B" if count else "0"


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is not known: a mean of the others would be of something else."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _mean_known(seconds: Sequence[float | None]) -> float | None:
    """All seconds over the number of tasks; stages of several tasks count once."""
    known = [value for value in seconds if value is not None]
    return sum(known) / len(seconds) if known else None
