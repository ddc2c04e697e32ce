"""The six moments at which something outside may take part in training, as one contract.

The loop knows this contract and never who implements it. A moment that a hook does not override
costs nothing. What no moment allows can take the place of a step's passes, as `train_step`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from nanohydra.core.types import Batch


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a hook sees at one moment of training.

    model: holds weights of the compute dtype. masters, grads: float32, by parameter name, shared
    with the loop: writing into them takes effect. grads hold the gradient of the mean loss over
    the step's targets and mean something in `after_backward` only. step: steps done so far.
    """

    model: nn.Module
    masters: Mapping[str, Tensor]
    grads: Mapping[str, Tensor]
    step: int


class Hook:
    """Override any of the six moments; keep what must survive a resume in the state."""

    def begin_task(self, moment: Moment) -> None:
        """Before the first step of a run, resumed or not; the state is loaded already."""

    def mix(self, batch: Batch, moment: Moment) -> Batch:
        """Before the forward pass: the batch to train on, for example with replayed rows."""
        return batch

    def penalty(self, batch: Batch, moment: Moment) -> Tensor | None:
        """After the loss's backward pass: a scalar that is added to the step's mean loss."""
        return None

    def train_step(self, batch: Batch, moment: Moment) -> Tensor:
        """In place of the loop's own forward and backward pass; one hook of a run at most.

        Adds to the gradients of the model's parameters and returns the mean loss, detached.
        """
        raise NotImplementedError

    def after_backward(self, moment: Moment) -> None:
        """When the step's gradient is complete, before clipping and the update."""

    def after_step(self, moment: Moment) -> None:
        """When the weights are updated."""

    def end_task(self, moment: Moment) -> None:
        """After the last step of a run that finished; not when it was interrupted."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: nested dicts and lists of tensors and JSON values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved state."""


H = TypeVar("H", bound=Hook)


def overriding(hooks: Iterable[H], method: str) -> tuple[H, ...]:
    """The hooks that take part in a moment."""
    return tuple(h for h in hooks if getattr(type(h), method) is not getattr(Hook, method))
