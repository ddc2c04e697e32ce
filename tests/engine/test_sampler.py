"""The sampler: transformers' numbers, draws that follow the distribution, rows on their own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.engine import SamplingParams
from nanohydra.engine.sampler import Sampled, Sampler
from nanohydra.engine.sampling.state import SampleState
from nanohydra.kernels.sampling import RowSampler

CPU = torch.device("cpu")
PROBABILITIES = (0.05, 0.4, 0.1, 0.25, 0.2)


@pytest.fixture(autouse=True, params=["native", "plain"])
def either_sampler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind: str = request.param
    if kind == "plain":
        monkeypatch.setattr(RowSampler, "fits", lambda device: False)
    elif not RowSampler.fits(CPU):
        pytest.skip("no C compiler on this machine")
    return kind


def draws(logits_V: Tensor, params: SamplingParams, count: int = 400) -> list[int]:
    """Many tokens from the same logits, each with its own random number."""
    sampler = Sampler(len(logits_V), 0, CPU)
    states = [sampler.start(params, (), index) for index in range(count)]
    tokens: list[int] = sampler.sample(logits_V.expand(count, -1), states).tokens.tolist()
    return tokens


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 3, 4}),
        ({"top_k": 50}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.3}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.64}, {1, 3}),
        ({"top_p": 0.66}, {1, 3, 4}),
        ({"top_p": 1e-9}, {1}),
        ({"min_p": 0.49}, {1, 3, 4}),
        ({"min_p": 1.0}, {1}),
        # After top_k the probabilities are 0.47, 0.29, 0.24: top_p counts these.
        ({"top_k": 3, "top_p": 0.7}, {1, 3}),
        ({"top_k": 2, "min_p": 0.7}, {1}),
        ({"temperature": 0}, {1}),
    ],
)
def test_filters_keep(params: dict[str, Any], tokens: set[int]) -> None:
    logits = torch.tensor(PROBABILITIES).log()
    assert set(draws(logits, SamplingParams(seed=0, **params))) == tokens


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor(PROBABILITIES).log()
    counted = Counter(draws(logits, SamplingParams(seed=3, temperature=0.5), 4000))
    squares = [p * p for p in PROBABILITIES]
    for token, square in enumerate(squares):
        expected = square / sum(squares)
        error = 4 * math.sqrt(expected * (1 - expected) / 4000)
        assert abs(counted[token] / 4000 - expected) < error


def test_random_numbers_of_neighbouring_seeds_and_places_are_unrelated() -> None:
    sampler = Sampler(10, 0, CPU)
    table = torch.empty(40, 40, dtype=torch.float64)
    for seed in range(40):
        state = sampler.start(SamplingParams(seed=seed), ())
        for place in range(40):
            table[seed, place] = state.uniform
            sampler.accept(state, 0)
    assert len(table.unique()) == 1600
    assert abs(float(table.mean()) - 0.5) < 4 / math.sqrt(12 * 1600)
    for flat in (table.flatten(), table.T.flatten()):
        pairs = torch.corrcoef(torch.stack([flat[1:], flat[:-1]]))
        assert abs(float(pairs[0, 1])) < 4 / math.sqrt(1600)


def test_samples_of_a_request_have_the_seeds_that_follow() -> None:
    sampler = Sampler(10, 0, CPU)
    third = sampler.start(SamplingParams(seed=5), (), 3)
    assert third.uniform == sampler.start(SamplingParams(seed=8), ()).uniform
    fresh = [sampler.start(SamplingParams(), ()).uniform for _ in range(2)]
    assert fresh[0] != fresh[1]


def transformed(params: SamplingParams, prompt: Sequence[int], new: Sequence[int]) -> Any:
    """transformers' processors in the order of vLLM, with the penalties that it lacks."""
    from transformers import generation as hf

    def warp(logits: Tensor) -> Tensor:
        ids = torch.tensor([[*prompt, *new]])
        scores = logits[None].clone()
        for id, bias in params.logit_bias.items():
            scores = hf.SequenceBiasLogitsProcessor([[[id], bias]])(ids, scores)
        if params.repetition_penalty != 1:
            scores = hf.RepetitionPenaltyLogitsProcessor(params.repetition_penalty)(ids, scores)
        for id, count in Counter(new).items():
            scores[0, id] -= params.frequency_penalty * count + params.presence_penalty
        if params.min_tokens:
            stop = list(params.stop_ids)
            least = hf.MinNewTokensLengthLogitsProcessor(len(prompt), params.min_tokens, stop)
            scores = least(ids, scores)
        scores = hf.TemperatureLogitsWarper(params.temperature)(ids, scores)
        if params.top_k:
            scores = hf.TopKLogitsWarper(params.top_k)(ids, scores)
        if params.top_p < 1:
            scores = hf.TopPLogitsWarper(params.top_p)(ids, scores)
        if params.min_p:
            scores = hf.MinPLogitsWarper(params.min_p)(ids, scores)
        return scores[0]

    return warp


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"top_k": 9},
        {"top_p": 0.6, "temperature": 1.3},
        {"min_p": 0.2},
        {"top_k": 20, "top_p": 0.8, "min_p": 0.05},
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 0.5, "top_k": 5},
        {"presence_penalty": 1.5, "frequency_penalty": 0.7},
        {"logit_bias": {3: 5.0, 11: -100.0}, "repetition_penalty": 1.3, "presence_penalty": -1.0},
        {"min_tokens": 9, "stop_ids": (1, 7)},
        {"min_tokens": 4, "stop_ids": (1, 7)},
    ],
    ids=str,
)
def test_choices_are_those_of_transformers(options: dict[str, Any]) -> None:
    pytest.importorskip("transformers")
    params = SamplingParams(seed=1, **options)
    prompt, new = (3, 7, 11, 3), (2, 5, 5, 7, 2, 5)
    sampler = Sampler(50, 0, CPU)
    logits_V = numbers(50, seed=4)
    scores_V = transformed(params, prompt, new)(logits_V).double()
    cumulative_V = scores_V.softmax(-1).cumsum(-1)

    states = [sampler.start(params, prompt, index) for index in range(500)]
    for state in states:
        for token in new:
            sampler.accept(state, token)
    sampled = sampler.sample(logits_V.expand(500, -1), states)
    uniform = torch.tensor([state.uniform for state in states], dtype=torch.float64)
    expected = torch.searchsorted(cumulative_V, uniform, right=True)
    assert torch.equal(sampled.tokens, expected)
    # Whatever a token was chosen by, its log-probability is the model's own.
    own = logits_V.log_softmax(-1)[expected]
    torch.testing.assert_close(sampled.logprobs, own)


