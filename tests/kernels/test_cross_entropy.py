"""The chunked head and loss equal the plain ones, in value and in both gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nanohydra.core.types import IGNORE
from nanohydra.kernels import linear_cross_entropy
from nanohydra.kernels.cross_entropy import linear_cross_entropy_reference


def inputs(dtype: torch.dtype, *, ignored: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x_ND = torch.randn(50, 16, generator=generator).to(dtype).requires_grad_()
    weight_VD = torch.randn(37, 16, generator=generator).to(dtype).requires_grad_()
    labels_N = torch.randint(0, 37, (50,), generator=generator)
    labels_N[torch.rand(50, generator=generator) < ignored] = IGNORE
    return x_ND, weight_VD, labels_N


@pytest.mark.parametrize("chunk", [7, 50, 1000])
@pytest.mark.parametrize("ignored", [0.0, 0.6])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_equals_reference(chunk: int, ignored: float, reduction: str, either_kernel: str) -> None:
    x, weight, labels = inputs(torch.float32, ignored=ignored)
    expected, num = linear_cross_entropy_reference(x, weight, labels, reduction=reduction)
    loss, num_targets = linear_cross_entropy(x, weight, labels, chunk=chunk, reduction=reduction)
    assert num_targets == num == int((labels != IGNORE).sum())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(3 * loss, (x, weight)), torch.autograd.grad(3 * expected, (x, weight))
    )


@pytest.mark.parametrize("chunk", [7, 1000])
def test_a_soft_cap_equals_the_reference(chunk: int, either_kernel: str) -> None:
    x, weight, labels = inputs(torch.float32, ignored=0.3)
    expected, _ = linear_cross_entropy_reference(x, weight, labels, softcap=1.5)
    loss, _ = linear_cross_entropy(x, weight, labels, chunk=chunk, softcap=1.5)
    assert loss < linear_cross_entropy(x, weight, labels)[0]  # of logits that were far larger
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, (x, weight)), torch.autograd.grad(expected, (x, weight))
    )


def test_bfloat16_is_close_to_float32(either_kernel: str) -> None:
    x, weight, labels = inputs(torch.bfloat16, ignored=0.3)
    loss, _ = linear_cross_entropy(x, weight, labels, chunk=8)
    assert loss.dtype == torch.float32
    exact = [t.detach().float().requires_grad_() for t in (x, weight)]
    expected, _ = linear_cross_entropy_reference(*exact, labels)
    torch.testing.assert_close(loss, expected, rtol=3e-3, atol=0)
    for grad, want in zip(
        torch.autograd.grad(loss, (x, weight)), torch.autograd.grad(expected, exact), strict=True
    ):
        assert grad.dtype == torch.bfloat16
        assert (grad.float() - want).norm() < 0.01 * want.norm()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_without_a_single_target_loss_and_gradients_are_zero(reduction: str) -> None:
    x, weight, labels = inputs(torch.float32, ignored=1.1)
    loss, num_targets = linear_cross_entropy(x, weight, labels, reduction=reduction)
    assert num_targets == 0 and loss.item() == 0.0
    for grad in torch.autograd.grad(loss, (x, weight)):
        assert torch.equal(grad, torch.zeros_like(grad))


def test_a_frozen_head_gets_no_gradient_and_evaluation_needs_none() -> None:
    x, weight, labels = inputs(torch.float32, ignored=0.2)
    loss, _ = linear_cross_entropy(x, weight.detach(), labels)
    expected, _ = linear_cross_entropy_reference(x, weight, labels)
    torch.testing.assert_close(torch.autograd.grad(loss, x), torch.autograd.grad(expected, x))
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(x, weight, labels)[0], expected.detach())


def test_not_a_number_and_infinity_reach_the_loss(either_kernel: str) -> None:
    for bad in (float("nan"), float("inf")):
        x, weight, labels = inputs(torch.float32, ignored=0.0)
        with torch.no_grad():
            x[3, 4] = bad
        assert not linear_cross_entropy(x, weight, labels)[0].isfinite()
