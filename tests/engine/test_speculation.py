"""Guesses: the longest match of a text with its end, a draft model, and only where they pay."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate
from nanohydra.engine.draft import DraftModel, DraftText
from nanohydra.engine.ngrams import MAX_CHAIN, NgramIndex, NgramProposer
from nanohydra.engine.sampler import Sampler
from nanohydra.engine.speculation import (
    MAX_PATIENCE,
    MIN_PATIENCE,
    NUM_PLAIN,
    PROBE,
    REFRESH,
    Costs,
    Query,
    Speculator,
    Track,
)
from nanohydra.model import Decoder
from tests.engine.conftest import random_decoder


def longest_match(ids: Items[int]) -> tuple[int, int]:
    """The longest end of the text that occurs earlier, and where the last such place ends."""
    best = (0, -1)
    for place in range(len(ids) - 1):
        size = 0
        while size <= place and ids[place - size] == ids[len(ids) - 1 - size]:
            size += 1
        best = max(best, (size, place))
    return best


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 39))
def test_the_longest_match_is_found(ids: list[int], cut: int) -> None:
    index = NgramIndex()
    index.extend(ids[:cut])
    index.extend(ids)
    place = index.find(ids)
    size, wanted = longest_match(ids)
    pairs = sum(ids[n - 1 : n + 1] == ids[-2:] for n in range(1, len(ids) - 1))
    if size < 2:
        assert place == -1
    elif pairs <= MAX_CHAIN:
        assert place == wanted
    else:  # only the latest ones are compared
        assert ids[place - 1 : place + 1] == ids[-2:]


def propose(ids: list[int], count: int) -> list[int]:
    proposer = NgramProposer()
    (guesses,) = proposer.propose([Query(proposer.start(), ids, count)])
    return guesses


@pytest.mark.parametrize(
    ("ids", "guesses"),
    [
        ([1, 2, 3, 4, 5, 1, 2], [3, 4, 5, 1]),
        ([1, 2, 3, 9, 1, 2, 4, 9, 1, 2], [4, 9, 1, 2]),  # the latest of equally long ones
        ([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], [3, 8, 1, 2]),  # the longest one
        ([1, 2, 1, 2, 1], [2, 1, 2, 1]),  # round and round
        ([5, 5], []),
        ([5, 5, 5], [5, 5, 5, 5]),
        ([1, 2, 3, 4], []),
        ([1], []),
    ],
)
def test_what_followed_is_guessed(ids: list[int], guesses: list[int]) -> None:
    assert propose(ids, 4) == guesses
    assert propose(ids, 2) == guesses[:2]


def greedy(model: Decoder, ids: list[int], count: int) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-count:]


@pytest.fixture(scope="module")
def small() -> Decoder:
    return random_decoder(num_layers=2, max_seq_len=64, layer_types=("conv", "full")).eval()


@pytest.mark.parametrize("runner", ["auto", "torch"])
def test_a_draft_model_goes_on_greedily(small: Decoder, runner: str) -> None:
    config = EngineConfig(max_rows=2, prefill_tokens=8, runner=runner)  # type: ignore[arg-type]
    draft = DraftModel(small, config, 60, 61)
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(0, 61, (size,), generator=generator).tolist() for size in (30, 3, 1)]
    memories = [draft.start() for _ in texts]
    for step in range(6):
        # Three texts take turns in two slots; some guesses come true, some do not.
        pair = [step % 3, (step + 1) % 3]
        queries = [Query(memories[n], texts[n], 3 + step % 2) for n in pair]
        for n, query, guesses in zip(pair, queries, draft.propose(queries), strict=True):
            assert guesses == greedy(small, texts[n], query.count)
            texts[n] += guesses[: step % 4]
            texts[n] += [(guesses[-1] + 1) % 61, guesses[-1]]


def test_a_draft_model_reads_only_what_is_new(small: Decoder) -> None:
    draft = DraftModel(small, EngineConfig(max_rows=2), 60, 61)
    sizes: list[int] = []
    run = draft._runner.run

    def counted(batch):  # type: ignore[no-untyped-def]
        sizes.append(batch.num_tokens)
        return run(batch)

    draft._runner.run = counted  # type: ignore[method-assign]
    memory, ids = draft.start(), list(range(20))
    (guesses,) = draft.propose([Query(memory, ids, 3)])
    assert sizes == [19, 1, 1, 1]
    sizes.clear()
    draft.propose([Query(memory, [*ids, *guesses, 7], 2)])  # all came true
    assert sum(sizes) == 2 + 1
    sizes.clear()
    draft.propose([Query(memory, [*ids, *guesses, 7, 60], 1)])
    assert sum(sizes) == 1


def test_a_draft_model_says_nothing_where_it_can_not(small: Decoder) -> None:
    draft = DraftModel(small, EngineConfig(max_rows=1), 999, 61)
    queries = [Query(draft.start(), [1] * size, 4) for size in (61,)]
    assert draft.propose(queries) == [[]]
    with pytest.raises(UserError, match="vocabulary of 61"):
        DraftModel(small, EngineConfig(), 60, 62)
    assert isinstance(draft.start(), DraftText)


def test_ids_that_pad_the_vocabulary_are_not_guessed(small: Decoder) -> None:
    few = replace(EngineConfig(max_rows=1), num_ids=5)
    draft = DraftModel(small, few, 60, 61)
    for first in range(10):
        (guesses,) = draft.propose([Query(draft.start(), [first], 6)])
        assert max(guesses) < 5


def test_more_is_guessed_the_likelier_and_the_cheaper_it_is() -> None:
    def count(kept: float, cost: float) -> int:
        return Track(None, kept=kept, tried=10.0).count(cost, 100, 8)

    assert count(9.5, 0.1) == 8
    assert count(5, 0.09) == 3  # 0.5^3 is still more than 0.09 and a margin, 0.5^4 is not
    assert count(5, 0.3) == 1
    assert count(5, 0.45) == 0
    assert count(9.9, 1.0) == 0
    assert count(1, 0.007) == 2


def test_guessing_stops_where_it_does_not_pay_and_is_tried_again() -> None:
    track, length, tried = Track(None), 0, []
    while length < 2000:
        count = track.count(0.3, length, 6)
        if count:
            tried.append((length, count))
            track.judge(count, 0, length)
        length += 1
    wasted = sum(count for _, count in tried)
    assert wasted < 60
    gaps = [b[0] - a[0] for a, b in zip(tried, tried[1:], strict=False)]
    assert max(gaps) == MAX_PATIENCE and MIN_PATIENCE + 1 in gaps
    # The text changes: guesses come true, and within a few attempts all of it is guessed.
    for _ in range(8 * MAX_PATIENCE):
        length += 1
        if count := track.count(0.3, length, 6):
            track.judge(count, count, length)
    assert track.count(0.3, length, 6) == 6 and track.resume == 0


def test_a_step_of_guesses_is_compared_with_one_without() -> None:
    costs = Costs()
    for _ in range(NUM_PLAIN):
        assert costs.wants_plain(4)
        costs.measure(4, 0, 0.010)
    assert not costs.wants_plain(4) and costs.wants_plain(5)
    for _ in range(REFRESH):
        assert not costs.wants_plain(4)
        costs.measure(4, 8, 0.014)
    # 4 ms for 8 guesses are half a millisecond each; a token of a row took 2.5.
    assert costs.relative(4) == pytest.approx(0.2)
    assert costs.wants_plain(4)
    costs.measure(4, 8, 10.0)  # interrupted
    assert costs.relative(4) < 0.3


def test_probes_are_short() -> None:
    track = Track(None, kept=0.1, tried=10.0)
    assert track.count(0.5, 10, 9) == 0
    assert track.count(0.5, 10 + MIN_PATIENCE, 9) == PROBE
    assert track.count(0.5, 10 + MIN_PATIENCE, 1) == 1


class Text:
    """A row that grows by a token a step."""

    def __init__(self) -> None:
        self.ids, self.max_ids = [0] * 20, 10_000


@pytest.mark.parametrize("right", [False, True])
def test_many_short_texts_share_what_they_found_out(right: bool) -> None:
    sampler = Sampler(8, 8, torch.device("cpu"))
    speculator = Speculator(NgramProposer(), sampler, num_guesses=4, max_tokens=64)
    speculator.costs = replace(speculator.costs, plain={4: 0.004}, guess=0.0005)
    attempts = []
    for _ in range(50):  # times four texts of 100 tokens
        rows = [Text() for _ in range(4)]
        attempts.append(0)
        for _ in range(100):
            for row, query in speculator._queries(rows).items():
                attempts[-1] += 1
                speculator.judge(row, query.count, query.count if right else 0)
            for row in rows:
                row.ids.append(0)
    if right:
        assert min(attempts[1:]) > 300
        return
    assert 5 < sum(attempts[25:]) <= 50  # at most one text in 512 tokens tries early, twice


class Free(Costs):
    """Guesses seem to cost nothing, so that they are made in every step."""

    def wants_plain(self, num_rows: int) -> bool:
        return False

    def relative(self, num_rows: int) -> float:
        return 0.0


@pytest.mark.parametrize("runner", ["auto", "torch"])
def test_deterministic_engines_give_the_same_bits_with_guesses(runner: str) -> None:
    model = random_decoder(num_layers=2, layer_types=("conv", "full"))
    prompts = [tuple(range(n, n + 5)) * 4 for n in range(5)]
    params = [
        SamplingParams(temperature=t, seed=3, max_tokens=40, presence_penalty=p, top_logprobs=2)
        for t, p in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.3, 0.0), (0.3, -1.0))
    ]
    config = EngineConfig(max_rows=3, deterministic=True, runner=runner)  # type: ignore[arg-type]
    plain = generate(Engine(model, config), prompts, params)
    engine = Engine(model, replace(config, speculation="ngram", draft_tokens=5))
    assert engine.speculator is not None
    engine.speculator.costs = Free()
    for expected, found in zip(plain, generate(engine, prompts, params), strict=True):
        assert found.ids == expected.ids and found.logprobs == expected.logprobs
    assert engine.draft_counts.accepted > 10
