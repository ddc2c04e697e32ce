"""Guessed tokens: the output is the one without guesses, and guessing stops where it is no use."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Completion
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams, generate
from nanohydra.engine.speculation import Costs, Query
from nanohydra.model import Decoder


class Oracle:
    """Knows how some texts go on, and is wrong from time to time."""

    def __init__(self, texts: Sequence[tuple[int, ...]], *, errors: float, seed: int = 0) -> None:
        self.texts = texts
        self.errors = errors
        self.rng = random.Random(seed)

    def start(self) -> None:
        return None

    def propose(self, queries: Sequence[Query]) -> list[list[int]]:
        return [self.guess(tuple(query.ids), query.count) for query in queries]

    def guess(self, held: tuple[int, ...], count: int) -> list[int]:
        for text in self.texts:
            if text[: len(held)] == held:
                guesses = list(text[len(held) : len(held) + self.rng.randint(0, count)])
                return [(g + 1) % 61 if self.rng.random() < self.errors else g for g in guesses]
        return []


def text(length: int, seed: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(61) for _ in range(length))


PROMPTS = [text(3 + 7 * number, number) for number in range(6)]
PARAMS = [
    SamplingParams(temperature=0, max_tokens=40),
    SamplingParams(temperature=1.0, seed=1, max_tokens=33),
    SamplingParams(temperature=0.8, top_k=7, seed=2, max_tokens=40, repetition_penalty=1.4),
    SamplingParams(temperature=1.2, top_p=0.8, seed=3, max_tokens=25, frequency_penalty=0.7),
    SamplingParams(temperature=0, max_tokens=30, stop_ids=(5, 6, 7)),
    SamplingParams(temperature=1.0, seed=4, max_tokens=37, min_tokens=20, stop_ids=tuple(range(9))),
]


class Free(Costs):
    """Guesses seem to cost nothing, so that they are made in every step."""

    def wants_plain(self, num_rows: int) -> bool:
        return False

    def relative(self, num_rows: int) -> float:
        return 0.0


def always(engine: Engine) -> Engine:
    """Guess in every step, whether it pays or not."""
    assert engine.speculator is not None
    engine.speculator.costs = Free()
    return engine


def same(first: Completion, second: Completion) -> bool:
    return (first.ids, first.finish_reason) == (second.ids, second.finish_reason) and (
        first.logprobs == pytest.approx(second.logprobs, abs=1e-4)
    )


@pytest.mark.parametrize("errors", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("blocks", [0, 30])
def test_with_guesses_equals_without(model: Decoder, errors: float, blocks: int) -> None:
    """Greedy and random, with penalties and stop tokens, also where blocks run out."""
    plain = generate(Engine(model, EngineConfig(max_rows=1)), PROMPTS, PARAMS)
    oracle = Oracle([p + c.ids for p, c in zip(PROMPTS, plain, strict=True)], errors=errors)
    config = EngineConfig(max_rows=4, block_size=4, num_blocks=blocks, draft_tokens=5)
    engine = always(Engine(model, config, proposer=oracle))
    for expected, found in zip(plain, generate(engine, PROMPTS, PARAMS), strict=True):
        assert same(expected, found)
    counts = engine.draft_counts
    assert counts.drafts > 20 and counts.tokens > counts.drafts
    if errors == 0:
        assert counts.accepted > 0.9 * counts.tokens  # only a stop token cuts a guess short
        assert engine.num_steps < 0.7 * sum(len(c.ids) for c in plain)
    if errors == 1:
        assert not counts.accepted
    if blocks:
        assert engine.num_preemptions > 0
    assert engine.kv_blocks.active == 0


def test_blocks_for_wrong_guesses_are_given_back(decoder: Decoder) -> None:
    (plain,) = generate(Engine(decoder), PROMPTS[:1], PARAMS[0])
    oracle = Oracle([PROMPTS[0] + plain.ids], errors=1.0)
    config = EngineConfig(block_size=2, draft_tokens=9)
    engine = always(Engine(decoder, config, proposer=oracle))
    engine.add(Request(id="a", prompt_ids=PROMPTS[0], params=PARAMS[0]))
    while engine.has_work():
        engine.step()
        for sequence in engine.scheduler.active:
            assert len(sequence.blocks) <= -(-len(sequence.ids) // 2)


def test_what_was_guessed_wrong_is_known_to_nobody(decoder: Decoder) -> None:
    """Blocks become known as far as tokens were kept: the same prompt again gives the same."""
    plain = generate(Engine(decoder), PROMPTS, PARAMS)
    oracle = Oracle([p + c.ids for p, c in zip(PROMPTS, plain, strict=True)], errors=0.5)
    config = EngineConfig(block_size=4, draft_tokens=7)
    engine = always(Engine(decoder, config, proposer=oracle))
    longer = [p + c.ids for p, c in zip(PROMPTS, plain, strict=True)]
    generate(engine, PROMPTS, PARAMS)
    known = engine.num_cached_tokens
    for expected, found in zip(
        generate(Engine(decoder), longer, PARAMS), generate(engine, longer, PARAMS), strict=True
    ):
        assert same(expected, found)
    assert engine.num_cached_tokens > known + 100


def test_a_proposer_without_ideas_costs_no_calls(decoder: Decoder) -> None:
    engine = always(Engine(decoder, proposer=Oracle([], errors=0.0)))
    expected = generate(Engine(decoder), PROMPTS, PARAMS)
    assert all(map(same, generate(engine, PROMPTS, PARAMS), expected))
    assert engine.draft_counts.drafts == 0


class Failing(Oracle):
    def propose(self, queries: Sequence[Query]) -> list[list[int]]:
        raise RuntimeError("no idea at all")


def test_a_proposer_that_fails_is_given_up(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    engine = always(Engine(decoder, proposer=Failing([], errors=0.0)))
    expected = generate(Engine(decoder), PROMPTS, PARAMS)
    assert all(map(same, generate(engine, PROMPTS, PARAMS), expected))
    assert engine.speculator is None and "no idea at all" in caplog.text


def test_configured_speculation_equals_none(model: Decoder) -> None:
    """With n-grams of the text itself, and with the model as its own draft model."""
    repeating = [(*text(6, number), 1, 2) * 4 for number in range(4)]
    params = SamplingParams(temperature=0, max_tokens=30)
    expected = generate(Engine(model), repeating, params)
    for kind in ("ngram", "draft"):
        config = EngineConfig(max_rows=3, speculation=kind)  # type: ignore[arg-type]
        engine = always(Engine(model, config, draft=model if kind == "draft" else None))
        assert all(map(same, generate(engine, repeating, params), expected))
        counts = engine.draft_counts  # that a text of random weights repeats itself is no rule
        assert kind == "ngram" or counts.accepted == counts.tokens > 0
    with pytest.raises(UserError, match="needs a draft model"):
        Engine(model, EngineConfig(speculation="draft"))
    with pytest.raises(UserError, match='"ngram" or "draft", not'):
        EngineConfig(speculation="magic")  # type: ignore[arg-type]
