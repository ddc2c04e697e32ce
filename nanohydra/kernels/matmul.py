"""One product through the kernels of whole decoder steps, for tests and benchmarks.

A step calls `matmul.c` from its own threads; here it gets a team for one product. Plain PyTorch's
F.linear is the reference. Knows nothing of models, and of no gradient.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from nanohydra.kernels.native import load
from nanohydra.kernels.step import DTYPES, Matrix

SOURCES = (
    *("matmul.c", "matmul.h", "matmul_amx.h", "matmul_fixed.h", "matmul_float.h", "matmul_int4.c"),
    *("matmul_int4.h", "matmul_lanes.h", "matmul_pairs.h", "matmul_transpose.h"),
)
ALIGNMENT = 64


def matrix_of(
    weight: Tensor, width: int, bias_O: Tensor | None, scale_O: Tensor | None, dtype: torch.dtype
) -> Matrix:
    """What C reads of a linear layer in a model of a dtype; the tensors must stay alive.

    weight: (O, I) in that dtype or int8, or packed int4, which is uint8.
    """
    for tensor in (weight, bias_O, scale_O):
        assert tensor is None or (tensor.is_contiguous() and tensor.device.type == "cpu")
    assert (weight.dtype in (torch.int8, torch.uint8)) == (scale_O is not None)
    assert weight.dtype in (dtype, torch.int8, torch.uint8)
    assert bias_O is None or bias_O.dtype == dtype
    return Matrix(
        weight.data_ptr(),
        len(weight if scale_O is None else scale_O),
        width,
        DTYPES[weight.dtype],
        DTYPES[dtype],
        None if scale_O is None else scale_O.data_ptr(),
        None if bias_O is None else bias_O.data_ptr(),
    )


@functools.cache
def library(flags: Sequence[str] = ()) -> ctypes.CDLL | None:
    """The kernels alone as a library, None where it cannot be compiled."""
    loaded = load("matmul", SOURCES, flags)
    if loaded is not None:
        loaded.matmul_start.restype = ctypes.c_char_p
        loaded.matmul_packed_bytes.restype = ctypes.c_int64
        loaded.matmul_start(1)
    return loaded


def linear(
    x_NI: Tensor,
    weight: Tensor,
    bias_O: Tensor | None = None,
    scale_O: Tensor | None = None,
    *,
    dtype: torch.dtype,
    threads: int = 1,
    loaded: ctypes.CDLL | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """x W^T + b in float32 (N, O), W int8 or packed int4 times its scales, or in the model's dtype.

    x: float32 or bfloat16; with dtype bfloat16 it is rounded to that. loaded: another library.
    """
    loaded = loaded or library()
    assert loaded is not None and x_NI.is_contiguous() and x_NI.dtype in DTYPES
    n, width = x_NI.shape
    matrix = matrix_of(weight, width, bias_O, scale_O, dtype)
    y_NO = x_NI.new_empty(n, matrix.out, dtype=torch.float32) if out is None else out
    sizes = (ctypes.c_int64(n), ctypes.c_int64(width), DTYPES[dtype])
    packed = torch.empty(loaded.matmul_packed_bytes(*sizes) + ALIGNMENT, dtype=torch.uint8)
    place = -(-packed.data_ptr() // ALIGNMENT) * ALIGNMENT
    loaded.matmul_alone(
        ctypes.byref(matrix),
        ctypes.c_void_p(x_NI.data_ptr()),
        DTYPES[x_NI.dtype],
        ctypes.c_int64(n),
        ctypes.c_void_p(place),
        ctypes.c_void_p(y_NO.data_ptr()),
        ctypes.c_int64(threads),
    )
    return y_NO
