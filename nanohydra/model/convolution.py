"""Gated short convolution: each channel mixes the last few tokens, gated before and after.

The operator of LFM2's convolution layers, in its Hugging Face layout. It carries the previous
tokens' identity into each place, which is what a later attention layer needs to look things up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanohydra.kernels import short_convolution
from nanohydra.model.config import ModelConfig
from nanohydra.model.layers import Context
from nanohydra.model.linear import Linear
from nanohydra.model.paged import ConvolutionPages
from nanohydra.model.state import ConvolutionState, Inputs


class ShortConvolution(nn.Module):
    """x_BTD -> y_BTD; place t sees t - kernel + 1 .. t of its own segment."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kernel = config.conv_kernel
        width = config.hidden_size
        self.in_proj = Linear(width, 3 * width, bias=config.bias)
        self.out_proj = Linear(width, width, bias=config.bias)
        self.conv_weight = nn.Parameter(torch.zeros(config.conv_kernel, width))

    def init_state(
        self, num_rows: int, max_length: int, dtype: torch.dtype, device: torch.device
    ) -> ConvolutionState:
        """An empty window for `num_rows` sequences."""
        shape = (num_rows, self.kernel - 1, self.conv_weight.shape[1])
        return ConvolutionState(torch.zeros(shape, dtype=dtype, device=device))

    def init_pages(
        self, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> ConvolutionPages:
        """Empty pages for the inputs."""
        shape = (num_blocks, block_size, self.conv_weight.shape[1])
        return ConvolutionPages(torch.zeros(shape, dtype=dtype, device=device), self.kernel)

    def forward(self, x_BTD: Tensor, context: Context, state: Inputs | None = None) -> Tensor:
        """Mix the given tokens, and what the state holds of those before them."""
        projected_BTE = self.in_proj(x_BTD)
        if state is None:
            y = short_convolution(projected_BTE, self.conv_weight, context.positions_BT)
            return self.out_proj(y)
        assert context.rows is not None
        before, after, value = projected_BTE.chunk(3, dim=-1)
        u_BTD = before * value
        mixed = self.mix_window(state.extend(context.rows, u_BTD), u_BTD.shape[1])
        return self.out_proj(after * mixed)

    def mix_window(self, window_BSD: Tensor, length: int) -> Tensor:
        """Each token mixed with those before it; window (B, kernel - 1 + length, D)."""
        return sum(
            (window_BSD[:, k : k + length] * self.conv_weight[k] for k in range(self.kernel)),
            start=torch.zeros((), dtype=window_BSD.dtype, device=window_BSD.device),
        )
