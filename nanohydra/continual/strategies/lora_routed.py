"""One adapter a task, chosen by a router that is learned too: nobody says which task it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nanohydra.continual.router import Router, features
from nanohydra.continual.rows import taken
from nanohydra.continual.strategies.lora_per_task import LoraPerTask
from nanohydra.continual.strategy import Lab
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch

ROUTER_SEED = 104729  # rows of another order than those of training


@dataclass(frozen=True, kw_only=True)
class LoraRoutedConfig:
    """rows: of a task that the router learns from. tokens: of a row that it looks at."""

    rows: int = 512
    tokens: int = 64

    def __post_init__(self) -> None:
        """Refuse a router that sees nothing."""
        if self.rows < 2 or self.tokens < 1:
            raise UserError("rows must be at least 2 and tokens at least 1")


class LoraRouted(LoraPerTask):
    """As LoRA per task, but each row's first tokens choose the adapter, or none.

    The choice is made once for a row and looks at no more than its beginning. In bits, knowing
    which of T adapters answers is worth at most log2(T) a row.
    """

    Config = LoraRoutedConfig

    def __init__(self, lab: Lab, config: LoraRoutedConfig) -> None:
        super().__init__(lab, config)
        self.router = Router()

    def conclude(self) -> None:
        """Keep the adapter, and show the router some rows."""
        super().conclude()
        batches = -(-self.config.rows // self.lab.config.train.rows_per_step)
        loader = self.lab.loader(self.tasks, batches=batches, seed=self.lab.seed + ROUTER_SEED)
        model = self.lab.model
        model.eval()
        found = [features(model, batch, self.config.tokens) for batch in loader]
        model.train()
        self.router.learn(self.tasks[0], torch.cat(found)[: self.config.rows])

    def answered(self, batch: Batch, task: int) -> Iterator[Batch]:
        """The rows of each adapter together; the task itself is not looked at."""
        chosen = self.router.choose(features(self.lab.model, batch, self.config.tokens))
        for number in dict.fromkeys(chosen):
            rows = [row for row, choice in enumerate(chosen) if choice == number]
            weights = None if number is None else self.adapters[number]
            yield from self.with_adapter(taken(batch, rows), weights)

    def state_dict(self) -> dict[str, Any]:
        """Adapters and router."""
        return {**super().state_dict(), "router": self.router.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take saved adapters and a router."""
        super().load_state_dict(state)
        self.router.load_state_dict(state["router"])
