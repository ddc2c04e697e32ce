"""Products with weights of one byte: read once for a few rows, converted in parts for many.

Decoding on a CPU is bound by reading weights, and int8 has half of bfloat16's bytes. Weights are
symmetric with one float32 scale for each output; activations
stay as they are, and sums are float32. Knows nothing of models, and of no gradient.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels.native import call, runs_native

LARGEST = 127
# Rows in one pass of int8.h, and up to how many rows such passes beat converting the weights for
# PyTorch's product: 16 take as long both ways (two cores, matrices of 2 and of 11 million).
PASS_ROWS = 4
FEW_ROWS = 12
QUANTISED = 2**20  # weights at a time, so that float32 copies stay small
PART_BYTES = 2**25  # of converted weights at a time; each further part costs a product's start
_held = threading.local()


def quantise(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """int8 weights and the float32 scale of each output: weight = int8 * scale, to the nearest."""
    weight_OI = weight_OI.detach()
    int8_OI = torch.empty_like(weight_OI, dtype=torch.int8, memory_format=torch.contiguous_format)
    scale_O = torch.empty(len(weight_OI), device=weight_OI.device)
    size = max(1, QUANTISED // max(1, weight_OI.shape[1]))
    for start in range(0, len(weight_OI), size):
        exact = weight_OI[start : start + size].float()
        scale = scale_O[start : start + size] = exact.abs().amax(1) / LARGEST
        divisor = scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
        int8_OI[start : start + size] = (exact / divisor).round_()
    return int8_OI, scale_O


def int8_product(
    x: Tensor,
    weights_OI: Sequence[Tensor],
    scales_O: Sequence[Tensor],
    biases_O: Sequence[Tensor | None],
) -> list[Tensor]:
    """x W^T + b for several int8 matrices W = weight * scale; x (..., I), each output (..., O)."""
    width = x.shape[-1]
    rows = x.numel() // width if width else 0
    plain = (x, *(bias for bias in biases_O if bias is not None))
    if not 0 < rows <= FEW_ROWS or torch.is_grad_enabled() or not runs_native(*plain):
        triples = zip(weights_OI, scales_O, biases_O, strict=True)
        return [int8_product_reference(x, *triple) for triple in triples]
    x_NI = x.reshape(rows, width).contiguous()
    outputs = [x.new_empty(rows, len(weight)) for weight in weights_OI]
    count = len(weights_OI)
    pointers, sizes = ctypes.c_void_p * count, ctypes.c_int64 * count
    shared = (
        pointers(*(weight.data_ptr() for weight in weights_OI)),
        pointers(*(scale.data_ptr() for scale in scales_O)),
        pointers(*(None if bias is None else bias.data_ptr() for bias in biases_O)),
    )
    lengths = sizes(*map(len, weights_OI))
    for start in range(0, rows, PASS_ROWS):
        part = [y[start:] for y in outputs]
        call(
            "int8_product",
            x.dtype,
            x_NI[start:],
            *shared,
            pointers(*(y.data_ptr() for y in part)),
            lengths,
            count,
            width,
            min(PASS_ROWS, rows - start),
        )
    return [y.view(*x.shape[:-1], y.shape[1]) for y in outputs]


def int8_product_reference(
    x: Tensor, weight_OI: Tensor, scale_O: Tensor, bias_O: Tensor | None
) -> Tensor:
    """The same for one matrix with PyTorch's product, which is the faster one for many rows."""
    num_out, width = weight_OI.shape
    size = max(1, PART_BYTES // max(1, width * x.element_size()))
    scratch_OI = scratch(x, min(size, num_out), width)
    parts = []
    for start in range(0, num_out, size):
        place = slice(start, min(start + size, num_out))
        part_OI = widen(weight_OI[place], scale_O[place], scratch_OI[: place.stop - start])
        parts.append(F.linear(x, part_OI, None if bias_O is None else bias_O[place]))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def widen(weight_OI: Tensor, scale_O: Tensor, out_OI: Tensor) -> Tensor:
    """The weights in the dtype of `out_OI`, which is written and returned."""
    if runs_native(out_OI):
        call("int8_widen", out_OI.dtype, weight_OI, scale_O, out_OI, *out_OI.shape)
        return out_OI
    return out_OI.copy_(weight_OI.float().mul_(scale_O[:, None]))


def scratch(like: Tensor, num_out: int, width: int) -> Tensor:
    """Room for converted weights, kept by each thread: getting it anew costs as much as filling it.

    What it held before is lost.
    """
    key, size = f"{like.device} {like.dtype}", num_out * width
    room: Tensor | None = _held.__dict__.get(key)
    if room is None or room.numel() < size:
        with torch.inference_mode(False):
            room = like.new_empty(size)
        _held.__dict__[key] = room
    return room[:size].view(num_out, width)
