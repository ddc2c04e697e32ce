"""Causal attention whose backward pass is matrix products, for a CPU that does these fast.

PyTorch's flash attention for the CPU goes forward at a good speed, but its backward pass takes
many small products one by one. Here it gives the output and each row's log-sum-exp, and the
gradient (arXiv 2205.14135, algorithm 4) is taken in blocks of whole heads. Elsewhere this is
PyTorch's scaled_dot_product_attention. Knows nothing of models, positions or caches.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nanohydra.kernels.native import call, runs_native

BLOCK_ELEMENTS = 2**19  # scores held at a time: they should stay in the cache
COLUMNS = 4  # bfloat16 numbers that add up to one float32
LONGEST = 2048  # above it, half of each block's work is behind the causal mask for nothing


def causal_attention(
    q_BHTK: Tensor,
    k_BGTK: Tensor,
    v_BGTK: Tensor,
    bias_B1TT: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Attention y_BHTK of each place over itself and the places before it.

    H must be a multiple of G: so many query heads share a key and value head.
    bias_B1TT: in the dtype of q, 0 where a place may look and -inf elsewhere, so it includes the
        causal order; None for the causal order alone. A batch of 1 stands for all rows.
    scale: of the scores; None means 1 / sqrt(K).
    """
    native = q_BHTK.dtype == torch.bfloat16 and runs_native(q_BHTK, k_BGTK, v_BGTK)
    if native and q_BHTK.shape[2] <= LONGEST and torch.is_grad_enabled():
        if bias_B1TT is not None:
            bias_B1TT = bias_B1TT.expand(len(q_BHTK), -1, -1, -1)
        result: Tensor = _CausalAttention.apply(  # type: ignore[no-untyped-call]
            q_BHTK, k_BGTK, v_BGTK, bias_B1TT, scale
        )
        return result
    fold = q_BHTK.shape[1] // k_BGTK.shape[1]
    k, v = expand(k_BGTK, fold), expand(v_BGTK, fold)
    causal = bias_B1TT is None
    return F.scaled_dot_product_attention(q_BHTK, k, v, bias_B1TT, is_causal=causal, scale=scale)


def expand(x_BGTK: Tensor, fold: int) -> Tensor:
    """Each head `fold` times; by hand, because enable_gqa leaves the fused kernel on the CPU."""
    return x_BGTK if fold == 1 else x_BGTK.repeat_interleave(fold, dim=1)


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float | None
    ) -> Tensor:
        fold = q.shape[1] // k.shape[1]
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        k_BHTK, v_BHTK = expand(k, fold), expand(v, fold)
        y, lse_BHT = flash(q, k_BHTK, v_BHTK, 0.0, bias is None, attn_mask=bias, scale=scale)
        ctx.save_for_backward(q, k, v, bias, y, lse_BHT)
        ctx.scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
        result: Tensor = y
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, bias, y, lse_BHT = ctx.saved_tensors
        batch, heads, length, width = q.shape
        groups, scale = k.shape[1], ctx.scale
        # The query heads of a group are one long list of rows: B * G blocks of N rows.
        blocks, num_rows = batch * groups, heads // groups * length
        delta = torch.linalg.vecdot(grad.float(), y.float()).unsqueeze(-1)
        one = k.new_ones(1).expand(batch, groups, length, COLUMNS)
        # Subtracting inside the product keeps float32 precision where bfloat16 scores lose it.
        q_lse = with_columns(q, lse_BHT.unsqueeze(-1) / -scale).view(blocks, num_rows, -1)
        dy_delta = with_columns(grad, -delta).view(blocks, num_rows, -1)
        k_one = torch.cat([k, one], dim=-1).view(blocks, length, -1)
        v_one = torch.cat([v, one], dim=-1).view(blocks, length, -1)
        q, dy, k = q_lse[..., :width], dy_delta[..., :width], k_one[..., :width]
        dq = q.new_empty(blocks, num_rows, width)
        dk, dv = q.new_empty(2, blocks, length, width)
        step = max(1, min(blocks, BLOCK_ELEMENTS // (num_rows * length)))
        scores = q.new_empty(2, step, num_rows, length)
        for start in range(0, blocks, step):
            rows = slice(start, start + step)
            p, dp = scores[:, : len(q[rows])]
            torch.baddbmm(p, q_lse[rows], k_one[rows].mT, beta=0, alpha=scale, out=p)
            allowed = None
            if bias is not None:
                allowed = bias[torch.arange(start, start + len(p)) // groups]
            call("probabilities", p.dtype, p, allowed, len(p), num_rows, length)
            torch.bmm(p.mT, dy[rows], out=dv[rows])
            torch.bmm(dy_delta[rows], v_one[rows].mT, out=dp)
            ds = dp.mul_(p)
            torch.baddbmm(dq[rows], ds, k[rows], beta=0, alpha=scale, out=dq[rows])
            torch.baddbmm(dk[rows], ds.mT, q[rows], beta=0, alpha=scale, out=dk[rows])
        shape = (batch, groups, length, width)
        return dq.view(batch, heads, length, width), dk.view(shape), dv.view(shape), None, None


def with_columns(x: Tensor, column: Tensor) -> Tensor:
    """x (..., K) and a float32 column as COLUMNS columns of x's dtype that add up to it."""
    parts = []
    for _ in range(COLUMNS):
        parts.append(column.to(x.dtype))
        column = column - parts[-1].float()
    return torch.cat([x, *parts], dim=-1)
