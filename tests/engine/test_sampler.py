"""The sampler: filters keep the right tokens, draws follow the distribution, rows are alone."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.engine import SamplingParams
from nanohydra.engine.sampler import SamplingPlan, cutoff, random_stream, sample

CPU = torch.device("cpu")
PROBABILITIES = (0.05, 0.4, 0.1, 0.25, 0.2)


def plan(*params: SamplingParams) -> SamplingPlan:
    return SamplingPlan.build(params, [random_stream(p.seed) for p in params], CPU)


def kept(params: SamplingParams, probabilities: tuple[float, ...] = PROBABILITIES) -> set[int]:
    """The tokens that can be drawn."""
    logits = torch.tensor([probabilities]).log()
    threshold = cutoff(logits, plan(params))
    if threshold is None:
        return set(range(len(probabilities)))
    return set(torch.nonzero(logits[0] >= threshold[0]).flatten().tolist())


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        (SamplingParams(), {0, 1, 2, 3, 4}),
        (SamplingParams(top_k=1), {1}),
        (SamplingParams(top_k=3), {1, 3, 4}),
        (SamplingParams(top_k=50), {0, 1, 2, 3, 4}),
        (SamplingParams(top_p=0.3), {1}),
        (SamplingParams(top_p=0.41), {1, 3}),
        (SamplingParams(top_p=0.64), {1, 3}),
        (SamplingParams(top_p=0.66), {1, 3, 4}),
        (SamplingParams(top_p=1e-9), {1}),
        (SamplingParams(min_p=0.5), {1, 3, 4}),
        (SamplingParams(min_p=1.0), {1}),
        # After top_k the probabilities are 0.47, 0.29, 0.24: top_p counts these.
        (SamplingParams(top_k=3, top_p=0.7), {1, 3}),
        (SamplingParams(top_k=2, min_p=0.7), {1}),
    ],
)
def test_filters_keep(params: SamplingParams, tokens: set[int]) -> None:
    assert kept(params) == tokens


def test_ties_at_the_threshold_are_kept() -> None:
    assert kept(SamplingParams(top_k=1), (0.25, 0.25, 0.25, 0.25)) == {0, 1, 2, 3}


def test_rows_keep_their_own_filters() -> None:
    params = [
        SamplingParams(top_k=2),
        SamplingParams(top_p=0.3),
        SamplingParams(),
        SamplingParams(min_p=0.5),
        SamplingParams(temperature=0),
    ]
    logits = torch.tensor([PROBABILITIES] * len(params)).log()
    threshold = cutoff(logits, plan(*params))
    assert threshold is not None
    assert (logits >= threshold).sum(-1).tolist() == [2, 1, 5, 3, 5]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-20, 20), min_size=2, max_size=40),
    st.integers(0, 45),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**63),
)
def test_drawn_tokens_pass_a_plain_reimplementation(
    logits: list[float], top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    params = SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    tokens, logprobs = sample(torch.tensor([logits]), plan(params))
    token = int(tokens[0])
    exact = torch.tensor(logits, dtype=torch.float64)
    likely = exact.softmax(-1)
    assert math.isclose(float(logprobs[0]), float(likely.log()[token]), abs_tol=1e-4)
    better = sum(value > logits[token] + 1e-4 for value in logits)
    assert not top_k or better < top_k
    kept_mass = exact.sort(descending=True).values[: top_k or None].exp().sum()
    mass_before = sum(math.exp(v) for v in logits if v > logits[token] + 1e-4) / float(kept_mass)
    assert mass_before < top_p + 1e-4
    assert likely[token] >= min_p * likely.max() * (1 - 1e-4)


def test_draws_follow_the_distribution() -> None:
    params = SamplingParams(seed=3, temperature=0.5)
    one = plan(params)
    logits = torch.tensor([PROBABILITIES]).log()
    draws = Counter(int(sample(logits, one)[0]) for _ in range(4000))
    squares = [p * p for p in PROBABILITIES]
    for token, square in enumerate(squares):
        expected = square / sum(squares)
        error = 4 * math.sqrt(expected * (1 - expected) / 4000)
        assert abs(draws[token] / 4000 - expected) < error


def test_same_seed_same_tokens_in_any_company() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 500, generator=generator)
    mine = SamplingParams(seed=11, temperature=0.9)
    others = [
        SamplingParams(seed=5, top_k=4),
        SamplingParams(top_p=0.5, seed=9),
        SamplingParams(temperature=0),
    ]
    alone, together = plan(mine), plan(others[0], mine, *others[1:])
    for row in logits:
        a = sample(row[None], alone)[0][0]
        b = sample(torch.stack([row.flip(0), row, row, row * 2]), together)[0][1]
        assert a == b


def test_greedy_and_sampled_rows_mix() -> None:
    logits = torch.tensor([PROBABILITIES] * 2).log()
    mixed = plan(SamplingParams(temperature=0), SamplingParams(seed=1))
    for _ in range(20):
        assert sample(logits, mixed)[0][0] == 1


def test_the_largest_uniform_number_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    class Largest(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 1

    vocabulary = 5000
    logits = torch.zeros(1, vocabulary)
    logits[0, vocabulary // 2 :] = -torch.inf
    largest = SamplingPlan.build([SamplingParams()], [Largest()], CPU)
    assert int(sample(logits, largest)[0]) == vocabulary // 2 - 1