def test_greedy_obeys_penalties_and_bias() -> None:
    sampler = Sampler(4, 0, CPU)
    logits = torch.tensor([[1.0, 2.0, 2.5, 0.5]])

    def choose(*new: int, **options: Any) -> int:
        state = sampler.start(SamplingParams(temperature=0, **options), (1,))
        for token in new:
            sampler.accept(state, token)
        return int(sampler.sample(logits, [state]).tokens[0])

    assert choose() == 2
    assert choose(2, presence_penalty=1.0) == 1
    assert choose(2, 1, presence_penalty=2.0) == 0
    assert choose(2, frequency_penalty=0.4) == 2
    assert choose(2, 2, frequency_penalty=0.4) == 1
    assert choose(2, repetition_penalty=2.0) == 2  # 1 is in the prompt: 1.25 is more than 1.0
    assert choose(logit_bias={3: 10.0}) == 3
    assert choose(allowed_ids=(0, 3)) == 0


def test_only_allowed_and_known_ids_are_chosen() -> None:
    logits = numbers(300, 40)
    logits[:, 30:] += 20  # ids that only pad the vocabulary
    sampler = Sampler(40, 30, CPU)
    params = SamplingParams(seed=1, temperature=5.0)
    states = [sampler.start(params, (), n) for n in range(300)]
    sampled = sampler.sample(logits, states)
    assert int(sampled.tokens.max()) < 30
    own = logits[:, :30].log_softmax(-1).gather(1, sampled.tokens[:, None])[:, 0]
    torch.testing.assert_close(sampled.logprobs, own)
    few = SamplingParams(seed=1, temperature=5.0, allowed_ids=(4, 9, 28))
    states = [sampler.start(few, (), n) for n in range(300)]
    assert set(sampler.sample(logits, states).tokens.tolist()) == {4, 9, 28}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"logit_bias": {30: 1.0}}, "logit_bias has token 30"),
        ({"allowed_ids": (1, 99)}, "allowed_ids has token 99"),
    ],
)
def test_unknown_ids_are_refused(options: dict[str, Any], message: str) -> None:
    sampler = Sampler(40, 30, CPU)
    with pytest.raises(UserError, match=message):
        sampler.check(SamplingParams(**options))


def test_a_stop_token_comes_only_after_min_tokens() -> None:
    sampler = Sampler(3, 0, CPU)
    logits = torch.tensor([[0.0, 0.0, 50.0]])
    state = sampler.start(SamplingParams(seed=0, min_tokens=3, stop_ids=(2, 99)), ())
    tokens = []
    for _ in range(4):
        tokens.append(int(sampler.sample(logits, [state]).tokens[0]))
        sampler.accept(state, tokens[-1])
    assert tokens[3] == 2 and 2 not in tokens[:3]


