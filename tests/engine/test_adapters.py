"""Adapters in the engine: the base stays the base, mixed equals alone, what does not fit stays out.

References are models with the adapter added into their weights.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
import random
import weakref
from collections.abc import Callable

import pytest
import torch

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, batch, concatenate
from nanohydra.core.errors import UserError
from nanohydra.core.types import Completion
from nanohydra.engine import (
    Engine,
    EngineConfig,
    Event,
    QueueFull,
    Request,
    SamplingParams,
    generate,
)
from nanohydra.model import Decoder

GREEDY = SamplingParams(temperature=0, max_tokens=10)
Make = Callable[..., AdapterWeights]
Fold = Callable[[Decoder, AdapterWeights], Decoder]


def prompts(count: int, *, longest: int = 30, seed: int = 0) -> list[tuple[int, ...]]:
    rng = random.Random(seed)
    return [tuple(rng.randrange(61) for _ in range(rng.randint(1, longest))) for _ in range(count)]


def close(first: Completion, second: Completion) -> bool:
    """Equal up to the rounding that any other batch brings."""
    return first.ids == second.ids and first.logprobs == pytest.approx(second.logprobs, abs=1e-3)


def run(engine: Engine) -> list[Event]:
    events = []
    while engine.has_work():
        events += engine.step()
    return events


def test_an_adapter_answers_as_if_it_were_in_the_weights(
    model: Decoder, make_adapter: Make, fold: Fold
) -> None:
    weights = make_adapter(model, 1)
    engine = Engine(model, EngineConfig(max_rows=3, prefill_tokens=16))
    id = engine.load(weights)
    assert id == weights.id and engine.resident == (id,)
    asked = prompts(7)
    expected = generate(Engine(fold(model, weights)), asked, GREEDY)
    found = generate(engine, asked, GREEDY, id)
    assert all(close(a, b) for a, b in zip(expected, found, strict=True))
    assert {completion.adapter for completion in found} == {id}
    base = generate(Engine(model), asked, GREEDY)
    assert {completion.adapter for completion in base} == {None}
    assert [c.ids for c in base] != [c.ids for c in found]


@pytest.mark.parametrize("num_adapters", [1, 3, 6])
def test_rows_without_an_adapter_keep_every_bit(
    model: Decoder, make_adapter: Make, num_adapters: int
) -> None:
    """The same requests in the same places, once without adapters: neighbours alone differ."""
    asked = prompts(12, seed=num_adapters)
    rng = random.Random(num_adapters)
    plain = Engine(model, EngineConfig(max_rows=8))
    mixed = Engine(model, EngineConfig(max_rows=8))
    ids = [mixed.load(make_adapter(model, seed)) for seed in range(num_adapters)]
    names = [rng.choice([None, *ids]) for _ in asked] if num_adapters < 6 else [None, *ids] * 2
    params = [SamplingParams(seed=n, max_tokens=20) for n in range(12)]
    names = names[:12]
    expected = generate(plain, asked, params)
    found = generate(mixed, asked, params, names)
    assert None in names and any(names)
    for name, one, other in zip(names, expected, found, strict=True):
        if name is None:
            assert one == other  # ids and log-probabilities, bit for bit
        else:
            assert one.ids != other.ids and other.adapter == name


@pytest.mark.parametrize("max_rows", [2, 8])
def test_a_mixed_batch_equals_each_alone(model: Decoder, make_adapter: Make, max_rows: int) -> None:
    """Two rows go adapter by adapter; eight of six kinds go in one product."""
    weights = [
        make_adapter(model, 0),
        make_adapter(model, 1, rank=9),
        make_adapter(model, 2, targets=("q_proj", "v_proj", "out_proj")),
        make_adapter(model, 3, targets=("up_proj",)),
        make_adapter(model, 4, rank=1),
    ]
    engine = Engine(model, EngineConfig(max_rows=max_rows, prefill_tokens=24))
    ids = [engine.load(each) for each in weights]
    asked = prompts(18, longest=20, seed=8)
    names = [[None, *ids][n % 6] for n in range(18)]
    params = [SamplingParams(seed=n, max_tokens=3 + n % 9, stop_ids=(3,)) for n in range(18)]
    together = generate(engine, asked, params, names)
    alone = Engine(model, EngineConfig(max_rows=1, prefix_caching=False))
    for each in weights:
        alone.load(each)
    for prompt, own, name, completion in zip(asked, params, names, together, strict=True):
        assert close(generate(alone, [prompt], own, name)[0], completion)


def test_the_packed_product_is_used_and_follows_its_rows(
    decoder: Decoder, make_adapter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = batch.add_packed
    monkeypatch.setattr(batch, "add_packed", lambda *a: (calls.append(1), original(*a)))
    engine = Engine(decoder, EngineConfig(max_rows=6, runner="torch"))
    ids = [engine.load(make_adapter(decoder, seed)) for seed in range(9)]
    asked = prompts(18, seed=2)
    params = [SamplingParams(temperature=0, max_tokens=5 + n % 7) for n in range(18)]
    found = generate(engine, asked, params, ids * 2)
    assert len(calls) > 20
    monkeypatch.setattr(batch, "PACKED_FROM", 99)
    calls.clear()
    looped = generate(engine, asked, params, ids * 2)
    assert not calls and all(close(a, b) for a, b in zip(looped, found, strict=True))


def test_a_fresh_adapter_is_the_base(model: Decoder, make_adapter: Make) -> None:
    weights = make_adapter(model, 1)
    pairs = {
        name: Pair(a_RI=pair.a_RI, b_OR=torch.zeros_like(pair.b_OR))
        for name, pair in weights.pairs.items()
    }
    engine = Engine(model, EngineConfig(prefix_caching=False))
    id = engine.load(dataclasses.replace(weights, pairs=pairs))
    asked = prompts(8)
    base, fresh = (generate(engine, asked, GREEDY, name) for name in (None, id))
    assert [(c.ids, c.logprobs) for c in base] == [(c.ids, c.logprobs) for c in fresh]


def test_two_adapters_at_once_are_the_sum_of_their_updates(
    model: Decoder, make_adapter: Make, fold: Fold
) -> None:
    first = make_adapter(model, 1, std=0.15)
    second = make_adapter(model, 2, rank=3, targets=("q_proj", "down_proj"))
    engine = Engine(model)
    id = engine.load(concatenate([first, second]))
    asked = prompts(6)
    expected = generate(Engine(fold(fold(model, first), second)), asked, GREEDY)
    found = generate(engine, asked, GREEDY, id)
    assert all(close(a, b) for a, b in zip(expected, found, strict=True))


def test_in_bfloat16(decoder: Decoder, make_adapter: Make) -> None:
    half = copy.deepcopy(decoder).bfloat16()
    engine = Engine(half)
    weights = make_adapter(decoder, 1)  # trained in float32 on the same base
    id = engine.load(weights)
    base, adapted = (generate(engine, prompts(5), GREEDY, name) for name in (None, id))
    assert generate(Engine(half), prompts(5), GREEDY) == base
    assert [c.ids for c in base] != [c.ids for c in adapted]


def test_the_model_is_untouched(decoder: Decoder, make_adapter: Make) -> None:
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    engine = Engine(decoder)
    ids = [engine.load(make_adapter(decoder, seed)) for seed in range(5)]
    generate(engine, prompts(5), GREEDY, ids)
    assert before.keys() == decoder.state_dict().keys()
    assert all(torch.equal(before[name], t) for name, t in decoder.state_dict().items())
    assert not any("forward" in vars(module) for module in decoder.modules())


def test_a_failing_call_leaves_no_adapter_on_the_model(
    decoder: Decoder, make_adapter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(decoder, EngineConfig(runner="torch"))
    id = engine.load(make_adapter(decoder, 1))
    with monkeypatch.context() as patch:
        patch.setattr(decoder.blocks[1], "forward", lambda *_: 1 / 0)
        (completion,) = generate(engine, [(1, 2)], GREEDY, id)
    assert completion.finish_reason == "error"
    assert not any("forward" in vars(module) for module in decoder.modules())
    assert engine.unload(id)  # nothing has it pinned


def spoiled(weights: AdapterWeights, how: str) -> AdapterWeights:
    """An adapter that cannot be served."""
    name, pair = next(iter(weights.pairs.items()))
    pairs = dict(weights.pairs)
    if how == "base":
        return dataclasses.replace(weights, base="ab" * 32)
    if how == "empty":
        return dataclasses.replace(weights, pairs={})
    if how == "shape":
        pairs[name] = Pair(a_RI=pair.a_RI[:, :-1], b_OR=pair.b_OR)
    elif how == "ranks":
        pairs[name] = Pair(a_RI=pair.a_RI[:-1], b_OR=pair.b_OR)
    elif how == "layer":
        pairs["blocks.9.mixer.q_proj"] = pairs.pop(name)
    elif how == "head":
        pairs["head"] = Pair(a_RI=torch.ones(4, 32), b_OR=torch.ones(61, 4))
    elif how in ("nan", "inf"):
        a_RI = pair.a_RI.clone()
        a_RI[1, 2] = float(how)
        pairs[name] = Pair(a_RI=a_RI, b_OR=pair.b_OR)
    return dataclasses.replace(weights, pairs=pairs)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("base", "trained on another base .abababab"),
        ("empty", "has no tensors"),
        ("shape", r"shapes \(4, 31\) and \(32, 4\).*another model"),
        ("ranks", r"shapes \(3, 32\) and \(32, 4\)"),
        ("layer", "no linear layer 'blocks.9.mixer.q_proj'"),
        ("head", "no linear layer 'head'"),
        ("nan", "not finite"),
        ("inf", "not finite"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    decoder: Decoder, make_adapter: Make, how: str, reason: str
) -> None:
    engine = Engine(decoder)
    good = engine.load(make_adapter(decoder, 1))
    with pytest.raises(UserError, match=reason):
        engine.load(spoiled(make_adapter(decoder, 2), how))
    assert engine.resident == (good,)


def test_an_adapter_of_another_model_of_the_same_shape_is_refused(
    decoder: Decoder, make_adapter: Make, fold: Fold
) -> None:
    other = fold(decoder, make_adapter(decoder, 5))
    with pytest.raises(UserError, match="another base"):
        Engine(decoder).load(make_adapter(other, 1))


def test_what_is_served_does_not_change_with_the_callers_tensors(
    decoder: Decoder, make_adapter: Make
) -> None:
    weights = dataclasses.replace(make_adapter(decoder, 1), config=LoraConfig(rank=4, alpha=4.0))
    engine = Engine(decoder, EngineConfig(prefix_caching=False))
    id = engine.load(weights)
    before = generate(engine, prompts(3), GREEDY, id)
    for pair in weights.pairs.values():
        pair.a_RI.zero_()
        pair.b_OR.zero_()
    assert generate(engine, prompts(3), GREEDY, id) == before


def test_an_unknown_adapter_is_refused(decoder: Decoder, make_adapter: Make) -> None:
    engine = Engine(decoder)
    id = engine.load(make_adapter(decoder, 1))
    with pytest.raises(UserError, match=f"'home' is not loaded; loaded are {id}"):
        engine.add(Request(id="x", prompt_ids=(1,), params=GREEDY, adapter="home"))
    with pytest.raises(UserError, match="'home' is not loaded"):
        engine.unload("home")
    assert not engine.has_work()


def test_unload_while_a_request_runs(decoder: Decoder, make_adapter: Make, fold: Fold) -> None:
    weights = make_adapter(decoder, 1)
    engine = Engine(decoder, EngineConfig(max_rows=2))
    id = engine.load(weights)
    for name in "abc":  # the last waits for a row
        engine.add(Request(id=name, prompt_ids=(1, 2, 3), params=GREEDY, adapter=id))
    events = engine.step()
    assert not engine.unload(id) and engine.resident == ()
    with pytest.raises(UserError, match="not loaded"):
        engine.add(Request(id="late", prompt_ids=(1, 2, 3), params=GREEDY, adapter=id))
    engine.abort("b")
    events += run(engine)
    (expected,) = generate(Engine(fold(decoder, weights)), [(1, 2, 3)], GREEDY)
    for name in "ac":
        tokens = tuple(event.token_id for event in events if event.request_id == name)
        assert tokens == expected.ids
    assert engine.adapters.num_bytes == 0
    with pytest.raises(UserError, match="not loaded"):
        engine.unload(id)


def test_loading_again_while_it_leaves_keeps_it(decoder: Decoder, make_adapter: Make) -> None:
    weights = make_adapter(decoder, 1)
    engine = Engine(decoder)
    id = engine.load(weights)
    engine.add(Request(id="a", prompt_ids=(1,), params=GREEDY, adapter=id))
    assert not engine.unload(id)
    assert engine.load(weights) == id
    run(engine)
    assert engine.resident == (id,)


def test_the_least_recently_used_makes_room(decoder: Decoder, make_adapter: Make) -> None:
    engine = Engine(decoder, EngineConfig(max_adapters=3))
    weights = [make_adapter(decoder, seed) for seed in range(6)]
    first, second, third = (engine.load(each) for each in weights[:3])
    generate(engine, [(1,)], GREEDY, first)
    assert engine.resident == (second, third, first)
    assert engine.load(weights[2]) == third  # nothing is made twice
    engine.load(weights[3])
    assert second not in engine.resident and len(engine.resident) == 3
    for id in engine.resident:
        engine.add(Request(id=id, prompt_ids=(1,), params=GREEDY, adapter=id))
    with pytest.raises(QueueFull, match=r"all 3 resident adapters are in use.*max_adapters"):
        engine.load(weights[4])
    run(engine)
    engine.load(weights[4])
    assert engine.adapters.num_loads == 5 and engine.adapters.num_evictions == 2


def test_evicted_and_unloaded_adapters_are_freed(decoder: Decoder, make_adapter: Make) -> None:
    engine = Engine(decoder, EngineConfig(max_adapters=1))
    gone = []
    for seed in range(3):
        id = engine.load(make_adapter(decoder, seed))
        gone.append(weakref.ref(engine.adapters.pin(id)))
        engine.adapters.release(id)
        generate(engine, prompts(3), GREEDY, id)
    engine.unload(id)
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_learn_ask_relearn_ask(model: Decoder, make_adapter: Make) -> None:
    """What an older version or the base has read is never taken for a newer version's."""
    prompt = tuple(range(40))
    engine = Engine(model)
    ids = [engine.load(make_adapter(model, seed)) for seed in (1, 2)]
    for name in (ids[0], ids[1], None, ids[0], None, ids[1]):
        (found,) = generate(engine, [prompt], GREEDY, name)
        fresh = Engine(model, EngineConfig(prefix_caching=False))
        for seed in (1, 2):
            fresh.load(make_adapter(model, seed))
        assert close(generate(fresh, [prompt], GREEDY, name)[0], found)
