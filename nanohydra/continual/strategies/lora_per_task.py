"""One low-rank adapter a task on a frozen base: nothing that was learned is ever written to.

Which adapter answers is told by an oracle here, who knows the task; what no adapter was trained
for, the base answers. With the right adapter, forgetting is zero by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanohydra.adapters import AdapterWeights, Attached, LoraConfig, Pair, attach, attach_weights
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.types import Batch
from nanohydra.training.config import TrainConfig


class LoraPerTask(Strategy):
    """An adapter for each task, and an oracle that chooses."""

    def __init__(self, lab: Lab, config: Any) -> None:
        super().__init__(lab, config)
        self.adapters: dict[int, AdapterWeights] = {}
        self.attached: Attached | None = None

    @property
    def train_config(self) -> TrainConfig:
        """Adapters have rates of their own."""
        return self.lab.config.adapter_train

    def prepare(self) -> None:
        """A fresh adapter, and the rest frozen."""
        seed = self.lab.seed * 1000 + self.tasks[0]
        self.attached = attach(self.lab.model, self.lab.config.adapter, seed=seed)

    def conclude(self) -> None:
        """Keep the adapter and give the model back as it was."""
        assert self.attached is not None
        self.adapters[self.tasks[0]] = self.attached.weights("")
        self.attached.detach()
        self.attached = None

    def answered(self, batch: Batch, task: int) -> Iterator[Batch]:
        """With the task's own adapter."""
        yield from self.with_adapter(batch, self.adapters.get(task))

    def with_adapter(self, batch: Batch, weights: AdapterWeights | None) -> Iterator[Batch]:
        """The batch while an adapter is on; None leaves the base."""
        if weights is None:
            yield batch
            return
        attached = attach_weights(self.lab.model, weights)
        try:
            yield batch
        finally:
            attached.detach()

    @property
    def added_parameters(self) -> int:
        """The factors of all adapters."""
        return sum(weights.num_bytes for weights in self.adapters.values()) // 4

    def state_dict(self) -> dict[str, Any]:
        """The factors of all adapters."""
        adapters = {str(task): packed(weights) for task, weights in self.adapters.items()}
        return {**super().state_dict(), "adapters": adapters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take saved adapters."""
        super().load_state_dict(state)
        self.adapters = {int(task): unpacked(held) for task, held in state["adapters"].items()}


def packed(weights: AdapterWeights) -> dict[str, Any]:
    """An adapter as nested dicts of tensors and JSON values."""
    pairs = {name: {"a": pair.a_RI, "b": pair.b_OR} for name, pair in weights.pairs.items()}
    parts = {name: dict(tensors) for name, tensors in weights.parts.items()}
    plain = {"config": to_dict(weights.config), "base": weights.base}
    return {**plain, "pairs": pairs, "parts": parts}


def unpacked(held: Mapping[str, Any]) -> AdapterWeights:
    """The inverse of `packed`."""
    pairs = {name: Pair(a_RI=p["a"], b_OR=p["b"]) for name, p in held["pairs"].items()}
    config = from_dict(LoraConfig, held["config"])
    return AdapterWeights(config=config, base=held["base"], pairs=pairs, parts=held["parts"])