def test_top_log_probabilities() -> None:
    sampler = Sampler(40, 30, CPU)
    logits = numbers(3, 40)
    counts = (None, 2, 5)
    states = [
        sampler.start(SamplingParams(temperature=0, top_logprobs=c, logit_bias={1: 9.0}), ())
        for c in counts
    ]
    sampled = sampler.sample(logits, states)
    exact = logits[:, :30].log_softmax(-1)
    for row, count in enumerate(counts):
        values, ids = exact[row].topk(count or 0)
        got = sampled.top_logprobs[row]
        assert [id for id, _ in got] == ids.tolist()
        torch.testing.assert_close(torch.tensor([p for _, p in got]), values)
    few = Sampler(3, 0, CPU)
    state = few.start(SamplingParams(top_logprobs=20), ())
    assert len(few.sample(numbers(1, 3), [state]).top_logprobs[0]) == 3


ANY: list[dict[str, Any]] = [
    {"temperature": 0},
    {},
    {"top_k": 4, "temperature": 1.4},
    {"top_p": 0.5},
    {"min_p": 0.1, "presence_penalty": 1.0},
    {"repetition_penalty": 1.4},
    {"logit_bias": {2: 3.0}, "allowed_ids": (1, 2, 3, 9)},
    {"min_tokens": 5, "stop_ids": (0, 1), "top_logprobs": 3},
]


def test_same_seed_same_tokens_in_any_company() -> None:
    rows = len(ANY)
    logits = numbers(12, rows, 500)
    one, many = Sampler(500, 0, CPU), Sampler(500, 0, CPU)
    params = [SamplingParams(seed=n, **options) for n, options in enumerate(ANY)]
    alone = [one.start(p, (4, 5)) for p in params]
    together = [many.start(p, (4, 5)) for p in params]
    for step in logits:
        sampled = many.sample(step, together)
        for row in range(rows):
            own = one.sample(step[row : row + 1], [alone[row]])
            assert own.tokens[0] == sampled.tokens[row]
            one.accept(alone[row], int(own.tokens[0]))
            many.accept(together[row], int(sampled.tokens[row]))


def tokens_of(sampler: Sampler, state: SampleState, logits_TV: Tensor) -> list[int]:
    tokens: list[int] = []
    for logits_V in logits_TV:
        tokens.append(int(sampler.sample(logits_V[None], [state]).tokens[0]))
        sampler.accept(state, tokens[-1])
    return tokens


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ANY), st.integers(0, 2**70), st.integers(0, 9), st.integers(0, 9))
def test_guessing_ahead_and_forking_change_nothing(
    options: dict[str, Any], seed: int, split: int, wrong: int
) -> None:
    sampler, logits = Sampler(20, 0, CPU), numbers(10, 20, seed=1)
    params = SamplingParams(seed=seed, **options)
    plain = tokens_of(sampler, sampler.start(params, (3,)), logits)

    state = sampler.start(params, (3,))
    assert tokens_of(sampler, state, logits[:split]) == plain[:split]
    other = state.fork()
    sampler.accept(other, wrong)
    ahead = sampler.ahead(state, plain[split:-1])
    assert len(ahead) == len(plain[split:-1]) + 1
    if split < len(plain):
        sampled: Sampled = sampler.sample(logits[split:], ahead)
        assert sampled.tokens.tolist() == plain[split:]
    assert tokens_of(sampler, state, logits[split:]) == plain[split:]


@pytest.mark.parametrize("options", [{"temperature": 0}, {}, {"presence_penalty": 1.0}])
def test_what_is_not_a_number_shows(options: dict[str, Any]) -> None:
    sampler = Sampler(30, 0, CPU)
    logits = numbers(2, 30)
    logits[0, 7] = math.nan
    states = [sampler.start(SamplingParams(seed=1, **options), ()) for _ in range(2)]
    logprobs = sampler.sample(logits, states).logprobs
    assert logprobs[0].isnan() and logprobs[1].isfinite()


def test_nothing_to_choose_shows() -> None:
    sampler = Sampler(30, 0, CPU)
    params = SamplingParams(allowed_ids=(1, 2), stop_ids=(1, 2), min_tokens=1)
    sampled = sampler.sample(numbers(1, 30), [sampler.start(params, ())])
    assert sampled.logprobs.isnan().all() and 0 <= int(sampled.tokens[0]) < 30


def test_logits_of_half_precision_and_unchanged() -> None:
    sampler = Sampler(64, 60, CPU)
    logits = numbers(4, 64).bfloat16()
    before = logits.clone()
    params = SamplingParams(temperature=0, presence_penalty=1.0, logit_bias={3: 1.0})
    sampled = sampler.sample(logits, [sampler.start(params, ()) for _ in range(4)])
    assert torch.equal(logits, before)
    exact = logits[:, :60].float().log_softmax(-1).gather(1, sampled.tokens[:, None])[:, 0]
    torch.testing.assert_close(sampled.logprobs, exact)
