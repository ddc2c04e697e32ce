"""One row in bfloat16: close to float32, and only taken where nothing else is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import matvec, takes_one_row
from nanohydra.kernels.native import library

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C compiler here")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


@pytest.mark.parametrize("width", [1, 31, 32, 100, 256])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products_equal_those_in_float32(width: int, with_bias: bool) -> None:
    x = numbers(1, 1, width)
    weights = [numbers(out, width, seed=out) for out in (1, 4, 7, 64)]
    biases = [numbers(len(w), seed=9) if with_bias else None for w in weights]
    with torch.inference_mode():
        assert takes_one_row(x, *weights)
        outputs = matvec(x, weights, biases)
    for weight, bias, y in zip(weights, biases, outputs, strict=True):
        expected = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
        assert y.shape == expected.shape and y.dtype == torch.bfloat16
        # One rounding to 8 bits, and the order of float32 sums.
        torch.testing.assert_close(y.float(), expected, rtol=2**-8, atol=1e-5 * width)


def test_large_matrices_are_shared_by_threads() -> None:
    x, weight = numbers(1, 1024), numbers(2050, 1024, seed=1)
    with torch.inference_mode():
        (y,) = matvec(x, [weight], [None])
    torch.testing.assert_close(y.float(), x.float() @ weight.float().T, rtol=2**-8, atol=1e-2)


def test_what_is_not_one_row_in_bfloat16_is_left_to_pytorch() -> None:
    x, weight = numbers(1, 8), numbers(4, 8)
    assert not takes_one_row(x, weight)  # a gradient may be wanted
    with torch.inference_mode():
        assert takes_one_row(x, weight)
        assert not takes_one_row(numbers(2, 8), weight)
        assert not takes_one_row(x.float(), weight.float())
        assert not takes_one_row(x, weight.float())
        assert not takes_one_row(x, numbers(8, 4).t())


def test_not_a_number_stays_one() -> None:
    with torch.inference_mode():
        (y,) = matvec(torch.full((1, 8), torch.nan).bfloat16(), [numbers(4, 8)], [None])
    assert y.isnan().all()
