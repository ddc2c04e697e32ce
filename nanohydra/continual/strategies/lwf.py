"""Learning without forgetting: on the new task's rows the model is held to what it said before.

Li and Hoiem 2016 (arXiv 1606.09282), for next tokens and at temperature 1. No old data is kept; a
copy of the model is, while a task is trained. What the new rows do not touch is not held.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.continual.distillation import mean_divergence
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE, Batch
from nanohydra.kernels import linear_cross_entropy
from nanohydra.model import Decoder
from nanohydra.training.batches import MicroBatch, micro_batches
from nanohydra.training.hooks import Moment


@dataclass(frozen=True, kw_only=True)
class LwfConfig:
    """strength: of the divergence from the previous model, beside the loss."""

    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what pushes away."""
        if self.strength < 0:
            raise UserError(f"strength is {self.strength}; it must not be negative")


class Lwf(Strategy):
    """Takes the place of the loop's passes, so that both terms share one forward pass."""

    Config = LwfConfig

    def __init__(self, lab: Lab, config: LwfConfig) -> None:
        super().__init__(lab, config)
        self.teacher: Decoder | None = None

    def prepare(self) -> None:
        """The model as it is now, in the computing dtype; the base is not held to itself."""
        self.teacher = None
        if self.tasks[0] > 0:
            self.teacher = copy.deepcopy(self.lab.model).to(self.lab.runtime.dtype)
            self.teacher.eval().requires_grad_(False)

    def train_step(self, batch: Batch, moment: Moment) -> Tensor:
        """Cross-entropy and divergence over all targets of the step."""
        model, device = self.lab.model, self.lab.runtime.device
        total, num_targets = torch.zeros((), device=device), max(batch.num_targets, 1)
        for micro in micro_batches(batch, self.train_config.micro_rows, device):
            x_BTD = hidden(model, micro)
            loss, count = linear_cross_entropy(
                x_BTD.flatten(0, 1),
                model.head.weight,
                micro.labels_BT.flatten(),
                softcap=model.config.logit_softcap,
            )
            if self.teacher is not None:
                mask_BT = (micro.labels_BT != IGNORE).to(device)
                with torch.no_grad():
                    before_BTD = hidden(self.teacher, micro)
                held = mean_divergence(self.teacher, before_BTD[mask_BT], model, x_BTD[mask_BT])
                loss = loss + self.config.strength * held * count
            loss = loss / num_targets
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    @property
    def memory_bytes(self) -> int:
        """The copy of the model."""
        return sum(p.nbytes for p in self.teacher.parameters()) if self.teacher else 0


def hidden(model: Decoder, micro: MicroBatch) -> Tensor:
    """A model's final hidden states x_BTD of some rows."""
    return model.hidden(
        micro.ids_BT, positions_BT=micro.positions_BT, segments_BT=micro.segments_BT
    )
