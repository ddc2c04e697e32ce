"""Choosing in C equals plain PyTorch, and a row's result is its own alone, bit for bit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanohydra.engine import SamplingParams
from nanohydra.engine.sampling.draw import Columns, choose
from nanohydra.engine.sampling.plan import Plan
from nanohydra.kernels.sampling import RowSampler

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not RowSampler.fits(CPU), reason="there is no C compiler")

FILTERS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"temperature": 1e-5},
    {"temperature": 30.0},
    {"top_k": 1},
    {"top_k": 7, "temperature": 0.8},
    {"top_k": 300},
    {"top_k": 10**6},
    {"top_p": 1e-6},
    {"top_p": 0.3},
    {"top_p": 0.9, "temperature": 1.5},
    {"top_p": 0.999},
    {"min_p": 0.1},
    {"min_p": 1.0},
    {"top_k": 40, "top_p": 0.8, "min_p": 0.02},
]


def arrays(params: list[SamplingParams], width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    plan = Plan.of(params, width, CPU, native=True)
    assert plan.arrays is not None
    return plan.arrays


def grid(count: int) -> Tensor:
    """Uniform numbers that fall on no border of simple distributions."""
    return (torch.arange(count, dtype=torch.float64) + 0.37) / count


@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.parametrize("width", [1, 5, 127, 2048, 5003])
def test_equals_plain_pytorch(options: dict[str, float], width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    params = [SamplingParams(**options)] * 200  # type: ignore[arg-type]
    uniform = grid(200)
    for scale in (0.1, 1.0, 4.0):
        logits = (torch.randn(1, width, generator=generator) * scale).expand(200, width)
        tokens, logprobs, sums = RowSampler(width).sample(logits, arrays(params, width), uniform)
        columns = Columns.of(params, CPU)
        wanted = choose(logits, columns, uniform if options.get("temperature") != 0 else None)
        # A number within rounding of a border may fall on its other side.
        assert (tokens != wanted).sum() <= 1
        exact = logits.double().log_softmax(-1)
        torch.testing.assert_close(
            logprobs.double(), exact.gather(1, tokens[:, None])[:, 0], atol=2e-6, rtol=1e-6
        )
        torch.testing.assert_close(sums.double(), logits.double().logsumexp(-1))


def test_few_equal_values_are_all_kept() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 3.0, 2.0]]).expand(300, 5)
    for options in ({"top_k": 1}, {"top_p": 0.1}, {"top_k": 2, "top_p": 0.2}):
        params = [SamplingParams(**options)] * 300  # type: ignore[arg-type]
        tokens, _, _ = RowSampler(5).sample(logits, arrays(params, 5), grid(300))
        assert set(tokens.tolist()) == {1, 2, 3}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=300),
    st.integers(0, 320),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.1, 3.0),
    st.floats(0, 1, exclude_max=True),
)
def test_drawn_tokens_pass_a_plain_reimplementation(
    values: list[float], top_k: int, top_p: float, min_p: float, temperature: float, uniform: float
) -> None:
    params = SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p, temperature=temperature)
    logits = torch.tensor([values])
    (token,), _, _ = RowSampler(len(values)).sample(
        logits, arrays([params], len(values)), torch.tensor([uniform], dtype=torch.float64)
    )
    exact = logits[0].double() / temperature
    chosen = float(exact[token])
    assert not top_k or int((exact > chosen).sum()) < top_k
    kept = exact.sort(descending=True).values[: top_k or None]
    mass_before = float((kept[kept > chosen + 1e-5] - kept[0]).exp().sum())
    assert mass_before < top_p * float((kept - kept[0]).exp().sum()) + 1e-4
    assert math.exp(chosen - float(exact.max())) >= min_p * (1 - 1e-4)


def test_a_row_is_the_same_alone_and_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    width = 30_011  # enough rows of this for several threads
    wide = torch.randn(16, width + 5, generator=generator)
    logits = wide[:, :width]
    params = [SamplingParams(**FILTERS[n]) for n in range(16)]  # type: ignore[arg-type]
    uniform = grid(16)
    sampler = RowSampler(width)
    together = sampler.sample(logits, arrays(params, width), uniform)
    for row in range(16):
        alone = RowSampler(width).sample(
            logits[row : row + 1].clone(), arrays(params[row : row + 1], width), uniform[row, None]
        )
        for one, all_ in zip(alone, together, strict=True):
            assert torch.equal(one[0], all_[row])


def test_the_choice_by_other_logits_keeps_the_own_log_probability() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 400, generator=generator)
    changed = torch.full((1, 400), -math.inf)
    changed[0, 17] = -3.0
    other = torch.tensor([-1, 0, -1])
    params = [SamplingParams(temperature=t) for t in (0.0, 1.0, 1.0)]
    tokens, logprobs, _ = RowSampler(400).sample(
        logits, arrays(params, 400), grid(3), changed, other
    )
    assert tokens[0] == logits[0].argmax() and tokens[1] == 17
    expected = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(logprobs, expected)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.5])
def test_what_is_masked_is_never_drawn(temperature: float) -> None:
    logits = torch.zeros(1000, 3000)
    logits[:, 1500:] = -math.inf
    params = [SamplingParams(temperature=temperature)] * 1000
    uniform = torch.full((1000,), 1 - 2.0**-53, dtype=torch.float64)
    tokens, _, _ = RowSampler(3000).sample(logits, arrays(params, 3000), uniform)
    assert set(tokens.tolist()) == ({0} if temperature == 0 else {1499})


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf])
@pytest.mark.parametrize("options", [{"temperature": 0.0}, {}, {"top_k": 3, "top_p": 0.5}])
def test_what_is_not_a_number_shows(value: float, options: dict[str, float]) -> None:
    logits = torch.zeros(2, 300)
    logits[0, 200] = value
    params = [SamplingParams(**options)] * 2  # type: ignore[arg-type]
    tokens, logprobs, _ = RowSampler(300).sample(logits, arrays(params, 300), grid(2))
    assert logprobs[0].isnan() and logprobs[1].isfinite()
    assert 0 <= int(tokens[0]) < 300


def test_nothing_to_choose_shows() -> None:
    params = [SamplingParams(top_p=0.5)]
    nothing = torch.full((1, 40), -math.inf)
    tokens, logprobs, _ = RowSampler(40).sample(
        torch.zeros(1, 40), arrays(params, 40), grid(1), nothing, torch.tensor([0])
    )
    assert int(tokens[0]) == 0 and logprobs.isnan().all()
