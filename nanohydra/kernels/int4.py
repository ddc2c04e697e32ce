"""Weights of four bits, chosen for the least squared error, and products with them.

A weight is scale * factor * (code - 8): a float32 scale for each output, a whole factor up to 15
for each 16 inputs of it, a code up to 15. factor * (code - 8) is a whole number of 8 bits, so the
products are those of int8 weights; in memory they take 4.25 bits. matmul_int4.h has the layout.
Where there is no C compiler everything is done by PyTorch. Knows nothing of models.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import matmul, step
from nanohydra.kernels.int8 import int8_product_reference

OUTPUTS, INPUTS, GROUP = 16, 64, 16  # of a panel, of a step, of a factor
ZERO, LARGEST = 8, 15  # the code of nothing; of codes and of factors
FITS, TRIED = 2, 5  # rounds of choosing; factors tried for a group
SMALLEST = 1e-30
PART = 2**18  # weights at a time


def int4_bytes(num_out: int, width: int) -> int:
    """Memory of int4 weights without their scales."""
    steps = -(-num_out // OUTPUTS) * -(-width // INPUTS)
    return steps * (OUTPUTS * INPUTS // 2 + OUTPUTS * INPUTS // GROUP // 2)


def quantise4(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Packed int4 weights, uint8 of one dimension, and the float32 scale of each output.

    The first scale reaches an output's largest weight. In turn each group takes the factor that
    is best for the scale, and the scale becomes the best one for the factors and codes.
    """
    num_out, width = weight_OI.shape
    weight_OI = weight_OI.detach()
    library = step.library() if weight_OI.device.type == "cpu" else None
    if library is None:
        parts = [_quantise(part.float()) for part in torch.split(weight_OI, max(1, PART // width))]
        codes, factors, scales = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return pack(codes, factors), scales
    packed = torch.zeros(int4_bytes(num_out, width), dtype=torch.uint8)
    scale_O = torch.empty(num_out)
    exact = weight_OI.float().contiguous()
    library.int4_quantise(
        *_addresses(exact), *_sizes(num_out, width), *_addresses(packed, scale_O), *_threads()
    )
    return packed, scale_O


def _quantise(weight_OI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (O, I), factors (O, groups) and scales (O) of some outputs, as matmul_int4.c does."""
    num_out, width = weight_OI.shape
    x_OGN = F.pad(weight_OI, (0, -width % GROUP)).view(num_out, -1, GROUP)
    largest_O = weight_OI.abs().amax(1)
    usable_O = largest_O.isfinite() & (largest_O >= SMALLEST)
    scale_O11 = torch.where(usable_O, largest_O / (ZERO * LARGEST), 1.0)[:, None, None]
    for _ in range(FITS):
        factor_OG1, code_OGN = _best_factors(x_OGN, scale_O11)
        made_OGN = (code_OGN * factor_OG1).double()
        products = (x_OGN * made_OGN).sum((1, 2), keepdim=True)
        scale_O11 = (products / made_OGN.square().sum((1, 2), keepdim=True)).float()
        scale_O11 = torch.where(usable_O[:, None, None], scale_O11, 1.0)
    scale_O = torch.where(usable_O, scale_O11[:, 0, 0], 0.0)
    scale_O = torch.where(largest_O.isfinite(), scale_O, torch.nan)
    code_OGN = torch.where(usable_O[:, None, None], code_OGN, 0.0) + ZERO
    return code_OGN.to(torch.uint8).view(num_out, -1)[:, :width], factor_OG1[..., 0], scale_O


def _best_factors(x_OGN: Tensor, scale_O11: Tensor) -> tuple[Tensor, Tensor]:
    """The factor (O, G, 1) of each group, and codes less 8, with the least squared error."""
    first = (x_OGN.abs().amax(2, keepdim=True) / (7.5 * scale_O11)).ceil_().clamp_(max=LARGEST)
    factor = best = least = torch.full_like(first, torch.inf)
    for number in range(TRIED):
        tried = (first - number).clamp_(min=1)
        step = scale_O11 * tried
        code = (x_OGN * (1.0 / step)).round_().clamp_(-ZERO, ZERO - 1)
        error = (x_OGN - code * step).square_().sum(2, keepdim=True)
        less = error < least
        factor, best = torch.where(less, tried, factor), torch.where(less, code, best)
        least = torch.where(less, error, least)
    return factor, best


def pack(codes_OI: Tensor, factors_OG: Tensor) -> Tensor:
    """Codes and factors, a number each, in the layout of matmul_int4.h."""
    num_out, width = codes_OI.shape
    rows, steps = -num_out % OUTPUTS, -(-width // INPUTS)
    codes = F.pad(codes_OI.to(torch.uint8), (0, -width % INPUTS, 0, rows), value=ZERO)
    groups = steps * (INPUTS // GROUP) - factors_OG.shape[1]
    factors = F.pad(factors_OG.to(torch.uint8), (0, groups, 0, rows))
    # (panel, pair or half, its output, step, input or group)
    pairs = codes.view(-1, OUTPUTS // 2, 2, steps, INPUTS).permute(0, 3, 2, 1, 4)
    halves = factors.view(-1, 2, OUTPUTS // 2, steps, INPUTS // GROUP).permute(0, 3, 1, 2, 4)
    return torch.cat([(each[:, :, 0] | each[:, :, 1] << 4).flatten() for each in (pairs, halves)])


def unpack(packed: Tensor, num_out: int, width: int) -> Tensor:
    """The weights as int8 (O, I), without their scales."""
    library = step.library() if packed.device.type == "cpu" else None
    if library is not None:
        int8_OI = torch.empty(num_out, width, dtype=torch.int8)
        library.int4_widen(
            *_addresses(packed), *_sizes(num_out, width), *_addresses(int8_OI), *_threads()
        )
        return int8_OI
    panels, steps = -(-num_out // OUTPUTS), -(-width // INPUTS)
    codes, factors = torch.split(
        packed, [num := panels * steps * OUTPUTS * INPUTS // 2, len(packed) - num]
    )
    shape = (panels, steps, 1, OUTPUTS // 2, -1)
    both = [
        torch.cat([each.view(shape) & 15, each.view(shape) >> 4], 2) for each in (codes, factors)
    ]
    codes_OI = both[0].permute(0, 3, 2, 1, 4).reshape(panels * OUTPUTS, -1)
    factors_OG = both[1].permute(0, 2, 3, 1, 4).reshape(panels * OUTPUTS, -1)
    factors_OI = factors_OG.repeat_interleave(GROUP, 1).to(torch.int8)
    return ((codes_OI.to(torch.int8) - ZERO) * factors_OI)[:num_out, :width].contiguous()


def int4_product(
    x: Tensor,
    packed: Sequence[Tensor],
    scales_O: Sequence[Tensor],
    biases_O: Sequence[Tensor | None],
) -> list[Tensor]:
    """x W^T + b for several int4 matrices; x (..., I), each output (..., O), of the dtype of x."""
    width = x.shape[-1]
    rows = x.numel() // width if width else 0
    library = step.library() if x.device.type == "cpu" and x.dtype in step.DTYPES else None
    triples = zip(packed, scales_O, biases_O, strict=True)
    if library is None or not rows or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return [
            int8_product_reference(x, unpack(each, len(scale), width), scale, bias)
            for each, scale, bias in triples
        ]
    x_NI, threads = x.reshape(rows, width).contiguous(), torch.get_num_threads()
    outputs = (
        matmul.linear(x_NI, each, bias, scale, dtype=x.dtype, threads=threads, loaded=library)
        for each, scale, bias in triples
    )
    return [y.to(x.dtype).view(*x.shape[:-1], -1) for y in outputs]


def _addresses(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(*sizes: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(size) for size in sizes]


def _threads() -> list[ctypes.c_int64]:
    return _sizes(torch.get_num_threads())
