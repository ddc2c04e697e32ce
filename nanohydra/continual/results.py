"""What a comparison found, as one file, results.json: the matrix R of each strategy and seed.

R[t][i] is the score on task i after the t-th task was learned, and R[0] is the base; both count
tasks from 0 in the columns, so R has one row more than columns. None means not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nanohydra.continual import metrics
from nanohydra.continual.config import Metric
from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, write_json

VERSION = 1
FILE = "results.json"


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One strategy with one seed.

    R: T + 1 rows of T scores. seconds: of training, by task; memory_bytes: what the strategy
    keeps beside the model that is trained so that it can go on learning, and added_parameters:
    what answers need beside the base's parameters, both after each task. A stage that learns
    several tasks at once counts for the last of them, and the others have None.
    """

    seed: int
    R: tuple[tuple[float | None, ...], ...]
    seconds: tuple[float | None, ...]
    memory_bytes: tuple[int | None, ...]
    added_parameters: tuple[int | None, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Results:
    """All strategies on one stream.

    tasks, metrics: names, and what R holds, by task. strategies: name -> one result a seed.
    sources: what each task was read from. machine, recipe: where the numbers come from.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    strategies: Mapping[str, tuple[SeedResult, ...]] = field(default_factory=dict)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def with_result(self, strategy: str, result: SeedResult) -> Results:
        """These and one more, in place of one of the same strategy and seed."""
        others = [r for r in self.strategies.get(strategy, ()) if r.seed != result.seed]
        mine = tuple(sorted([*others, result], key=lambda r: r.seed))
        return replace(self, strategies={**self.strategies, strategy: mine})

    def of_seed(self, strategy: str, seed: int) -> SeedResult | None:
        """One strategy's result with one seed, if it is there."""
        return next((r for r in self.strategies.get(strategy, ()) if r.seed == seed), None)

    def summary(self, strategy: str, result: SeedResult) -> dict[str, Any]:
        """The numbers that follow from a matrix, see nanohydra.continual.metrics.

        perplexity_change is by task in percent, None where R holds no log-likelihood.
        Intransigence is measured against joint training with the same seed.
        """
        joint = self.of_seed("joint", result.seed)
        change = metrics.perplexity_change(result.R)
        texts = [metric == "log_likelihood" for metric in self.metrics]
        return {
            "average": metrics.average(result.R),
            "bwt": metrics.backward_transfer(result.R),
            "fwt": metrics.forward_transfer(result.R),
            "forgetting": metrics.mean_forgetting(result.R),
            "forgetting_by_task": metrics.forgetting(result.R),
            "intransigence": metrics.intransigence(result.R, joint.R if joint else None),
            "perplexity_change": [
                c if text else None for c, text in zip(change, texts, strict=True)
            ],
        }


def save_results(path: Path, results: Results) -> None:
    """Write results.json, with what follows from each matrix beside it."""
    plain = to_dict(results)
    plain["strategies"] = {
        name: [{**to_dict(found), **results.summary(name, found)} for found in seeds]
        for name, seeds in results.strategies.items()
    }
    write_json(path, {"version": VERSION, **plain})


def load_results(path: Path) -> Results:
    """What `save_results` wrote; a folder stands for the file in it.

    Raises UserError for a file that is missing, malformed or of another version.
    """
    path = path / FILE if path.is_dir() else path
    plain = read_json(path)
    if not isinstance(plain, dict) or plain.pop("version", None) != VERSION:
        raise UserError(f"{path} holds no results of version {VERSION}")
    kept = set(to_dict(SeedResult(seed=0, R=(), seconds=(), memory_bytes=(), added_parameters=())))
    plain["strategies"] = {
        name: [{key: value for key, value in found.items() if key in kept} for found in seeds]
        for name, seeds in plain["strategies"].items()
    }
    return from_dict(Results, plain, f"in {path}")
