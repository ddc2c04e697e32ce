"""Each fused operation equals PyTorch's operators, in value and in every gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import (
    causal_attention,
    norm_rope,
    relu_squared,
    rms_norm,
    short_convolution,
    swiglu,
)
from nanohydra.kernels.elementwise import norm_rope_reference, short_convolution_reference

TABLE = torch.arange(64).float()[:, None] * torch.logspace(0, -2, 12)
COS, SIN = TABLE.cos(), TABLE.sin()
POSITIONS = torch.arange(9) + torch.tensor([[0], [5]])


PACKED = torch.tensor([[0, 1, 2, 3, 0, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5, 6, 7, 8]])


def rotated(x: Tensor, weight: Tensor | None, function: Callable[..., Tensor]) -> Tensor:
    return function(x.view(2, 9, -1, 24), weight, 1e-5, POSITIONS, COS, SIN)


OPERATIONS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int, ...]]] = {
    "rms_norm": (
        lambda x, w: rms_norm(x, w, 1e-5),
        lambda x, w: F.rms_norm(x, w.shape, w, 1e-5),
        (24,),
    ),
    "rms_norm with an offset": (
        lambda x, w: rms_norm(x, w, 1e-5, 1.0),
        lambda x, w: F.rms_norm(x, w.shape, w + 1.0, 1e-5),
        (24,),
    ),
    "norm_rope with an offset": (
        lambda x, w: rotated(x, w, partial(norm_rope, offset=1.0)),
        lambda x, w: rotated(x, w + 1.0, norm_rope_reference),
        (24,),
    ),
    "swiglu": (swiglu, lambda x, u: F.silu(x) * u, (2, 9, 72)),
    "relu_squared": (relu_squared, lambda x: F.relu(x).square(), ()),
    "norm_rope": (
        lambda x, w: rotated(x, w, norm_rope),
        lambda x, w: rotated(x, w, norm_rope_reference),
        (24,),
    ),
    "short_convolution": (
        lambda x, w: short_convolution(x, w, PACKED),
        lambda x, w: short_convolution_reference(x, w, PACKED),
        (3, 24),
    ),
    "rope": (
        lambda x: rotated(x, None, norm_rope),
        lambda x: rotated(x, None, norm_rope_reference),
        (),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OPERATIONS)
def test_equals_the_operators(name: str, dtype: torch.dtype, either_kernel: str) -> None:
    ours, theirs, second = OPERATIONS[name]
    generator = torch.Generator().manual_seed(2)
    width = second[0] if len(second) == 1 and name.startswith("rms_norm") else 72
    shapes = [(2, 9, width), second] if second else [(2, 9, width)]
    rounded = [(torch.randn(s, generator=generator) * 3).to(dtype).float() for s in shapes]
    mine = [t.clone().to(dtype).requires_grad_() for t in rounded]
    exact = [t.requires_grad_() for t in rounded]
    y, expected = ours(*mine), theirs(*exact)
    assert y.dtype == dtype
    grad = torch.randn(expected.shape, generator=generator).to(dtype)
    pairs = [(y, expected)]
    pairs += zip(
        torch.autograd.grad(y, mine, grad),
        torch.autograd.grad(expected, exact, grad.float()),
        strict=True,
    )
    for got, want in pairs:
        bound = 1e-6 if dtype == torch.float32 else 8e-3
        assert got.dtype == dtype
        assert (got.float() - want).norm() < bound * want.norm()


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", ["causal", "packed", "one for all rows"])
@pytest.mark.parametrize(("size", "scale"), [(1.0, None), (8.0, None), (1.0, 0.4)])
def test_attention_equals_scaled_dot_product(
    groups: int, mask: str, size: float, scale: float | None, either_kernel: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(3, 40, heads, 16) for heads in (4, groups, groups)]
    mine = [
        (torch.randn(s, generator=generator).bfloat16() * size).transpose(1, 2).requires_grad_()
        for s in shapes
    ]
    bias = None
    if mask != "causal":
        sizes = [[7], [13], [50]] if mask == "packed" else [[7]]
        segments = torch.arange(40).expand(len(sizes), 40) // torch.tensor(sizes)
        allowed = (segments[:, :, None] == segments[:, None]).tril().unsqueeze(1)
        bias = torch.zeros(len(sizes), 1, 40, 40).masked_fill(~allowed, -torch.inf)
    exact = [t.detach().float().requires_grad_() for t in mine]
    keys, values = (t.repeat_interleave(4 // groups, 1) for t in exact[1:])
    expected = F.scaled_dot_product_attention(
        exact[0], keys, values, bias, is_causal=bias is None, scale=scale
    )
    y = causal_attention(*mine, None if bias is None else bias.bfloat16(), scale)
    grad = torch.randn(expected.shape, generator=generator).bfloat16()
    pairs = [(y, expected)]
    pairs += zip(
        torch.autograd.grad(y, mine, grad),
        torch.autograd.grad(expected, exact, grad.float()),
        strict=True,
    )
    for got, want in pairs:
        assert (got.float() - want).norm() < 0.012 * want.norm()


def test_attention_ahead_is_never_seen() -> None:
    q, k, v = (torch.randn(1, 2, 12, 8).bfloat16().requires_grad_() for _ in range(3))
    y = causal_attention(q, k, v)
    for grad in torch.autograd.grad(y[:, :, :5].float().sum(), (q, k, v)):
        assert torch.equal(grad[:, :, 5:], torch.zeros_like(grad[:, :, 5:]))


def test_results_do_not_depend_on_the_batch(either_kernel: str) -> None:
    x, weight = torch.randn(8, 300, 64), torch.randn(64)
    alone = torch.cat([rms_norm(row[None], weight, 1e-6) for row in x])
    assert torch.equal(rms_norm(x, weight, 1e-6), alone)
    assert torch.equal(swiglu(x, x)[3], swiglu(x[3], x[3]))
