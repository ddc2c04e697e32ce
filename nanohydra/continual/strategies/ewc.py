"""Elastic weight consolidation: weights that mattered to earlier tasks are held by springs.

Kirkpatrick et al. 2017 (arXiv 1612.00796): strength / 2 * sum_k F_k (theta - theta_k)^2 over the
tasks k so far. A sum of such parabolas is one parabola, around the mean of their centres weighted
by F, so that memory does not grow with the number of tasks. Online EWC (arXiv 1805.06370) lets the
old Fisher fade and moves the centre to the newest weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nanohydra.continual.fisher import fisher_diagonal
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError
from nanohydra.training.hooks import Moment

FISHER_SEED = 7919  # rows of another order than those of training


@dataclass(frozen=True, kw_only=True)
class EwcConfig:
    """strength: lambda. fisher_rows: of each task. decay: of the old Fisher, online only."""

    strength: float = 300.0
    fisher_rows: int = 128
    decay: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.strength < 0 or self.fisher_rows < 1 or not 0 <= self.decay <= 1:
            raise UserError(
                "strength must not be negative, fisher_rows at least 1, decay in [0, 1]"
            )


class Ewc(Strategy):
    """A sum of all tasks' parabolas."""

    Config = EwcConfig
    online: ClassVar[bool] = False

    def __init__(self, lab: Lab, config: EwcConfig) -> None:
        super().__init__(lab, config)
        self.fisher: dict[str, Tensor] = {}
        self.centre: dict[str, Tensor] = {}

    def after_backward(self, moment: Moment) -> None:
        """Add strength * F * (theta - centre) to the gradient, on the float32 masters.

        The gradient is written down, and not left to autograd: in the computing dtype, which may
        be bfloat16, the small difference of the weights would be lost.
        """
        if not self.fisher:
            return
        names = list(moment.masters)
        pull = torch._foreach_sub(
            [moment.masters[n] for n in names], [self.centre[n] for n in names]
        )
        torch._foreach_mul_(pull, [self.fisher[n] for n in names])
        torch._foreach_add_([moment.grads[n] for n in names], pull, alpha=self.config.strength)

    def conclude(self) -> None:
        """Measure the task's Fisher, on the weights that it ended with."""
        model, rows = self.lab.model, self.lab.config.train.rows_per_step
        batches = -(-self.config.fisher_rows // rows)
        loader = self.lab.loader(self.tasks, batches=batches, seed=self.lab.seed + FISHER_SEED)
        model.eval()
        fisher = fisher_diagonal(model, loader, random=self.random)
        model.train()
        now = {name: p.detach() for name, p in model.named_parameters()}
        for name, found in fisher.items():
            old = self.fisher.get(name)
            if old is None:
                self.fisher[name], self.centre[name] = found, now[name].float().clone()
            elif self.online:
                self.fisher[name] = self.config.decay * old + found
                self.centre[name] = now[name].float().clone()
            else:
                total = old + found
                moved = now[name].float() - self.centre[name]
                share = torch.where(total > 0, found / total.clamp_min(1e-38), 0.5)
                self.fisher[name] = total
                self.centre[name] = self.centre[name] + share * moved

    def state_dict(self) -> dict[str, Any]:
        """Fisher and centre: twice the parameters."""
        return {**super().state_dict(), "fisher": dict(self.fisher), "centre": dict(self.centre)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved state."""
        super().load_state_dict(state)
        device = self.lab.runtime.device
        self.fisher = {name: t.to(device) for name, t in state["fisher"].items()}
        self.centre = {name: t.to(device) for name, t in state["centre"].items()}


class OnlineEwc(Ewc):
    """The old Fisher fades, and the newest weights are the centre."""

    online = True
