"""Fused operations, each with a reference in plain PyTorch."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.kernels.cross_entropy import (
        linear_cross_entropy,
        linear_cross_entropy_reference,
    )

__all__ = ["linear_cross_entropy", "linear_cross_entropy_reference"]
_MODULE = "nanohydra.kernels.cross_entropy"
__getattr__ = lazy_names(__name__, {name: _MODULE for name in __all__})
