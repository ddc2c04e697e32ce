"""One row in bfloat16: close to float32, and only taken where nothing else is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import attend_one, matvec, takes_one_query, takes_one_row
from nanohydra.kernels.native import library
from nanohydra.model.attention import grouped_attention

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


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("places", [1, 3, 50])
@pytest.mark.parametrize("softcap", [0.0, 1.5])
@pytest.mark.parametrize("width", [6, 64])
def test_attention_equals_the_grouped_one(
    groups: int, places: int, softcap: float, width: int
) -> None:
    q = numbers(1, 4, 1, width)
    held = numbers(2, groups, 60, width, seed=1), numbers(2, groups, 60, width, seed=2)
    k, v = (cache[1:2, :, 5 : 5 + places] for cache in held)  # as a state holds them
    with torch.inference_mode():
        assert takes_one_query(q, k, v)
        y = attend_one(q, k, v, 3.0, softcap)
        expected = grouped_attention(q.float(), k.float(), v.float(), None, 3.0, softcap)
    torch.testing.assert_close(y.float(), expected, rtol=2**-7, atol=2e-3)


def test_not_a_number_stays_one() -> None:
    q, k, v = numbers(1, 1, 1, 8), numbers(1, 1, 5, 8), numbers(1, 1, 5, 8)
    k[0, 0, 2, 0] = torch.nan
    with torch.inference_mode():
        assert attend_one(q, k, v, 3.0).isnan().all()
        assert (
            matvec(torch.full((1, 8), torch.nan).bfloat16(), [numbers(4, 8)], [None])[0]
            .isnan()
            .all()
        )


def test_queries_that_it_does_not_take() -> None:
    q, k = numbers(1, 2, 1, 8), numbers(1, 2, 5, 8)
    with torch.inference_mode():
        assert takes_one_query(q, k, k)
        assert not takes_one_query(numbers(2, 2, 1, 8), k, k)
        assert not takes_one_query(numbers(1, 2, 2, 8), k, k)
        assert not takes_one_query(q, k, k.transpose(1, 2).contiguous().transpose(1, 2))
