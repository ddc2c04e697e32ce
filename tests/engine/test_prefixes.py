"""Remembered prompts: cached equals uncached, only what was read is taken, the oldest goes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from nanohydra.adapters import AdapterWeights
from nanohydra.core.types import Completion
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams, generate
from nanohydra.engine.prefixes import MIN_LENGTH, common_length
from nanohydra.model import Decoder

GREEDY = SamplingParams(temperature=0, max_tokens=6)
Make = Callable[..., AdapterWeights]


def text(length: int, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(61) for _ in range(length))


def uncached(model: Decoder, prompt: tuple[int, ...]) -> Completion:
    return generate(Engine(model, EngineConfig(prefix_rows=0)), [prompt], GREEDY)[0]


def same(first: Completion, second: Completion) -> bool:
    return first.ids == second.ids and first.logprobs == pytest.approx(second.logprobs, abs=1e-3)


def test_a_conversation_reads_only_what_is_new(model: Decoder) -> None:
    engine = Engine(model, EngineConfig(max_rows=2, prefix_rows=1))
    history = text(20)
    for turn in range(5):
        read = engine.num_prompt_tokens
        (answer,) = generate(engine, [history], GREEDY)
        assert same(answer, uncached(model, history))
        # The answer's last token was never fed, and the turn before ended in three tokens.
        assert engine.num_prompt_tokens - read == (20 if turn == 0 else 1 + 3)
        history = (*history, *answer.ids, *text(3, turn))
    assert engine.num_cached_tokens > 0


def test_another_end_of_the_same_start(model: Decoder) -> None:
    """Keys and values can be cut anywhere; what a convolution holds cannot."""
    engine = Engine(model)
    start = text(30)
    generate(engine, [start], GREEDY)
    prompt = (*start[:25], *text(5, 9))
    (answer,) = generate(engine, [prompt], GREEDY)
    assert same(answer, uncached(model, prompt))
    can_cut = "conv" not in model.config.layer_types
    assert engine.num_cached_tokens == (common_length(start, prompt) if can_cut else 0)


def test_the_same_prompt_again_reads_its_last_token(decoder: Decoder) -> None:
    engine = Engine(decoder)
    for _ in range(3):
        (answer,) = generate(engine, [text(30)], GREEDY)
        assert same(answer, uncached(decoder, text(30)))
    assert engine.num_cached_tokens == 2 * 29
    (short,) = generate(engine, [text(30)[:1]], GREEDY)  # shorter than what is remembered
    assert same(short, uncached(decoder, text(30)[:1]))


def test_several_begin_from_one_at_once(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=4))
    generate(engine, [text(30)], GREEDY)
    asked = [(*text(30), number, 7) for number in range(6)]
    for prompt, answer in zip(asked, generate(engine, asked, GREEDY), strict=True):
        assert same(answer, uncached(decoder, prompt))
    assert engine.num_cached_tokens >= 6 * 30


def test_an_aborted_request_is_remembered_as_far_as_it_was_read(model: Decoder) -> None:
    for steps in (1, 2, 5):
        engine = Engine(model, EngineConfig(prefill_tokens=20))
        engine.add(Request(id="a", prompt_ids=text(50), params=SamplingParams(temperature=0)))
        for _ in range(steps):
            engine.step()
        engine.abort("a")
        prompt = (*text(50), 1, 2, 3)
        (answer,) = generate(engine, [prompt], GREEDY)
        assert same(answer, uncached(model, prompt))
        assert steps == 5 or engine.num_cached_tokens == min(20 * steps, 50)


def test_the_least_recently_used_goes(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(prefix_rows=2))
    first, second, third = (text(20, seed) for seed in (1, 2, 3))

    def hits(prompt: tuple[int, ...]) -> bool:
        before = engine.num_cached_tokens
        generate(engine, [prompt], GREEDY)
        return engine.num_cached_tokens > before

    assert [hits(first), hits(second), hits(first), hits(third)] == [False, False, True, False]
    assert [hits(first), hits(third), hits(second)] == [True, True, False]


def test_versions_and_the_base_share_nothing(model: Decoder, make_adapter: Make) -> None:
    engine = Engine(model, EngineConfig(prefix_rows=3))
    ids = [engine.load(make_adapter(model, seed)) for seed in (1, 2)]
    for name in (None, *ids):
        generate(engine, [text(30)], GREEDY, name)
    assert engine.num_cached_tokens == 0
    # The same content under a fresh load is the same version, and may use what it left.
    engine.unload(ids[0])
    engine.load(make_adapter(model, 1))
    if "conv" not in model.config.layer_types:
        generate(engine, [text(30)], GREEDY, ids[0])
        assert engine.num_cached_tokens == 29


def test_random_chats_equal_uncached(model: Decoder, make_adapter: Make) -> None:
    rng = random.Random(4)
    engine = Engine(model, EngineConfig(max_rows=3, prefix_rows=3, prefill_tokens=16))
    plain = Engine(model, EngineConfig(max_rows=1, prefix_rows=0))
    names = [None, *(engine.load(make_adapter(model, seed)) for seed in (1, 2))]
    for seed in (1, 2):
        plain.load(make_adapter(model, seed))
    chats = {name: text(rng.randint(3, 25), n) for n, name in enumerate(names)}
    for _ in range(4):
        asked, by = list(chats.values()), list(chats)
        answers = generate(engine, asked, GREEDY, by)
        for name, prompt, answer in zip(by, asked, answers, strict=True):
            assert same(answer, generate(plain, [prompt], GREEDY, name)[0])
            chats[name] = (*prompt, *answer.ids, rng.randrange(61))
    assert engine.num_cached_tokens > 100


def test_errors_and_short_prompts_are_not_remembered(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(decoder)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_decode", lambda running: 1 / 0)
        generate(engine, [text(30)], GREEDY)
    generate(engine, [text(MIN_LENGTH - GREEDY.max_tokens)], GREEDY)
    generate(engine, [text(30)], GREEDY)
    assert engine.num_cached_tokens == 0


def test_common_length() -> None:
    rng = random.Random(0)
    for _ in range(200):
        first, second = ([rng.randrange(2) for _ in range(rng.randrange(12))] for _ in range(2))
        length = common_length(tuple(first), tuple(second))
        assert first[:length] == second[:length]
        assert length == min(len(first), len(second)) or first[length] != second[length]
