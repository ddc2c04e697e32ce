"""A-GEM: a step may not raise the loss on rows of earlier tasks, to first order.

Chaudhry et al. 2018 (arXiv 1812.00420): where the gradient g points against g_ref, that of a batch
of kept rows, it is projected: g - (g . g_ref / g_ref . g_ref) g_ref. Each step costs a second pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanohydra.continual.rows import RowBuffer
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch
from nanohydra.kernels import linear_cross_entropy
from nanohydra.training.batches import micro_batches
from nanohydra.training.hooks import Moment


@dataclass(frozen=True, kw_only=True)
class AgemConfig:
    """budget_bytes: of the buffer. rows: of earlier tasks that each step is checked with."""

    budget_bytes: int = 2**20
    rows: int = 8

    def __post_init__(self) -> None:
        """Refuse to check with nothing."""
        if self.rows < 1:
            raise UserError(f"rows is {self.rows}; it must be at least 1")


class Agem(Strategy):
    """A buffer with an equal share for each task, and a projection of each gradient."""

    Config = AgemConfig

    def __init__(self, lab: Lab, config: AgemConfig) -> None:
        super().__init__(lab, config)
        self.buffer = RowBuffer(
            config.budget_bytes,
            row_length=lab.config.train.row_length,
            vocab_size=lab.model.config.vocab_size,
            balanced=True,
        )

    def mix(self, batch: Batch, moment: Moment) -> Batch:
        """Keep rows as they come; the batch stays as it is."""
        self.buffer.add(batch, self.tasks[0], self.random)
        return batch

    def after_backward(self, moment: Moment) -> None:
        """Project the gradient if it would raise the loss on the kept rows."""
        kept = self.buffer.draw(self.config.rows, range(self.tasks[0]), self.random)
        if kept is not None:
            project(list(moment.grads.values()), self.reference(kept, moment))

    @torch.enable_grad()
    def reference(self, batch: Batch, moment: Moment) -> list[Tensor]:
        """The gradient of the mean loss on a batch, float32, in the order of the moment's."""
        model, count = self.lab.model, max(batch.num_targets, 1)
        micro_rows = self.train_config.micro_rows
        for micro in micro_batches(batch, micro_rows, self.lab.runtime.device):
            x_BTD = model.hidden(
                micro.ids_BT, positions_BT=micro.positions_BT, segments_BT=micro.segments_BT
            )
            loss, _ = linear_cross_entropy(
                x_BTD.flatten(0, 1),
                model.head.weight,
                micro.labels_BT.flatten(),
                softcap=model.config.logit_softcap,
            )
            (loss / count).backward()  # type: ignore[no-untyped-call]
        parameters = dict(model.named_parameters())
        grads = []
        for name, grad in moment.grads.items():
            found = parameters[name].grad
            grads.append(torch.zeros_like(grad) if found is None else found.float())
            parameters[name].grad = None
        return grads

    def state_dict(self) -> dict[str, Any]:
        """The buffer."""
        return {**super().state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved buffer."""
        super().load_state_dict(state)
        self.buffer.load_state_dict(state["buffer"])


@torch.no_grad()
def project(grads: Sequence[Tensor], reference: Sequence[Tensor]) -> None:
    """Take out of `grads`, in place, what points against `reference`; all tensors as one vector."""
    pairs = list(zip(grads, reference, strict=True))
    along = torch.stack([(g * r).sum() for g, r in pairs]).sum()
    if along < 0:
        size = torch.stack([r.square().sum() for r in reference]).sum()
        torch._foreach_add_(list(grads), torch._foreach_mul(list(reference), -along / size))
