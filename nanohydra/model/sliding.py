"""Attention to the last few tokens of a sequence (arXiv 2004.05150), as Mistral and Gemma use it.

The state keeps every place, so that a row can be cut back to any length; only those within reach
are read.
"""

from __future__ import annotations

from torch import Tensor

from nanohydra.model.attention import Attention
from nanohydra.model.layers import Context
from nanohydra.model.state import KeyValues


class SlidingAttention(Attention):
    """A token sees itself and the sliding_window - 1 before it."""

    def forward(self, x_BTD: Tensor, context: Context, state: KeyValues | None = None) -> Tensor:
        """As `Attention`, with the masks and positions of sliding layers."""
        assert context.sliding is not None
        return super().forward(x_BTD, context.sliding, state)
