"""Attention without positions (arXiv 2305.19466), which SmolLM3 puts between rotated layers."""

from __future__ import annotations

from torch import Tensor

from nanohydra.model.attention import Attention
from nanohydra.model.layers import Context
from nanohydra.model.state import KeyValues


class UnrotatedAttention(Attention):
    """Tokens find each other by content alone; the order shows in who sees whom."""

    def forward(self, x_BTD: Tensor, context: Context, state: KeyValues | None = None) -> Tensor:
        """As `Attention`, without a rotation."""
        return super().forward(x_BTD, context.unrotated, state)
