"""A stream of tasks in memory: what each is trained on and what it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanohydra.continual.config import Metric
from nanohydra.data.config import Packing

if TYPE_CHECKING:
    from nanohydra.core.types import Batch
    from nanohydra.data import Shards


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One task.

    train: shards by name; they may be of several sources. evaluation: the same held-out batches
    for every strategy and seed. metric: how the score on them is computed, see TaskConfig.
    """

    name: str
    train: Mapping[str, Shards]
    evaluation: tuple[Batch, ...]
    metric: Metric = "log_likelihood"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Tasks in the order in which they come, and how their records fill rows."""

    tasks: tuple[Task, ...]
    packing: Packing = "crop"

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.tasks)
