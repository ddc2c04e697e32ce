"""Fused operations, each with a plain-PyTorch version that it is tested against."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.kernels.attention import causal_attention
    from nanohydra.kernels.cross_entropy import linear_cross_entropy
    from nanohydra.kernels.elementwise import (
        norm_rope,
        relu_squared,
        rms_norm,
        short_convolution,
        swiglu,
    )

__all__ = [
    "causal_attention",
    "linear_cross_entropy",
    "norm_rope",
    "relu_squared",
    "rms_norm",
    "short_convolution",
    "swiglu",
]
__getattr__ = lazy_names(
    __name__,
    {
        "causal_attention": "nanohydra.kernels.attention",
        "linear_cross_entropy": "nanohydra.kernels.cross_entropy",
        "norm_rope": "nanohydra.kernels.elementwise",
        "relu_squared": "nanohydra.kernels.elementwise",
        "rms_norm": "nanohydra.kernels.elementwise",
        "short_convolution": "nanohydra.kernels.elementwise",
        "swiglu": "nanohydra.kernels.elementwise",
    },
)
