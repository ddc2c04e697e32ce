"""Norms, and the context that a forward call shares among its layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from nanohydra.kernels import rms_norm
from nanohydra.model.config import ModelConfig
from nanohydra.model.state import Extension


class RMSNorm(nn.Module):
    """Root mean square norm (arXiv 1910.07467) with a learned scale, computed in float32.

    unit_offset: the scale is 1 + weight, as in Gemma.
    """

    def __init__(self, width: int, eps: float, *, unit_offset: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps
        self.offset = 1.0 if unit_offset else 0.0

    @property
    def arguments(self) -> tuple[Tensor, float, float]:
        """Weight, epsilon and offset, for kernels that norm as part of more."""
        return self.weight, self.eps, self.offset

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., width)."""
        return rms_norm(x, self.weight, self.eps, self.offset)


def make_rms_norm(config: ModelConfig, width: int) -> RMSNorm:
    """A root mean square norm in the configuration's manner."""
    return RMSNorm(width, config.norm_eps, unit_offset=config.norm_unit_offset)


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm over the residual width that the configuration asks for."""
    if config.norm == "rmsnorm":
        return make_rms_norm(config, config.hidden_size)
    return nn.LayerNorm(config.hidden_size, config.norm_eps)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the layers of one forward call have in common.

    positions_BT: place of each token in its own sequence.
    cos_LJ, sin_LJ: rotary tables over all positions, None for other position kinds.
    bias_B1TT: added to the scores of a call without state, 0 or -inf; None means plain causal.
    mask_B1TS: with a state, True where a query may look at a key; None means everywhere.
    first_key: with a state, the keys before it are left out; the mask begins with it.
    rows: how the decoding state is extended; None when there is no state.
    sliding: the same for layers with a sliding window; None if there are none.
    """

    positions_BT: Tensor
    cos_LJ: Tensor | None = None
    sin_LJ: Tensor | None = None
    bias_B1TT: Tensor | None = None
    mask_B1TS: Tensor | None = None
    first_key: int = 0
    rows: Extension | None = None
    sliding: Context | None = None

    @cached_property
    def unrotated(self) -> Context:
        """The same for layers without rotary positions."""
        return replace(self, cos_LJ=None, sin_LJ=None)

    @cached_property
    def visible_B1TT(self) -> Tensor:
        """Without a state, True where a query may look at a key."""
        if self.bias_B1TT is not None:
            return self.bias_B1TT == 0
        length = self.positions_BT.shape[1]
        ones = torch.ones(length, length, dtype=torch.bool, device=self.positions_BT.device)
        return ones.tril()[None, None]


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Fixed positions (length, width) of "Attention is all you need" (arXiv 1706.03762)."""
    rate = 10000.0 ** (-torch.arange(0, width, 2).double() / width)
    angles = torch.outer(torch.arange(length).double(), rate)
    table = torch.zeros(length, width)
    table[:, 0::2] = angles.sin().float()
    table[:, 1::2] = angles.cos().float()[:, : width // 2]
    return table
