"""Prompts that begin alike: cached equals uncached, only what was read is found."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from nanohydra.adapters import AdapterWeights
from nanohydra.core.types import Completion
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams, generate
from nanohydra.model import Decoder

SIZE = EngineConfig().block_size
GREEDY = SamplingParams(temperature=0, max_tokens=6)
Make = Callable[..., AdapterWeights]


def text(length: int, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(61) for _ in range(length))


def uncached(model: Decoder, prompt: tuple[int, ...]) -> Completion:
    return generate(Engine(model, EngineConfig(prefix_caching=False)), [prompt], GREEDY)[0]


def same(first: Completion, second: Completion) -> bool:
    return first.ids == second.ids and first.logprobs == pytest.approx(second.logprobs, abs=1e-3)


def test_a_conversation_reads_only_what_is_new(model: Decoder) -> None:
    engine = Engine(model, EngineConfig(max_rows=2))
    history = text(20)
    known = 0
    for turn in range(5):
        read = engine.num_prompt_tokens
        (answer,) = generate(engine, [history], GREEDY)
        assert same(answer, uncached(model, history))
        assert engine.num_prompt_tokens - read == len(history) - known
        # The answer's last token was never fed; only whole blocks are known.
        known = (len(history) + len(answer.ids) - 1) // SIZE * SIZE
        history = (*history, *answer.ids, *text(3, turn))
    assert engine.num_cached_tokens > 0


def test_another_end_of_the_same_start(model: Decoder) -> None:
    """Every layer can be cut at any block, convolutions too."""
    engine = Engine(model)
    start = text(40)
    generate(engine, [start], GREEDY)
    prompt = (*start[:35], *text(5, 9))
    (answer,) = generate(engine, [prompt], GREEDY)
    assert same(answer, uncached(model, prompt))
    assert engine.num_cached_tokens == 2 * SIZE


@pytest.mark.parametrize("length", [SIZE - 1, SIZE, SIZE + 1, 2 * SIZE, 2 * SIZE + 1])
def test_the_same_prompt_again_reads_its_last_token(decoder: Decoder, length: int) -> None:
    engine = Engine(decoder)
    for _ in range(3):
        (answer,) = generate(engine, [text(length)], GREEDY)
        assert same(answer, uncached(decoder, text(length)))
    # A prompt of whole blocks has one of them read again: its last token's logits are asked for.
    assert engine.num_cached_tokens == 2 * ((length - 1) // SIZE * SIZE)


def test_several_begin_from_one_at_once(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=4))
    generate(engine, [text(33)], GREEDY)
    asked = [(*text(33), number, 7) for number in range(6)]
    for prompt, answer in zip(asked, generate(engine, asked, GREEDY), strict=True):
        assert same(answer, uncached(decoder, prompt))
    assert engine.num_cached_tokens == 6 * 32


def test_a_block_is_known_once_it_was_read(decoder: Decoder) -> None:
    """Of equal prompts the first is read alone as far as the budget goes; the next finds that."""
    engine = Engine(decoder, EngineConfig(prefill_tokens=24))
    answers = generate(engine, [text(60)] * 3, GREEDY)
    assert all(same(answer, uncached(decoder, text(60))) for answer in answers)
    assert engine.num_cached_tokens == 2 * 48


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
        assert engine.num_cached_tokens == min(20 * steps, 50) // SIZE * SIZE


def test_the_least_recently_used_goes(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(num_blocks=7, max_length=48))  # three texts do not fit
    first, second, third = (text(36, seed) for seed in (1, 2, 3))

    def hits(prompt: tuple[int, ...]) -> bool:
        before = engine.num_cached_tokens
        generate(engine, [prompt], GREEDY)
        return engine.num_cached_tokens == before + 2 * SIZE

    assert [hits(first), hits(second), hits(first), hits(third)] == [False, False, True, False]
    assert [hits(first), hits(third), hits(second)] == [True, True, False]


def test_versions_tenants_and_the_base_share_nothing(model: Decoder, make_adapter: Make) -> None:
    engine = Engine(model)
    ids = [engine.load(make_adapter(model, seed)) for seed in (1, 2)]
    for name in (None, *ids):
        generate(engine, [text(30)], GREEDY, name)
    for salt in ("a", "b"):
        request = Request(id=salt, prompt_ids=text(30), params=GREEDY, salt=salt)
        engine.add(request)
        while engine.has_work():
            engine.step()
    assert engine.num_cached_tokens == 0
    # The same content under a fresh load is the same version, and may use what it left.
    engine.unload(ids[0])
    engine.load(make_adapter(model, 1))
    generate(engine, [text(30)], GREEDY, ids[0])
    assert engine.num_cached_tokens == SIZE


def test_random_chats_equal_uncached(model: Decoder, make_adapter: Make) -> None:
    rng = random.Random(4)
    engine = Engine(model, EngineConfig(max_rows=3, prefill_tokens=16))
    plain = Engine(model, EngineConfig(max_rows=1, prefix_caching=False))
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
    assert engine.num_cached_tokens > 60


def test_what_failed_is_not_remembered(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(decoder)
    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "run", lambda batch: 1 / 0)
        generate(engine, [text(30)], GREEDY)
    assert engine.kv_blocks.cached == 0
    generate(engine, [text(30)], GREEDY)
    assert engine.num_cached_tokens == 0
