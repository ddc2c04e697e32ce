"""O-LoRA: adapters in subspaces that are orthogonal to those of earlier tasks, all of them summed.

Wang et al. 2023 (arXiv 2310.14152). The rows of A span what an adapter looks at; the penalty is
strength * sum |A_old A_new^T| over all layers and earlier adapters, as in the authors' program (the
paper writes squares). It is zero exactly if the subspaces are orthogonal. Nobody has to say which
task it is, but parameters grow with the tasks, and the outputs of all adapters add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.adapters import concatenate
from nanohydra.continual.strategies.nested_lora import NestedLora
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch
from nanohydra.training.hooks import Moment


@dataclass(frozen=True, kw_only=True)
class OLoraConfig:
    """strength: lambda_1 of the paper."""

    strength: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what draws the subspaces together."""
        if self.strength < 0:
            raise UserError(f"strength is {self.strength}; it must not be negative")


class OLora(NestedLora):
    """A sum of all adapters, for every task alike."""

    Config = OLoraConfig

    def penalty(self, batch: Batch, moment: Moment) -> Tensor | None:
        """How far the new subspaces overlap with the old ones."""
        assert self.attached is not None
        if not self.adapters:
            return None
        new = {name: layer.lora_a for name, layer in self.attached.layers.items()}
        total = sum(
            overlap({name: pair.a_RI for name, pair in weights.pairs.items()}, new)
            for weights in self.adapters.values()
        )
        assert isinstance(total, Tensor)
        return self.config.strength * total

    def answered(self, batch: Batch, task: int) -> Iterator[Batch]:
        """With all adapters."""
        adapters = list(self.adapters.values())
        yield from self.with_adapter(batch, concatenate(adapters) if adapters else None)


def overlap(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Tensor:
    """Sum over layers of |A_old A_new^T|, each A (rank, in); differentiable in `new`."""
    parts = [(a_RI.to(new[name].device) @ new[name].float().T).abs() for name, a_RI in old.items()]
    return torch.stack([part.sum() for part in parts]).sum()
