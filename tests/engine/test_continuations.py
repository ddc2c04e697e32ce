"""Streams of several continuations, and a queue that is bounded by what is to be read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from nanohydra.core.errors import UserError
from nanohydra.engine import (
    Engine,
    EngineConfig,
    EngineThread,
    QueueFull,
    Request,
    SamplingParams,
    generate,
)
from nanohydra.model import Decoder

PROMPT = tuple(range(20))


@pytest.fixture
def thread(decoder: Decoder) -> Iterator[EngineThread]:
    engine = Engine(decoder, EngineConfig(max_rows=2))
    with EngineThread(engine, max_waiting=4, max_waiting_tokens=50) as thread:
        yield thread


def request(id: str, n: int = 1, max_tokens: int = 12) -> Request:
    params = SamplingParams(seed=7, max_tokens=max_tokens)
    return Request(id=id, prompt_ids=PROMPT, params=params, n=n)


def test_a_stream_ends_with_its_last_continuation(decoder: Decoder, thread: EngineThread) -> None:
    async def read() -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        async for event in thread.submit(request("a", n=5)):
            assert event.token_id is not None
            found.setdefault(event.index, []).append(event.token_id)
        return found

    found = asyncio.run(read())
    params = [SamplingParams(seed=7 + index, max_tokens=12) for index in range(5)]
    expected = generate(Engine(decoder), [PROMPT] * 5, params)
    assert found == {index: list(expected[index].ids) for index in range(5)}
    assert thread.num_open == 0


def test_an_abort_reaches_every_continuation_that_is_open(thread: EngineThread) -> None:
    async def read() -> list[tuple[int, str | None]]:
        ends = []
        stream = thread.submit(request("a", n=5, max_tokens=70))
        async for event in stream:
            if len(ends) == 0 and event.token_id is not None:
                thread.abort("a")
            if event.finish_reason is not None:
                ends.append((event.index, event.finish_reason))
        return sorted(ends)

    assert asyncio.run(read()) == [(index, "abort") for index in range(5)]
    assert thread.engine.kv_blocks.active == 0


def test_each_continuation_counts(thread: EngineThread) -> None:
    async def fill() -> None:
        streams = [thread.submit(request("a", n=4)), thread.submit(request("b", n=2))]
        with pytest.raises(QueueFull, match="6 requests are under way"):
            thread.submit(request("c"))
        with pytest.raises(UserError, match="n is 7, but at most 6"):
            thread.submit(request("d", n=7))
        for stream in streams:
            stream.close()
        assert thread.num_open == 0

    asyncio.run(fill())


def test_what_waits_to_be_read_is_bounded(thread: EngineThread) -> None:
    """Two prompts of 20 may wait; a third would make it more than 50 tokens."""
    gate, step = threading.Event(), thread.engine.step

    def held() -> object:
        gate.wait()
        return step()

    async def fill() -> None:
        streams = [thread.submit(request("a")), thread.submit(request("b"))]
        with pytest.raises(QueueFull, match="40 tokens wait to be read"):
            thread.submit(request("c"))
        streams.append(thread.submit(request("c"), goes_on=True))  # was let in before
        gate.set()
        for stream in streams:
            assert len([event async for event in stream]) == 12

    thread.engine.step = held  # type: ignore[method-assign, assignment]
    asyncio.run(fill())


def test_what_the_engine_does_not_take_ends_alone(
    thread: EngineThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def read(id: str, n: int) -> list[tuple[str | None, str | None]]:
        return [(e.finish_reason, e.error) async for e in thread.submit(request(id, n))]

    with monkeypatch.context() as patch:
        patch.setattr(thread.engine.sampler, "start", lambda *_: 1 / 0)
        ends = asyncio.run(read("a", 3))
    assert ends == [("error", "ZeroDivisionError: division by zero")] * 3
    assert len(asyncio.run(read("b", 1))) == 12 and "was not taken in" in caplog.text


def test_a_deadline_ends_a_stream(thread: EngineThread) -> None:
    async def read() -> list[tuple[str | None, str | None]]:
        params = SamplingParams(seed=1, max_tokens=70)
        late = Request(
            id="a", prompt_ids=PROMPT, params=params, n=2, deadline=time.perf_counter() - 1
        )
        return [(e.finish_reason, e.error) async for e in thread.submit(late)]

    assert asyncio.run(read()) == [("abort", "the deadline has passed")] * 2


def test_stats_tell_of_blocks_and_what_was_found(thread: EngineThread) -> None:
    async def read(id: str) -> None:
        async for _ in thread.submit(request(id)):
            pass

    asyncio.run(read("a"))
    asyncio.run(read("b"))
    stats = thread.stats()
    assert stats.blocks.active == 0 and stats.blocks.cached > 0 and stats.kv_usage == 0
    assert stats.blocks.free + stats.blocks.cached == stats.blocks.total
    assert (stats.prefix_queries, stats.cached_tokens) == (40, 16)
    assert stats.block_size == 16 and stats.runner in ("torch", "native")
    assert stats.waiting_tokens == stats.preemptions == 0
