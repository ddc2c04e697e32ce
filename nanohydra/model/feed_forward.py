"""What each token does on its own between mixing steps: a gated or a plain feed-forward."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.kernels import relu_squared, swiglu
from nanohydra.model.config import ModelConfig
from nanohydra.model.linear import Linear, project


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), arXiv 2002.05202."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        bias = config.has_bias("feed_forward")
        self.gate_proj = Linear(width, inner, bias=bias)
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x_BTD -> y_BTD."""
        gate, up = project(x_BTD, self.gate_proj, self.up_proj)
        return self.down_proj(swiglu(gate, up))


class GeGLU(SwiGLU):
    """down(gelu(gate(x)) * up(x)), arXiv 2002.05202, with the tanh approximation, as in Gemma."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x_BTD -> y_BTD."""
        gate, up = project(x_BTD, self.gate_proj, self.up_proj)
        return self.down_proj(F.gelu(gate, approximate="tanh") * up)


class GELU(nn.Module):
    """down(gelu(up(x))) with GPT-2's tanh approximation, arXiv 1606.08415."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        bias = config.has_bias("feed_forward")
        self.up_proj = Linear(width, inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x_BTD -> y_BTD."""
        return self.down_proj(F.gelu(self.up_proj(x_BTD), approximate="tanh"))


class ReLUSquared(GELU):
    """down(relu(up(x))^2), arXiv 2109.08668."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x_BTD -> y_BTD."""
        return self.down_proj(relu_squared(self.up_proj(x_BTD)))
