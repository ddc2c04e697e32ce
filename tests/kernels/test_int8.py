"""Weights of one byte: rounded to the nearest, and products as with the float weights they mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import int8, int8_product, quantise
from nanohydra.kernels.native import library

DTYPES = [torch.float32, torch.bfloat16]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_rounded_to_the_nearest(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = numbers(7, 33).to(dtype) * torch.logspace(-6, 6, 7)[:, None].to(dtype)
    weight[3] = 0.0
    rounded, scale = quantise(weight)
    assert rounded.dtype == torch.int8 and scale.dtype == torch.float32
    assert (rounded.abs().amax(1) == torch.tensor([127] * 3 + [0] + [127] * 3)).all()
    error = (rounded * scale[:, None] - weight.float()).abs()
    assert (error <= 0.5001 * scale[:, None]).all()
    monkeypatch.setattr(int8, "QUANTISED", 70)  # two outputs at a time
    for part, whole in zip(quantise(weight), (rounded, scale), strict=True):
        assert torch.equal(part, whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 12, 13, 40])
@pytest.mark.parametrize("width", [1, 15, 64, 100])
@pytest.mark.parametrize("with_bias", [False, True])
@torch.inference_mode()
def test_products_equal_those_in_float64(
    dtype: torch.dtype, rows: int, width: int, with_bias: bool, either_kernel: str
) -> None:
    x = numbers(rows, 1, width).to(dtype)
    pairs = [quantise(numbers(out, width, seed=out)) for out in (1, 4, 7, 64)]
    biases = [numbers(len(w), seed=9).to(dtype) if with_bias else None for w, _ in pairs]
    outputs = int8_product(x, [w for w, _ in pairs], [s for _, s in pairs], biases)
    for (weight, scale), bias, y in zip(pairs, biases, outputs, strict=True):
        exact = weight.double() * scale[:, None]
        shift = torch.zeros(len(weight)).double() if bias is None else bias.double()
        expected = F.linear(x.double(), exact, shift)
        assert y.shape == expected.shape and y.dtype == dtype
        # bfloat16: one rounding of the sum, and one of each weight for many rows.
        tolerance = 2**-7 if dtype == torch.bfloat16 else 1e-6
        size = F.linear(x.double().abs(), exact.abs(), shift.abs())
        assert ((y - expected).abs() <= tolerance * size).all()


@pytest.mark.skipif(library() is None, reason="there is no C compiler here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_converting_in_c_is_converting_in_pytorch(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, scale = quantise(numbers(50, 37))
    fast = int8.widen(weight, scale, torch.empty(50, 37, dtype=dtype))
    monkeypatch.setattr("nanohydra.kernels.native.library", lambda: None)
    slow = int8.widen(weight, scale, torch.empty(50, 37, dtype=dtype))
    assert torch.equal(fast, slow)


@torch.inference_mode()
def test_parts_of_the_weights_give_the_whole_product(monkeypatch: pytest.MonkeyPatch) -> None:
    x, (weight, scale), bias = numbers(20, 16), quantise(numbers(50, 16, seed=1)), numbers(50)
    (whole,) = int8_product(x, [weight], [scale], [bias])
    monkeypatch.setattr(int8, "PART_BYTES", 7 * 16 * 4)
    (parts,) = int8_product(x, [weight], [scale], [bias])
    torch.testing.assert_close(parts, whole)
    first = parts.clone()
    int8_product(x * 2, [weight.flip(0)], [scale], [None])  # the room is used again
    assert torch.equal(parts, first)


@torch.inference_mode()
def test_large_matrices_are_shared_by_threads(either_kernel: str) -> None:
    x, (weight, scale) = numbers(3, 1024), quantise(numbers(2050, 1024, seed=1))
    (y,) = int8_product(x, [weight], [scale], [None])
    torch.testing.assert_close(y, x @ (weight * scale[:, None]).T, rtol=1e-4, atol=1e-3)


@torch.inference_mode()
def test_not_a_number_stays_one_and_no_rows_are_none(either_kernel: str) -> None:
    weight, scale = quantise(numbers(4, 8))
    assert int8_product(torch.full((1, 8), torch.nan), [weight], [scale], [None])[0].isnan().all()
    assert int8_product(torch.empty(0, 8), [weight], [scale], [None])[0].shape == (0, 4)
