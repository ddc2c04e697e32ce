"""What a comparison of strategies is told: the stream of tasks and how each is trained, as data.

Imports no torch. What a single strategy can be told stands beside its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nanohydra.adapters.config import LoraConfig
from nanohydra.core.errors import UserError
from nanohydra.data.config import CleanConfig, HoldOut, Packing, SourceConfig
from nanohydra.training.config import TrainConfig

Metric = Literal["log_likelihood", "accuracy"]


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One task of a stream: where its records come from.

    sources, heldout, valid_fraction, hold_out, clean: as in a recipe's corpus.
    otherwise: sources that take the place of `sources` where a file of those is not there;
        `heldout` is then not read either.
    metric: what R holds. log_likelihood: nats per token, at most 0, so that the perplexity is
        exp(-R). accuracy: share of the answers of which greedy decoding says every token.
    """

    name: str
    sources: Mapping[str, SourceConfig]
    heldout: Mapping[str, SourceConfig] = field(default_factory=dict)
    otherwise: Mapping[str, SourceConfig] = field(default_factory=dict)
    valid_fraction: float = 0.05
    hold_out: HoldOut = "auto"
    clean: CleanConfig = CleanConfig()
    metric: Metric = "log_likelihood"

    def __post_init__(self) -> None:
        """Refuse a task without data."""
        if not self.sources:
            raise UserError(f"the task {self.name!r} has no sources")
        if not 0 <= self.valid_fraction < 1:
            raise UserError(f"valid_fraction is {self.valid_fraction}; it lies in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ContinualConfig:
    """A stream and what the strategies have in common.

    tasks: in the order in which they are learned. No tasks = the recipe compares nothing.
    base_otherwise: sources that take the place of data.pretrain.sources, of which the base is
        made, where a file of those is not there.
    train: how a task is trained where all weights are; adapter_train, adapter: where a low-rank
        adapter is. A task's steps are theirs, and joint training has as many as all tasks.
    packing: "crop" for texts, "pad" for conversations; the same for all tasks.
    eval_batches: held-out batches that each task is measured on.
    options: what single strategies are told, by their names; keys are those of their Config.
    """

    tasks: tuple[TaskConfig, ...] = ()
    base_otherwise: Mapping[str, SourceConfig] = field(default_factory=dict)
    train: TrainConfig = TrainConfig(steps=400, optimizer="adamw", lr=1e-3)
    adapter_train: TrainConfig = TrainConfig(steps=400, optimizer="adamw", lr=3e-3)
    adapter: LoraConfig = LoraConfig()
    packing: Packing = "crop"
    eval_batches: int = 16
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse two tasks of one name, and rows that differ in shape."""
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two tasks are called {name!r}; their names must differ")
        if self.eval_batches < 1:
            raise UserError(f"eval_batches must be at least 1, not {self.eval_batches}")
        for key in ("rows_per_step", "row_length"):
            values = getattr(self.train, key), getattr(self.adapter_train, key)
            if values[0] != values[1]:
                raise UserError(
                    f"train.{key} is {values[0]} and adapter_train.{key} is {values[1]}; "
                    "they must be the same, so that every strategy sees the same rows"
                )
