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


def takes_one_query(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor) -> bool:
    """Whether `attend_one` takes these: one query, keys and values laid out alike."""
    return (
        q_BHTK.dtype == torch.bfloat16
        and q_BHTK.shape[0] == 1
        and q_BHTK.shape[2] == 1
        and not torch.is_grad_enabled()
        and k_BGSK.stride() == v_BGSK.stride()
        and k_BGSK.stride()[2:] == (k_BGSK.shape[3], 1)
        and runs_native(q_BHTK, k_BGSK, v_BGSK)
    )


def attend_one(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, divisor: float, softcap: float = 0.0
) -> Tensor:
    """Attention of one query over all given keys, y_BHTK; scores and sums are float32.

    `takes_one_query` must hold. divisor: of the scores. softcap: c > 0 makes c tanh(s / c) of
    each score s.
    """
    q = q_BHTK.contiguous()
    y = torch.empty_like(q)
    _, heads, _, width = q.shape
    _, groups, places, _ = k_BGSK.shape
    sizes = (groups, heads // groups, places, width, k_BGSK.stride(1), divisor, softcap)
    call("attend_one", q.dtype, q, k_BGSK, v_BGSK, y, *sizes)
    return y
