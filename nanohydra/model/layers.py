"""Norms and positions, and the context that a forward call shares among its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nanohydra.kernels import rms_norm
from nanohydra.model.config import ModelConfig
from nanohydra.model.state import Rows


class RMSNorm(nn.Module):
    """Root mean square norm (arXiv 1910.07467) with a learned scale, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., width)."""
        return rms_norm(x, self.weight, self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm over the residual width that the configuration asks for."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.hidden_size, config.norm_eps)
    return nn.LayerNorm(config.hidden_size, config.norm_eps)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the layers of one forward call have in common.

    positions_BT: place of each token in its own sequence.
    cos_LJ, sin_LJ: rotary tables over all positions, None for other position kinds.
    bias_B1TT: added to the scores of a call without state, 0 or -inf; None means plain causal.
    mask_B1TS: with a state, True where a query may look at a key; None means everywhere.
    rows: which rows of the decoding state are extended; None when there is no state.
    """

    positions_BT: Tensor
    cos_LJ: Tensor | None = None
    sin_LJ: Tensor | None = None
    bias_B1TT: Tensor | None = None
    mask_B1TS: Tensor | None = None
    rows: Rows | None = None


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines (max_seq_len, head_dim / 2) of rotary positions (arXiv 2104.09864)."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angles = torch.outer(torch.arange(config.max_seq_len).double(), config.rope_theta**-half)
    return angles.cos().float(), angles.sin().float()


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Fixed positions (length, width) of "Attention is all you need" (arXiv 1706.03762)."""
    rate = 10000.0 ** (-torch.arange(0, width, 2).double() / width)
    angles = torch.outer(torch.arange(length).double(), rate)
    table = torch.zeros(length, width)
    table[:, 0::2] = angles.sin().float()
    table[:, 1::2] = angles.cos().float()[:, : width // 2]
    return table
