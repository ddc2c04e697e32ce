"""Merging after each task: every task is trained from the base, and the changes are combined.

A weighted average of the changes (task arithmetic, arXiv 2212.04089), TIES (arXiv 2306.01708) or
DARE (arXiv 2311.03099). Each task keeps a copy of all weights. It looks better than it is: right
after one task the merged model is that task's own, and with each more all of them lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nanohydra.adapters.merging import MergeConfig, Method
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """density: share of each change that TIES and DARE keep. scale: of the combined change."""

    density: float = 0.2
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse to keep nothing."""
        if not 0 < self.density <= 1:
            raise UserError(f"density is {self.density}; it lies above 0 and is at most 1")


class MergeAverage(Strategy):
    """The mean of the tasks' changes, added to the base."""

    Config = MergeOptions
    method: ClassVar[Method] = "linear"

    def __init__(self, lab: Lab, config: MergeOptions) -> None:
        super().__init__(lab, config)
        self.changes: list[dict[str, Tensor]] = []

    def prepare(self) -> None:
        """Every task begins with the base."""
        self.lab.load_weights(self.lab.base)

    @torch.no_grad()
    def conclude(self) -> None:
        """Keep what the task changed, and put all changes together into the base."""
        base = self.lab.base
        named = self.lab.model.named_parameters()
        self.changes.append({name: p.detach() - base[name] for name, p in named})
        seed = self.lab.seed
        combine = MergeConfig(method=self.method, density=self.config.density, seed=seed).combine()
        # TIES takes a mean of those that agree, the others a sum.
        share = 1.0 if self.method == "ties" else 1 / len(self.changes)
        shares = [share * self.config.scale] * len(self.changes)
        merged = {
            name: base[name] + combine([change[name] for change in self.changes], shares)
            for name in base
        }
        self.lab.load_weights(merged)

    def state_dict(self) -> dict[str, Any]:
        """The changes of all tasks: a copy of the weights each."""
        return {**super().state_dict(), "changes": [dict(change) for change in self.changes]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take saved changes."""
        super().load_state_dict(state)
        device = self.lab.runtime.device
        self.changes = [{n: t.to(device) for n, t in held.items()} for held in state["changes"]]


class MergeTies(MergeAverage):
    """Only the largest values of each change, where most of them agree in sign."""

    method = "ties"


class MergeDare(MergeAverage):
    """A random part of each change, scaled up to the same expectation."""

    method = "dare_linear"
