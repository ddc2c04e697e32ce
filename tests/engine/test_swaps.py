"""Adapters that come and go while streams run: nothing fails, waits, mixes versions or leaks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator

import pytest

from nanohydra.adapters import AdapterWeights
from nanohydra.adapters.batch import ReadyAdapter
from nanohydra.core.errors import UserError
from nanohydra.engine import (
    Engine,
    EngineConfig,
    EngineThread,
    Event,
    Request,
    SamplingParams,
    generate,
)
from nanohydra.model import Decoder

PROMPT = tuple(range(8))
GREEDY = SamplingParams(temperature=0, max_tokens=8)
NUM_SWAPS = 200
Make = Callable[..., AdapterWeights]


@pytest.fixture(scope="module")
def decoder(make_decoder: Callable[..., Decoder]) -> Decoder:
    """Two hundred swaps wait for thousands of steps."""
    return make_decoder(num_layers=1, hidden_size=16, num_heads=2)


@pytest.fixture
def thread(decoder: Decoder) -> Iterator[EngineThread]:
    with EngineThread(Engine(decoder, EngineConfig(max_rows=4, max_adapters=3))) as thread:
        yield thread


def request(id: str, adapter: str | None) -> Request:
    return Request(id=id, prompt_ids=PROMPT, params=GREEDY, adapter=adapter)


def test_200_swaps_under_load(decoder: Decoder, thread: EngineThread, make_adapter: Make) -> None:
    """Every stream equals its version alone, from its first token to its last."""
    versions = [make_adapter(decoder, seed) for seed in range(5)]
    alone = Engine(decoder, EngineConfig(max_rows=1, prefix_caching=False))
    expected: dict[str | None, tuple[int, ...]] = {None: generate(alone, [PROMPT], GREEDY)[0].ids}
    for weights in versions:
        name = alone.load(weights)
        expected[name] = generate(alone, [PROMPT], GREEDY, name)[0].ids
    assert len(set(expected.values())) == 6
    served: dict[str | None, int] = dict.fromkeys(expected, 0)
    most_bytes = 0

    async def main() -> None:
        current = await asyncio.to_thread(thread.load, versions[0])
        finished = False

        async def talk(number: int) -> None:
            count = 0
            while not finished:
                name = None if count % 4 == number else current
                count += 1
                stream = thread.submit(request(f"{number}-{count}", name))
                events = [event async for event in stream]
                assert tuple(event.token_id for event in events) == expected[name]
                assert events[-1].finish_reason == "length"
                served[name] += 1

        nonlocal most_bytes
        talks = [asyncio.create_task(talk(number)) for number in range(4)]
        for swap in range(1, NUM_SWAPS + 1):
            before = current
            current = await asyncio.to_thread(thread.load, versions[swap % 5])
            await asyncio.to_thread(thread.unload, before, None)
            most_bytes = max(most_bytes, thread.engine.adapters.num_bytes)
        finished = True
        await asyncio.gather(*talks)

    asyncio.run(main())
    assert all(served.values())
    assert thread.engine.adapters.num_loads == NUM_SWAPS + 1
    stats = thread.stats()
    assert stats.finished["error"] == stats.finished["abort"] == 0
    assert len(stats.adapters) == 1 and most_bytes <= 3 * stats.adapter_bytes
    gc.collect()
    assert sum(type(thing) is ReadyAdapter for thing in gc.get_objects()) <= 1 + 5


class Gate:
    """Holds an engine inside a step until it is opened."""

    def __init__(self, thread: EngineThread) -> None:
        self.step = thread.engine.step
        self.inside, self.open = threading.Event(), threading.Event()
        thread.engine.step = self  # type: ignore[method-assign, assignment]

    def __call__(self) -> list[Event]:
        self.inside.set()
        assert self.open.wait(10)
        return self.step()


def test_loading_waits_for_no_step(
    decoder: Decoder, thread: EngineThread, make_adapter: Make
) -> None:
    async def main() -> None:
        gate = Gate(thread)
        stream = thread.submit(request("a", None))
        await asyncio.to_thread(gate.inside.wait)
        ids = [thread.load(make_adapter(decoder, seed)) for seed in range(2)]
        assert thread.stats().adapters == tuple(ids)
        assert thread.unload(ids[0]) and thread.stats().adapters == (ids[1],)
        gate.open.set()
        assert len([event async for event in stream]) == 8

    asyncio.run(main())


def test_what_was_let_in_runs_whatever_is_unloaded_meanwhile(
    decoder: Decoder, thread: EngineThread, make_adapter: Make
) -> None:
    async def main() -> None:
        gate = Gate(thread)
        id = thread.load(make_adapter(decoder, 1))
        first = thread.submit(request("first", None))
        await asyncio.to_thread(gate.inside.wait)
        second = thread.submit(request("second", id))  # the engine has not seen it yet
        dropped = thread.submit(request("dropped", id))
        dropped.close()
        assert not thread.unload(id)
        with pytest.raises(UserError, match="not loaded"):
            thread.submit(request("late", id))
        assert thread.num_open == 2
        gate.open.set()
        for stream in (first, second):
            assert len([event async for event in stream]) == 8
        assert thread.engine.adapters.wait_until_gone(id, 10)

    asyncio.run(main())


def test_a_hold_keeps_an_adapter_until_it_is_dropped(
    decoder: Decoder, thread: EngineThread, make_adapter: Make
) -> None:
    id = thread.load(make_adapter(decoder, 1))
    first, second = thread.hold(id), thread.hold(id)
    assert not thread.unload(id, 0.01)
    first.close()
    first.close()
    assert not thread.unload(id, 0.01)
    del second
    assert thread.engine.adapters.wait_until_gone(id, 10)
    with pytest.raises(UserError, match="not loaded"):
        thread.hold(id)
    thread.hold(None).close()


def test_a_refused_request_pins_nothing(
    decoder: Decoder, thread: EngineThread, make_adapter: Make
) -> None:
    async def main() -> None:
        id = thread.load(make_adapter(decoder, 1))
        with pytest.raises(UserError, match="outside the vocabulary"):
            thread.submit(Request(id="a", prompt_ids=(999,), params=GREEDY, adapter=id))
        assert thread.unload(id, 10)

    asyncio.run(main())


def test_waiting_for_one_that_is_wanted_again_ends(
    decoder: Decoder, thread: EngineThread, make_adapter: Make
) -> None:
    weights = make_adapter(decoder, 1)
    id = thread.load(weights)
    hold = thread.hold(id)
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(thread.unload(id, None)))
    waiter.start()
    while thread.stats().adapters:
        pass
    thread.load(weights)
    waiter.join(10)
    assert answers == [False] and thread.stats().adapters == (id,)
    hold.close()
