"""Nested adapters: each is trained on top of those before it, and a stack is cut where asked.

Task k is answered by the base with the first k adapters, so that what was learned later cannot
disturb it, while it can build on all that was learned earlier. The oracle says where to cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from nanohydra.adapters import AdapterWeights, concatenate
from nanohydra.adapters.merging import delta_of
from nanohydra.continual.strategies.lora_per_task import LoraPerTask
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch


class NestedLora(LoraPerTask):
    """Adapters that are summed up to the task's own."""

    def prepare(self) -> None:
        """A fresh adapter on a base that has the earlier ones in its weights."""
        if self.lab.config.adapter.kind != "lora":
            raise UserError(f"adapters of kind {self.lab.config.adapter.kind} cannot be stacked")
        self.lab.load_weights(raised(self.lab.base, self.stack(self.tasks[0])))
        super().prepare()

    def conclude(self) -> None:
        """Keep the adapter, and take the earlier ones out of the weights again."""
        super().conclude()
        self.lab.load_weights(self.lab.base)

    def stack(self, count: int) -> list[AdapterWeights]:
        """The first adapters."""
        return [self.adapters[task] for task in range(count) if task in self.adapters]

    def answered(self, batch: Batch, task: int) -> Iterator[Batch]:
        """With the adapters up to the task's own; all there are for a task not yet learned."""
        adapters = self.stack(task + 1)
        yield from self.with_adapter(batch, concatenate(adapters) if adapters else None)


@torch.no_grad()
def raised(base: Mapping[str, Tensor], adapters: Sequence[AdapterWeights]) -> dict[str, Tensor]:
    """The base's weights with the updates of some adapters added, in float32."""
    weights = dict(base)
    for adapter in adapters:
        for name in adapter.pairs:
            key = f"{name}.weight"
            weights[key] = weights[key] + delta_of(adapter, name).to(weights[key].device)
    return weights
