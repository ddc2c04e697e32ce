"""What one new token of one sequence takes on a CPU in bfloat16: matrices times one vector.

Decoding at batch 1 reads every weight once and computes little, so what counts is how fast the
weights are read and how often threads are woken. PyTorch's matrix product reads them at about two
thirds of the speed and wakes threads for the smallest ones. Elsewhere the callers use PyTorch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from nanohydra.kernels.native import call, runs_native


def takes_one_row(x: Tensor, *weights_OI: Tensor) -> bool:
    """Whether `matvec` takes this input (..., I) and these matrices."""
    return (
        x.dtype == torch.bfloat16
        and x.numel() == x.shape[-1]
        and not torch.is_grad_enabled()
        and runs_native(x, *weights_OI)
        and all(weight.is_contiguous() for weight in weights_OI)
    )


def matvec(
    x: Tensor, weights_OI: Sequence[Tensor], biases_O: Sequence[Tensor | None]
) -> list[Tensor]:
    """x W^T + b for several matrices at once, each (..., O); sums are float32.

    `takes_one_row` must hold.
    """
    count, x = len(weights_OI), x.contiguous()
    shape = x.shape[:-1]
    outputs = [x.new_empty(*shape, len(weight)) for weight in weights_OI]
    pointers, sizes = ctypes.c_void_p * count, ctypes.c_int64 * count
    call(
        "matvec",
        x.dtype,
        x,
        pointers(*(weight.data_ptr() for weight in weights_OI)),
        pointers(*(None if bias is None else bias.data_ptr() for bias in biases_O)),
        pointers(*(output.data_ptr() for output in outputs)),
        sizes(*(len(weight) for weight in weights_OI)),
        count,
        x.shape[-1],
    )
    return outputs
