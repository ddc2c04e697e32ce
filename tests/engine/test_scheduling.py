"""Who runs when: priorities, deadlines, blocks that run out, continuations, exact accounting."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineConfig, Event, Request, SamplingParams, generate
from nanohydra.engine.memory import choose_num_blocks
from nanohydra.model import Decoder

GREEDY = SamplingParams(temperature=0, max_tokens=12)


def text(length: int, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(61) for _ in range(length))


def run(engine: Engine) -> dict[tuple[str, int], list[Event]]:
    """Step until nothing is left, with the books checked; events by request and continuation."""
    events: dict[tuple[str, int], list[Event]] = {}
    while engine.has_work():
        for event in engine.step():
            events.setdefault((event.request_id, event.index), []).append(event)
        check_books(engine)
    return events


def check_books(engine: Engine) -> None:
    """Every block is where the sequences say, and nowhere else."""
    holders = Counter(block for s in engine.scheduler.active for block in s.blocks)
    counts = engine.kv_blocks
    assert counts.free + counts.cached + counts.active == counts.total
    assert counts.active == len(holders) and 0 not in holders
    assert all(engine.pool.is_shared(block) == (count > 1) for block, count in holders.items())
    assert not any(s.blocks for s in engine.scheduler.waiting)
    assert engine.num_waiting_tokens == sum(len(s.ids) for s in engine.scheduler.waiting)
    assert engine.num_active <= engine.max_rows


def ids_of(events: list[Event]) -> tuple[int, ...]:
    return tuple(event.token_id for event in events if event.token_id is not None)


def test_lower_priorities_go_first_and_equal_ones_in_order(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=1))
    for id, priority in [("a", 1), ("b", 0), ("c", 1), ("d", -2), ("e", 0)]:
        engine.add(Request(id=id, prompt_ids=(1, 2), params=GREEDY, priority=priority))
    assert [id for id, _ in run(engine)] == ["d", "b", "e", "a", "c"]


def test_nobody_starves(decoder: Decoder) -> None:
    """One of low priority runs once it has waited long, though others keep coming."""
    engine = Engine(decoder, EngineConfig(max_rows=1, priority_seconds=0.05))
    engine.add(Request(id="low", prompt_ids=(1, 2), params=GREEDY, priority=3))
    deadline, number, seen = time.monotonic() + 20, 0, set[str]()
    while "low" not in seen and time.monotonic() < deadline:
        while engine.num_waiting < 3:
            engine.add(Request(id=str(number), prompt_ids=(1, 2), params=GREEDY))
            number += 1
        seen.update(event.request_id for event in engine.step())
    assert "low" in seen and len(seen) > 1


@pytest.mark.parametrize("runner", ["torch", "auto"])
def test_the_last_gives_way_and_loses_nothing(model: Decoder, runner: str) -> None:
    """Blocks for two and a half sequences, asked for by five."""
    prompts = [text(9 + number, number) for number in range(5)]
    params = SamplingParams(temperature=0, max_tokens=40)
    config = EngineConfig(
        max_rows=5,
        block_size=4,
        num_blocks=31,
        max_length=60,
        runner=runner,  # type: ignore[arg-type]
    )
    engine = Engine(model, config)
    for number, prompt in enumerate(prompts):
        engine.add(
            Request(id=str(number), prompt_ids=prompt, params=params, priority=int(number == 0))
        )
    events = run(engine)
    assert engine.num_preemptions > 2
    assert engine.num_prompt_tokens == sum(map(len, prompts))  # read again does not count again
    alone = Engine(model, EngineConfig(max_rows=1, runner=runner))  # type: ignore[arg-type]
    for number, prompt in enumerate(prompts):
        (expected,) = generate(alone, [prompt], params)
        assert ids_of(events[str(number), 0]) == expected.ids
        found = [event.logprob for event in events[str(number), 0]]
        assert found == pytest.approx(expected.logprobs, abs=1e-4)
    last = [events[str(number), 0][-1].time for number in range(5)]
    assert last[0] == max(last)  # the one of low priority made way for the others


def test_a_prompt_that_never_fits_is_refused(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(num_blocks=3, block_size=16))
    assert engine.max_length == 32
    with pytest.raises(UserError, match=r"32 tokens.*context of 32"):
        engine.check(Request(id="a", prompt_ids=text(32), params=GREEDY))
    (completion,) = generate(engine, [text(31)], GREEDY)
    assert len(completion.ids) == 1 and completion.finish_reason == "length"


def test_blocks_are_as_many_as_the_rows_need_or_the_memory_holds() -> None:
    cpu = torch.device("cpu")
    config = EngineConfig(max_rows=3, block_size=16, kv_memory=1.0)
    assert choose_num_blocks(config, 100, 1000, cpu) == 3 * 7 + 1
    assert choose_num_blocks(config, 100, 2**28, cpu) == 4
    assert choose_num_blocks(EngineConfig(num_blocks=9), 100, 2**40, cpu) == 9
    assert choose_num_blocks(EngineConfig(max_rows=1), 16, 1000, cpu) == 2
    with pytest.raises(UserError, match=r"1 GiB have no room.*raise engine.kv_memory"):
        choose_num_blocks(config, 100, 2**30, cpu)


def test_a_deadline_ends_what_runs_and_what_waits(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=1))
    params = SamplingParams(temperature=0, max_tokens=90)
    now = time.perf_counter()
    engine.add(Request(id="runs", prompt_ids=(1,), params=params, deadline=now + 0.1))
    engine.add(Request(id="waits", prompt_ids=(1,), params=params, deadline=now + 0.1, n=2))
    engine.add(Request(id="in time", prompt_ids=(1,), params=GREEDY, deadline=now + 600))
    engine.step()
    time.sleep(0.15)
    ended = engine.step()
    problems = {(e.request_id, e.index): (e.finish_reason, e.error) for e in ended[:3]}
    assert problems == dict.fromkeys(
        [("runs", 0), ("waits", 0), ("waits", 1)], ("abort", "the deadline has passed")
    )
    check_books(engine)
    # One that ended early leaves a deadline behind, which is no other request's of this id.
    engine.abort("in time")
    engine.add(Request(id="in time", prompt_ids=(1,), params=GREEDY))
    assert len(run(engine)["in time", 0]) == 12


@pytest.mark.parametrize("max_rows", [1, 2, 4, 9])
@pytest.mark.parametrize("length", [15, 16, 21])
def test_continuations_share_the_prompt_and_equal_single_ones(
    model: Decoder, max_rows: int, length: int
) -> None:
    params = SamplingParams(temperature=1.0, seed=5, max_tokens=9)
    engine = Engine(model, EngineConfig(max_rows=max_rows))
    engine.add(Request(id="other", prompt_ids=(9, 8), params=GREEDY))
    engine.add(Request(id="a", prompt_ids=text(length), params=params, n=5))
    events = run(engine)
    assert len({ids_of(events["a", index]) for index in range(5)}) > 2
    for index in range(5):
        own = SamplingParams(temperature=1.0, seed=5 + index, max_tokens=9)
        (alone,) = generate(Engine(model), [text(length)], own)
        assert ids_of(events["a", index]) == alone.ids
        assert events["a", index][-1].finish_reason == "length"
    if max_rows == 9:
        assert engine.num_prompt_tokens == length + 2
    assert engine.finished["length"] == 6 and engine.kv_blocks.active == 0


def test_continuations_that_end_at_once(decoder: Decoder) -> None:
    engine = Engine(decoder)
    params = SamplingParams(seed=1, max_tokens=1)
    engine.add(Request(id="a", prompt_ids=text(20), params=params, n=3))
    events = run(engine)
    assert {key: len(each) for key, each in events.items()} == {("a", n): 1 for n in range(3)}


def test_aborting_ends_all_continuations(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=3))
    params = SamplingParams(seed=1, max_tokens=50)
    for steps in range(4):
        engine.add(Request(id="a", prompt_ids=text(20), params=params, n=5))
        for _ in range(steps):
            engine.step()
            check_books(engine)
        assert engine.abort("a")
        check_books(engine)
        assert not engine.has_work() and engine.kv_blocks.active == 0


def test_a_failing_prompt_ends_all_continuations(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(decoder)
    engine.add(Request(id="a", prompt_ids=text(20), params=GREEDY, n=3))
    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "run", lambda batch: 1 / 0)
        events = engine.step()
    assert [(e.index, e.finish_reason) for e in events] == [(n, "error") for n in range(3)]
    assert not engine.has_work()


def test_random_traffic_keeps_exact_books(decoder: Decoder) -> None:
    """Continuations, aborts and too few blocks at once; afterwards nothing is held."""
    rng = random.Random(3)
    engine = Engine(
        decoder, EngineConfig(max_rows=5, block_size=4, num_blocks=40, prefill_tokens=13)
    )
    shared, number, open_ids = text(17), 0, set[str]()
    for step in range(400):
        if step < 300 and rng.random() < 0.5:
            prompt = shared[: rng.randint(1, 17)] + text(rng.randint(1, 30), number % 7)
            params = SamplingParams(seed=number, max_tokens=rng.randint(1, 30))
            request = Request(
                id=str(number), prompt_ids=prompt, params=params,
                n=rng.choice([1, 1, 2, 4]), priority=rng.randint(-1, 1), salt=rng.choice("ab"),
            )  # fmt: skip
            engine.add(request)
            open_ids.add(request.id)
            number += 1
        if open_ids and rng.random() < 0.2:
            engine.abort(rng.choice(sorted(open_ids)))
        engine.step()
        check_books(engine)
    assert engine.num_preemptions > 3 and engine.num_cached_tokens > 100
    run(engine)
    assert engine.kv_blocks.active == 0 and not engine.num_waiting_tokens
