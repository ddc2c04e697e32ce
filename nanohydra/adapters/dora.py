"""DoRA: the length of each output's weights is learned apart from their direction.

arXiv 2402.09353. W' = m * (W + s B A) / |W + s B A|, with a norm per output. The norm is taken as
a constant in the backward pass (section 4.3 there): with a gradient through it the loss would be
the same and the direction of the update another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.layer import AdapterLinear, Parts, uniform


class DoraLinear(AdapterLinear):
    """lora_a (rank, in), lora_b (out, rank), lora_magnitude (out,).

    A training loop that computes in bfloat16 rounds the magnitude to three digits, which hides
    small changes of it: train in float32 where they matter.
    """

    peft_names: ClassVar[Mapping[str, str]] = {
        "lora_a": "lora_A.weight",
        "lora_b": "lora_B.weight",
        "lora_magnitude": "lora_magnitude_vector",
    }
    lora_a: Tensor
    lora_b: Tensor
    lora_magnitude: Tensor

    @staticmethod
    def fresh(
        linear: nn.Linear, config: LoraConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """A is uniform, B zero, and the magnitude is the length that the weights have."""
        wide = linear.in_features
        return {
            "lora_a": uniform((config.rank, wide), wide, generator),
            "lora_b": torch.zeros(linear.out_features, config.rank),
            "lora_magnitude": length(linear.weight.detach().float()).cpu(),
        }

    @classmethod
    def shapes(cls, parts: Parts, out: int, wide: int) -> Mapping[str, tuple[int, ...]]:
        """As the class says."""
        rank = parts["lora_a"].shape[0]
        return {"lora_a": (rank, wide), "lora_b": (out, rank), "lora_magnitude": (out,)}

    def delta(self) -> Tensor:
        """The whole difference to the weight, its new length included."""
        weight = self.weight.float()
        turned = torch.addmm(weight, self.lora_b.float(), self.lora_a.float(), alpha=self.scale)
        return self.gain()[:, None] * turned - weight

    def gain(self) -> Tensor:
        """What each output is multiplied by, float32 (out,); 1 exactly for a fresh adapter."""
        with torch.no_grad():
            low = self.scale * (self.lora_b.float() @ self.lora_a.float())
            # Rounded as the magnitude is, so that they stay equal where it was rounded.
            norm = length(self.weight.float() + low).to(self.lora_magnitude.dtype)
        return self.lora_magnitude.float() / norm.float()

    def update(self, x_NI: Tensor, y_NO: Tensor) -> Tensor:
        """y + (g - 1) W x + g s B A x, with g the gain; both products see the same dropped x."""
        dropout = self.dropout if self.training else 0.0
        gain_O = self.gain()
        if dropout:
            x_NI = F.dropout(x_NI, dropout)
            own_NO = F.linear(x_NI, self.weight)
        else:
            own_NO = y_NO if self.bias is None else y_NO - self.bias
        a_RI, b_OR = self.lora_a.to(x_NI.dtype), self.lora_b.to(x_NI.dtype)
        low_NO = F.linear(F.linear(x_NI, a_RI), b_OR)
        more_NO = own_NO * (gain_O - 1).to(x_NI.dtype) + low_NO * (gain_O * self.scale).to(
            x_NI.dtype
        )
        return y_NO + more_NO


def length(weight_OI: Tensor) -> Tensor:
    """The 2-norm of the weights of each output."""
    norm: Tensor = torch.linalg.vector_norm(weight_OI, dim=1)
    return norm
