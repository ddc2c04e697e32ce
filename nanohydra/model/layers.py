"""Norms and positions, and the context that a forward call shares among its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm over the residual width that the configuration asks for."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.hidden_size, config.norm_eps)
    return nn.LayerNorm(config.hidden_size, config.norm_eps)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the layers of one forward call have in common.

    positions_BT: place of each token in its own sequence.
    cos_BT1K, sin_BT1K: rotary tables for these positions, None for other position kinds.
    mask_B1TS: True where a query may look at a key; None means plain causal.
    rows: which rows of the decoding state are extended; None when there is no state.
    """

    positions_BT: Tensor
    cos_BT1K: Tensor | None
    sin_BT1K: Tensor | None
    mask_B1TS: Tensor | None
    rows: Rows | None


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines (max_seq_len, head_dim / 2) of rotary positions (arXiv 2104.09864)."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angles = torch.outer(torch.arange(config.max_seq_len).double(), config.rope_theta**-half)
    return angles.cos().float(), angles.sin().float()


def apply_rope(x_BTHK: Tensor, cos_BT1K: Tensor, sin_BT1K: Tensor) -> Tensor:
    """Rotate the two halves of each head against each other (Hugging Face's layout).

    The tables have the full head size: the halves repeated, and the first half of the sine negated.
    """
    swapped = torch.roll(x_BTHK, x_BTHK.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHK * cos_BT1K, swapped, sin_BT1K)


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Fixed positions (length, width) of "Attention is all you need" (arXiv 1706.03762)."""
    rate = 10000.0 ** (-torch.arange(0, width, 2).double() / width)
    angles = torch.outer(torch.arange(length).double(), rate)
    table = torch.zeros(length, width)
    table[:, 0::2] = angles.sin().float()
    table[:, 1::2] = angles.cos().float()[:, : width // 2]
    return table
