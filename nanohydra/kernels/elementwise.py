"""Norms, rotary positions and activations, each one pass over memory on a CPU.

Every function computes in float32 whatever its inputs are. Where the C versions cannot run (other
devices, torch.compile, no compiler), PyTorch's operators do the same. Knows nothing of models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nanohydra.kernels.native import call, runs_native


def rms_norm(x: Tensor, weight_D: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """x / rms(x) * (weight + offset) over the last dimension (arXiv 1910.07467).

    Any leading shape. offset: 1 where the file's weights are differences from one, as in Gemma.
    """
    if not runs_native(x, weight_D):
        return rms_norm_reference(x, weight_D, eps, offset)
    if not torch.is_grad_enabled():  # without what autograd does, which takes longer than a row
        x = x.contiguous()
        y, width = torch.empty_like(x), x.shape[-1]
        call("rms_norm", x.dtype, x, weight_D, y, x.numel() // width, width, eps, offset)
        return y
    result: Tensor = _RMSNorm.apply(x, weight_D, eps, offset)  # type: ignore[no-untyped-call]
    return result


def rms_norm_reference(x: Tensor, weight_D: Tensor, eps: float, offset: float = 0.0) -> Tensor:
    """The same in plain PyTorch."""
    if not offset:
        return F.rms_norm(x, weight_D.shape, weight_D, eps)
    # A sum of 1 and a small weight would be rounded in bfloat16.
    return F.rms_norm(x.float(), weight_D.shape, weight_D.float() + offset, eps).to(x.dtype)


def norm_rope(
    x_BTHK: Tensor,
    weight_K: Tensor | None,
    eps: float,
    positions_BT: Tensor,
    cos_LJ: Tensor,
    sin_LJ: Tensor,
    offset: float = 0.0,
) -> Tensor:
    """Norm over each head (none if weight is None), then its two halves rotated by position.

    cos_LJ, sin_LJ: float32 tables over L positions and J = K / 2 angles (arXiv 2104.09864, halves
    as in Hugging Face's models). offset: as in `rms_norm`.
    """
    weights = () if weight_K is None else (weight_K,)
    if not runs_native(x_BTHK, *weights) or cos_LJ.dtype != torch.float32:
        return norm_rope_reference(x_BTHK, weight_K, eps, positions_BT, cos_LJ, sin_LJ, offset)
    positions_BT = positions_BT.expand(x_BTHK.shape[:2]).contiguous()
    if not torch.is_grad_enabled():
        x = x_BTHK.contiguous()
        y = torch.empty_like(x)
        sizes = (positions_BT.numel(), x.shape[2], x.shape[3], eps, offset)
        call("norm_rope", x.dtype, x, weight_K, positions_BT, cos_LJ, sin_LJ, y, *sizes)
        return y
    result: Tensor = _NormRope.apply(  # type: ignore[no-untyped-call]
        x_BTHK, weight_K, eps, positions_BT, cos_LJ, sin_LJ, offset
    )
    return result


def norm_rope_reference(
    x_BTHK: Tensor,
    weight_K: Tensor | None,
    eps: float,
    positions_BT: Tensor,
    cos_LJ: Tensor,
    sin_LJ: Tensor,
    offset: float = 0.0,
) -> Tensor:
    """The same in plain PyTorch."""
    if weight_K is not None:
        x_BTHK = rms_norm_reference(x_BTHK, weight_K, eps, offset)
    cos, sin = cos_LJ[positions_BT].unsqueeze(2), sin_LJ[positions_BT].unsqueeze(2)  # (B, T, 1, J)
    a, b = x_BTHK.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x_BTHK.dtype)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (arXiv 2002.05202)."""
    if not runs_native(gate, up):
        return F.silu(gate) * up
    if not torch.is_grad_enabled():
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        call("swiglu", y.dtype, gate, up, y, y.numel())
        return y
    result: Tensor = _SwiGLU.apply(gate, up)  # type: ignore[no-untyped-call]
    return result


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)^2 (arXiv 2109.08668)."""
    if not runs_native(x):
        return F.relu(x).square()
    result: Tensor = _ReLUSquared.apply(x)  # type: ignore[no-untyped-call]
    return result


def short_convolution(projected_BTE: Tensor, weight_KD: Tensor, positions_BT: Tensor) -> Tensor:
    """LFM2's gated short convolution between its two projections, y_BTD.

    projected_BTE: E = 3 D: the gate before, the gate after and the value. weight_KD: per channel,
    the token's own weight last. A place sees as many places before it as its position says, at
    most K - 1, so that sequences packed into a row do not mix.
    """
    if not runs_native(projected_BTE, weight_KD):
        return short_convolution_reference(projected_BTE, weight_KD, positions_BT)
    positions_BT = positions_BT.expand(projected_BTE.shape[:2]).contiguous()
    result: Tensor = _ShortConvolution.apply(  # type: ignore[no-untyped-call]
        projected_BTE, weight_KD, positions_BT
    )
    return result


def short_convolution_reference(
    projected_BTE: Tensor, weight_KD: Tensor, positions_BT: Tensor
) -> Tensor:
    """The same in plain PyTorch."""
    before, after, value = projected_BTE.chunk(3, dim=-1)
    u_BTD = before * value
    length = u_BTD.shape[1]
    mixed = u_BTD * weight_KD[-1]
    for back in range(1, min(len(weight_KD), length)):
        own_BT1 = (positions_BT[:, back:] >= back).to(u_BTD.dtype).unsqueeze(-1)
        earlier = u_BTD[:, : length - back] * own_BT1
        tail = torch.addcmul(mixed[:, back:], earlier, weight_KD[-1 - back])
        mixed = torch.cat([mixed[:, :back], tail], dim=1)
    return after * mixed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float, offset: float) -> Tensor:
        x = x.contiguous()
        y, width = torch.empty_like(x), x.shape[-1]
        ctx.numbers = (x.numel() // width, width, eps, offset)
        call("rms_norm", x.dtype, x, weight_D, y, *ctx.numbers)
        ctx.save_for_backward(x, weight_D)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight_D = ctx.saved_tensors
        grad, dx = grad.contiguous(), torch.empty_like(x)
        dw = torch.empty(x.shape[-1], dtype=torch.float32)
        call("rms_norm_backward", x.dtype, grad, x, weight_D, dx, dw, *ctx.numbers)
        return dx, dw.to(weight_D.dtype), None, None


class _NormRope(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BTHK: Tensor,
        weight_K: Tensor | None,
        eps: float,
        positions_BT: Tensor,
        cos_LJ: Tensor,
        sin_LJ: Tensor,
        offset: float,
    ) -> Tensor:
        x = x_BTHK.contiguous()
        y = torch.empty_like(x)
        ctx.numbers = (positions_BT.numel(), x.shape[2], x.shape[3], eps, offset)
        call("norm_rope", x.dtype, x, weight_K, positions_BT, cos_LJ, sin_LJ, y, *ctx.numbers)
        ctx.save_for_backward(x, weight_K, positions_BT, cos_LJ, sin_LJ)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_K, *tables = ctx.saved_tensors
        grad, dx = grad.contiguous(), torch.empty_like(x)
        dw = None if weight_K is None else torch.empty(x.shape[-1], dtype=torch.float32)
        call("norm_rope_backward", x.dtype, grad, x, weight_K, *tables, dx, dw, *ctx.numbers)
        return dx, None if dw is None else dw.to(x.dtype), None, None, None, None, None


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        call("swiglu", y.dtype, gate, up, y, y.numel())
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad, dgate, dup = grad.contiguous(), torch.empty_like(gate), torch.empty_like(up)
        call("swiglu_backward", gate.dtype, grad, gate, up, dgate, dup, gate.numel())
        return dgate, dup


class _ReLUSquared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        y = torch.empty_like(x)
        call("relu2", x.dtype, x, y, x.numel())
        ctx.save_for_backward(x)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        grad, dx = grad.contiguous(), torch.empty_like(x)
        call("relu2_backward", x.dtype, grad, x, dx, x.numel())
        return dx


class _ShortConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected_BTE: Tensor, weight_KD: Tensor, positions_BT: Tensor) -> Tensor:
        p, weight_KD = projected_BTE.contiguous(), weight_KD.contiguous()
        rows, length, width = p.shape[0], p.shape[1], p.shape[2] // 3
        y = p.new_empty(rows, length, width)
        sizes = (rows, length, width, len(weight_KD))
        call("short_convolution", p.dtype, p, weight_KD, positions_BT, y, *sizes)
        ctx.save_for_backward(p, weight_KD, positions_BT)
        ctx.sizes = sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        p, weight_KD, positions_BT = ctx.saved_tensors
        grad, dp = grad.contiguous(), torch.empty_like(p)
        dw = torch.empty(weight_KD.shape, dtype=torch.float32)
        inputs = (grad, p, weight_KD, positions_BT, dp, dw)
        call("short_convolution_backward", p.dtype, *inputs, *ctx.sizes)
        return dp, dw.to(weight_KD.dtype), None
