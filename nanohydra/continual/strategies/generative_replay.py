"""Generative replay: the model writes its own old data before it learns a new task.

Shin et al. 2017 (arXiv 1705.08690), for language models LAMOL (arXiv 1909.03329). Nothing of the
old tasks is kept, but what the model writes is what it remembers: mistakes are learned again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nanohydra.continual.rows import joined, taken
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.continual.writing import written
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch
from nanohydra.training.hooks import Moment


@dataclass(frozen=True, kw_only=True)
class GenerativeReplayConfig:
    """rows: that the model writes before each task, at a temperature. share: of each batch."""

    rows: int = 256
    share: float = 0.25
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing new, and rows that say nothing."""
        if not 0 <= self.share < 1:
            raise UserError(f"share is {self.share}; it lies in [0, 1)")
        if self.rows < 1 or not self.temperature > 0:
            raise UserError("rows must be at least 1 and temperature above 0")


class GenerativeReplay(Strategy):
    """A share of every batch is rows that the model wrote before the task began."""

    Config = GenerativeReplayConfig

    def __init__(self, lab: Lab, config: GenerativeReplayConfig) -> None:
        super().__init__(lab, config)
        self.rows: Batch | None = None

    def prepare(self) -> None:
        """Let the model write, from the second task on."""
        self.rows = None
        if self.tasks[0] > 0:
            self.rows = written(
                self.lab.model,
                self.lab.prefix,
                count=self.config.rows,
                length=self.lab.config.train.row_length,
                temperature=self.config.temperature,
                # Not from the generator of the state, which a stage's steps have moved on.
                random=torch.Generator().manual_seed(self.lab.seed * 1000 + self.tasks[0]),
            )

    def mix(self, batch: Batch, moment: Moment) -> Batch:
        """Replace the last rows by written ones."""
        count = round(self.config.share * len(batch.ids_BT))
        if self.rows is None or not count:
            return batch
        total = len(self.rows.ids_BT)
        chosen = torch.randperm(total, generator=self.random)[:count]
        new = taken(batch, slice(len(batch.ids_BT) - len(chosen)))
        return joined(new, taken(self.rows, chosen))

    @property
    def memory_bytes(self) -> int:
        """The rows of the task, which are thrown away after it."""
        return self.rows.ids_BT.numel() * 2 if self.rows is not None else 0
