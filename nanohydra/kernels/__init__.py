"""Fused operations, each with a plain-PyTorch version that it is tested against."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.kernels.attention import causal_attention
    from nanohydra.kernels.cross_entropy import linear_cross_entropy
    from nanohydra.kernels.decode import matvec, takes_one_row
    from nanohydra.kernels.elementwise import (
        norm_rope,
        relu_squared,
        rms_norm,
        short_convolution,
        swiglu,
    )
    from nanohydra.kernels.int4 import int4_bytes, int4_product, quantise4
    from nanohydra.kernels.int8 import int8_product, quantise

__all__ = [
    "causal_attention",
    "int4_bytes",
    "int4_product",
    "int8_product",
    "linear_cross_entropy",
    "matvec",
    "norm_rope",
    "quantise",
    "quantise4",
    "relu_squared",
    "rms_norm",
    "short_convolution",
    "swiglu",
    "takes_one_row",
]
__getattr__ = lazy_names(
    __name__,
    {
        "causal_attention": "nanohydra.kernels.attention",
        "int4_bytes": "nanohydra.kernels.int4",
        "int4_product": "nanohydra.kernels.int4",
        "int8_product": "nanohydra.kernels.int8",
        "linear_cross_entropy": "nanohydra.kernels.cross_entropy",
        "matvec": "nanohydra.kernels.decode",
        "norm_rope": "nanohydra.kernels.elementwise",
        "quantise": "nanohydra.kernels.int8",
        "quantise4": "nanohydra.kernels.int4",
        "relu_squared": "nanohydra.kernels.elementwise",
        "rms_norm": "nanohydra.kernels.elementwise",
        "short_convolution": "nanohydra.kernels.elementwise",
        "swiglu": "nanohydra.kernels.elementwise",
        "takes_one_row": "nanohydra.kernels.decode",
    },
)
