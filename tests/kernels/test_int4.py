"""Weights of four bits: chosen well, laid out and back, and products as with what they mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import int4, int4_bytes, int4_product, quantise4, step
from nanohydra.kernels.int4 import pack, unpack

SHAPES = [(1, 1), (7, 33), (16, 64), (50, 272), (83, 100)]
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(params=["native", "plain"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(step, "library", lambda: None)
    elif step.library() is None:
        pytest.skip("there is no C compiler here")
    return str(request.param)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def meant(weight: Tensor) -> Tensor:
    packed, scale = quantise4(weight)
    return unpack(packed, *weight.shape) * scale[:, None]


@pytest.mark.parametrize(("num_out", "width"), SHAPES)
def test_codes_and_factors_are_found_again(num_out: int, width: int, either: str) -> None:
    generator = torch.Generator().manual_seed(width)
    codes = torch.randint(16, (num_out, width), generator=generator)
    factors = torch.randint(16, (num_out, -(-width // 16)), generator=generator)
    packed = pack(codes, factors)
    assert packed.dtype == torch.uint8 and len(packed) == int4_bytes(num_out, width)
    expected = (codes - 8) * factors.repeat_interleave(16, 1)[:, :width]
    assert torch.equal(unpack(packed, num_out, width), expected.to(torch.int8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_other_choice_is_much_better(dtype: torch.dtype, either: str) -> None:
    weight = numbers(5, 48).to(dtype)
    packed, scale = quantise4(weight)
    whole = unpack(packed, 5, 48).float().view(5, 3, 16)
    x = weight.float().view(5, 3, 16)
    error = (x - whole * scale[:, None, None]).square().sum(2)
    least = torch.full_like(error, torch.inf)
    for factor in range(1, 16):
        step_O11 = (scale * factor)[:, None, None]
        codes = (x / step_O11).round().clamp(-8, 7)
        least = torch.minimum(least, (x - codes * step_O11).square().sum(2))
    # The scale is fitted once more after the last choice, which moves the borders a little.
    assert (error.sum(1) <= 1.1 * least.sum(1)).all() and (error <= 1.3 * least).all()
    best = (x * whole).sum((1, 2)) / whole.square().sum((1, 2))
    torch.testing.assert_close(scale, best)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_it_is_nearer_than_groups_that_reach_their_largest_weight(
    spread: float, either: str
) -> None:
    """llama.cpp's Q4_0: 32 weights to a scale of 16 bits, 4.5 bits for each weight."""
    weight = numbers(64, 512) * torch.exp(spread * numbers(64, 1, seed=1))
    groups = weight.view(-1, 32)
    largest = groups.gather(1, groups.abs().argmax(1, keepdim=True))
    scale = (largest / -8).half().float()
    theirs = ((groups / scale).round().clamp(-8, 7) * scale).view_as(weight)
    assert (meant(weight) - weight).norm() < 0.95 * (theirs - weight).norm()
    assert (meant(weight) - weight).norm() < 0.09 * weight.norm()


def test_c_chooses_as_pytorch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    if step.library() is None:
        pytest.skip("there is no C compiler here")
    weight = numbers(40, 300) * torch.exp(numbers(40, 1, seed=1) * 8)
    fast = meant(weight)
    monkeypatch.setattr(step, "library", lambda: None)
    slow = meant(weight)
    torch.testing.assert_close(
        (fast - weight).norm(dim=1), (slow - weight).norm(dim=1), rtol=1e-3, atol=0
    )
    assert ((fast - slow).abs() > 1e-5 * slow.abs()).float().mean() < 0.01
    monkeypatch.setattr(int4, "PART", 700)  # two outputs at a time
    assert torch.equal(meant(weight), slow)


def test_rows_of_zeros_of_tiny_numbers_and_of_none(either: str) -> None:
    weight = numbers(6, 40)
    weight[0], weight[1] = 0.0, 1e-40
    weight[2, 7], weight[3, 39] = torch.nan, -torch.inf
    weight[4, :16] = 0.0
    found = meant(weight)
    assert not found[:2].any() and not found[4, :16].any()
    assert found[2:4].isnan().all() and found[4:].isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 17])
@pytest.mark.parametrize("with_bias", [False, True])
@torch.inference_mode()
def test_products_equal_those_in_float64(
    dtype: torch.dtype, rows: int, with_bias: bool, either: str
) -> None:
    x = numbers(rows, 1, 100).to(dtype)
    pairs = [quantise4(numbers(out, 100, seed=out)) for out in (1, 7, 64)]
    biases = [numbers(len(s), seed=9).to(dtype) if with_bias else None for _, s in pairs]
    outputs = int4_product(x, [w for w, _ in pairs], [s for _, s in pairs], biases)
    for (packed, scale), bias, y in zip(pairs, biases, outputs, strict=True):
        exact = unpack(packed, len(scale), 100).double() * scale[:, None]
        shift = torch.zeros(len(scale)).double() if bias is None else bias.double()
        expected = F.linear(x.double(), exact, shift)
        assert y.shape == expected.shape and y.dtype == dtype
        tolerance = 2**-7 if dtype == torch.bfloat16 else 2e-6
        size = F.linear(x.double().abs(), exact.abs(), shift.abs())
        assert ((y - expected).abs() <= tolerance * size).all()


@torch.inference_mode()
def test_no_rows_are_none(either: str) -> None:
    packed, scale = quantise4(numbers(4, 8))
    assert int4_product(torch.empty(0, 8), [packed], [scale], [None])[0].shape == (0, 4)
