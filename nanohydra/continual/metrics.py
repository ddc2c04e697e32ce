"""Measures of continual learning, from the matrix R alone.

R has a row for the base and one for each task learned, and a column for each task; a higher score
is better. With T tasks, R[0] is the base and R[t] what is known after t tasks. None means not
evaluated, and whatever needs such a cell is None: a zero in its place would be a number that
nobody measured. BWT and FWT as in GEM (arXiv 1706.08840), forgetting and intransigence as in
Chaudhry et al. 2018 (arXiv 1801.10112), where the base counts among the rows before the last.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[float | None]]
# Two-sided 95% points of Student's t by degrees of freedom; from 30 on the normal's is near.
T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160),
    *(2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056),
    *(2.052, 2.048, 2.045, 2.042),
)


def average(R: Matrix) -> float | None:
    """The mean of the last row: how good the final model is on all tasks."""
    return _mean(R[-1]) if R else None


def backward_transfer(R: Matrix) -> float | None:
    """Mean over all tasks but the last of R[T][i] - R[i][i]: below 0 is forgetting."""
    check(R)
    return _mean(_less(R[-1][i], R[i + 1][i]) for i in range(len(R) - 2))


def forward_transfer(R: Matrix) -> float | None:
    """Mean over all tasks but the first of R[i-1][i] - R[0][i]: what came before its learning."""
    check(R)
    return _mean(_less(R[i][i], R[0][i]) for i in range(1, len(R) - 1))


def forgetting(R: Matrix) -> list[float | None]:
    """For each task, the best score before the last row, less the last one.

    None if a row between base and end is not evaluated: what was lost may have stood there.
    """
    check(R)
    return [_less(_best([row[i] for row in R[:-1]]), R[-1][i]) for i in range(len(R) - 1)]


def mean_forgetting(R: Matrix) -> float | None:
    """The mean of `forgetting` over all tasks but the last, which nothing came after."""
    return _mean(forgetting(R)[:-1])


def intransigence(R: Matrix, joint: Matrix | None) -> float | None:
    """Mean of what joint training reaches on a task, less the score just after learning it."""
    check(R)
    if joint is None or len(joint) != len(R):
        return None
    return _mean(_less(joint[-1][i], R[i + 1][i]) for i in range(len(R) - 1))


def perplexity_change(R: Matrix) -> list[float | None]:
    """Of each task, how many percent its perplexity rose from its learning to the end.

    Where R holds log-likelihoods in nats per token.
    """
    check(R)
    drops = [_less(R[i + 1][i], R[-1][i]) for i in range(len(R) - 1)]
    return [None if drop is None else 100 * math.expm1(drop) for drop in drops]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over seeds with its two-sided 95% interval, None with fewer than two seeds."""

    mean: float
    low: float | None
    high: float | None


def interval(values: Sequence[float | None]) -> Interval | None:
    """Mean and Student's t interval of one number over seeds; None if a seed lacks it."""
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return None
    mean = statistics.fmean(found)
    if len(found) == 1:
        return Interval(mean=mean, low=None, high=None)
    factor = T_95[len(found) - 2] if len(found) - 2 < len(T_95) else 1.96
    half = factor * statistics.stdev(found) / math.sqrt(len(found))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def check(R: Matrix) -> None:
    """Assert that R has a row for the base and one for each of its columns."""
    assert all(len(row) == len(R) - 1 for row in R), [len(row) for row in R]


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _best(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return statistics.fmean(known) if known and len(known) == len(found) else None
