"""LoHa: the update is the product, element by element, of two low-rank matrices.

FedPara, arXiv 2108.06098, and LyCORIS, arXiv 2309.14859. With 2 r (in + out) numbers its rank may
reach r * r, where LoRA's is 2 r. Formed anew in every pass, so it costs a matrix of the weight's
size where LoRA costs two thin products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.layer import AdapterLinear, Parts, uniform

NAMES = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


class LohaLinear(AdapterLinear):
    """hada_w1_a, hada_w2_a (out, rank) and hada_w1_b, hada_w2_b (rank, in)."""

    peft_names: ClassVar[Mapping[str, str]] = {name: name for name in NAMES}
    hada_w1_a: Tensor
    hada_w1_b: Tensor
    hada_w2_a: Tensor
    hada_w2_b: Tensor

    @staticmethod
    def fresh(
        linear: nn.Linear, config: LoraConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """All uniform but the last, which is zero."""
        out, wide, rank = linear.out_features, linear.in_features, config.rank
        return {
            "hada_w1_a": uniform((out, rank), rank, generator),
            "hada_w1_b": uniform((rank, wide), wide, generator),
            "hada_w2_a": uniform((out, rank), rank, generator),
            "hada_w2_b": torch.zeros(rank, wide),
        }

    @classmethod
    def shapes(cls, parts: Parts, out: int, wide: int) -> Mapping[str, tuple[int, ...]]:
        """As the class says."""
        rank = parts["hada_w1_b"].shape[0]
        return {name: (out, rank) if name.endswith("a") else (rank, wide) for name in NAMES}

    def delta(self) -> Tensor:
        """s * (w1_a w1_b) * (w2_a w2_b)."""
        first = self.hada_w1_a.float() @ self.hada_w1_b.float()
        second = self.hada_w2_a.float() @ self.hada_w2_b.float()
        return first * second * self.scale
