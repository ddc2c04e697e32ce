"""The engine thread: streams, cancellation, full queues, draining, slow readers, crashes."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nanohydra.core.errors import UserError
from nanohydra.engine import (
    Engine,
    EngineConfig,
    EngineStopped,
    EngineThread,
    Event,
    QueueFull,
    Request,
    SamplingParams,
    generate,
)
from nanohydra.model import Decoder

PROMPT = (1, 2, 3)


def request(id: str, max_tokens: int = 12) -> Request:
    params = SamplingParams(temperature=0, max_tokens=max_tokens)
    return Request(id=id, prompt_ids=PROMPT, params=params)


@pytest.fixture
def thread(decoder: Decoder) -> Iterator[EngineThread]:
    with EngineThread(Engine(decoder, EngineConfig(max_rows=2)), max_waiting=2) as thread:
        yield thread
    assert not thread.alive


class Brake:
    """Holds an engine before each step until the test lets it go."""

    def __init__(self, thread: EngineThread) -> None:
        self.step = thread.engine.step
        self.allowed = threading.Semaphore(0)
        self.num_steps = 0
        thread.engine.step = self  # type: ignore[method-assign, assignment]

    def __call__(self) -> list[Event]:
        self.allowed.acquire()
        self.num_steps += 1
        return self.step()

    def let(self, steps: int) -> None:
        self.allowed.release(steps)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.001)


def test_streams_equal_the_engine_alone(decoder: Decoder, thread: EngineThread) -> None:
    (expected,) = generate(Engine(decoder), [PROMPT], request("x").params)

    async def read(id: str) -> list[Event]:
        return [event async for event in thread.submit(request(id))]

    async def main() -> None:
        for events in await asyncio.gather(*map(read, "abcd")):
            assert tuple(event.token_id for event in events) == expected.ids
            assert [event.finish_reason for event in events] == [None] * 11 + ["length"]

    asyncio.run(main())
    stats = thread.stats()
    assert stats.finished["length"] == 4 and stats.generated_tokens == 48
    assert (stats.num_active, stats.num_waiting, thread.num_open) == (0, 0, 0)
    assert stats.state_bytes > 0 and stats.last_step_age < 60


def test_closing_the_stream_aborts_within_a_step(thread: EngineThread) -> None:
    async def main() -> None:
        brake = Brake(thread)
        stream = thread.submit(request("a", 90))
        brake.let(3)
        assert (await anext(stream)).token_id is not None
        await until(lambda: brake.num_steps == 3)
        await stream.aclose()
        await stream.aclose()
        brake.let(1)  # the step that the thread was already waiting in
        await until(lambda: thread.engine.finished["abort"] == 1)  # counted last of all
        assert brake.num_steps <= 4 and thread.engine.num_active == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert await stream.take() == []

    asyncio.run(main())
    assert thread.num_open == 0


def test_a_cancelled_or_forgotten_reader_aborts(thread: EngineThread) -> None:
    async def read() -> None:
        async for _ in thread.submit(request("a", 90)):
            pass

    async def main() -> None:
        brake = Brake(thread)
        brake.let(2)
        task = asyncio.create_task(read())
        await until(lambda: brake.num_steps == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        brake.let(1)
        await until(lambda: not thread.engine.has_work())
        brake.let(1000)
        thread.submit(request("b", 90))  # nobody keeps the stream
        gc.collect()
        await until(lambda: thread.num_open == 0 and not thread.engine.has_work())

    asyncio.run(main())
    assert thread.engine.finished["length"] == 0


def test_a_waiting_reader_wakes_when_another_task_closes(thread: EngineThread) -> None:
    async def main() -> None:
        brake = Brake(thread)
        stream = thread.submit(request("a"))
        reader = asyncio.create_task(stream.take())
        await asyncio.sleep(0.01)
        stream.close()
        assert await asyncio.wait_for(reader, 5) == []
        brake.let(1000)

    asyncio.run(main())


def test_abort_from_outside_reaches_the_reader(thread: EngineThread) -> None:
    async def main() -> None:
        brake = Brake(thread)
        stream = thread.submit(request("a", 90))
        brake.let(1)
        assert (await anext(stream)).finish_reason is None
        thread.abort("a")
        thread.abort("nobody")
        brake.let(1)
        events = [event async for event in stream]
        assert events[-1] == Event(request_id="a", finish_reason="abort")

    asyncio.run(main())


def test_a_full_queue_refuses_and_recovers(thread: EngineThread) -> None:
    async def main() -> None:
        brake = Brake(thread)
        streams = [thread.submit(request(id)) for id in "abcd"]
        with pytest.raises(QueueFull, match="4 requests"):
            thread.submit(request("e"))
        streams[3].close()
        last = thread.submit(request("e"))  # room at once, before the engine has noticed
        with pytest.raises(UserError, match="'a' is already under way"):
            thread.submit(request("a"))
        brake.let(1000)
        for stream in (*streams[:3], last):
            assert len([event async for event in stream]) == 12

    asyncio.run(main())


def test_slow_readers_lose_nothing_and_hold_nobody_up(thread: EngineThread) -> None:
    async def main() -> None:
        slow = thread.submit(request("slow", 80))
        await until(lambda: thread.engine.finished["length"] == 1)
        assert thread.engine.num_active == 0 and thread.num_open == 1
        assert len([event async for event in thread.submit(request("quick"))]) == 12
        events = await slow.take()
        assert len(events) == 80 and events[-1].finish_reason == "length"
        assert await slow.take() == [] and thread.num_open == 0

    asyncio.run(main())


def test_readers_that_never_read_fill_the_queue_and_no_more(thread: EngineThread) -> None:
    async def main() -> None:
        streams = [thread.submit(request(id)) for id in "abcd"]
        await until(lambda: thread.engine.finished["length"] == 4)
        with pytest.raises(QueueFull):
            thread.submit(request("e"))
        del streams[0]
        gc.collect()
        thread.submit(request("e")).close()

    asyncio.run(main())


def test_requests_that_cannot_run_are_refused_at_once(thread: EngineThread) -> None:
    async def main() -> None:
        with pytest.raises(UserError, match="empty"):
            thread.submit(Request(id="a", prompt_ids=(), params=SamplingParams()))

    asyncio.run(main())
    assert thread.num_open == 0


def test_an_event_loop_that_is_gone(thread: EngineThread) -> None:
    async def leave() -> object:
        return thread.submit(request("a", 90))

    stream = asyncio.run(leave())
    asyncio.run(until(lambda: not thread.engine.has_work() and thread.num_open == 0))
    assert stream is not None and thread.alive


def test_drain_finishes_what_runs_and_refuses_what_comes(thread: EngineThread) -> None:
    async def main() -> None:
        streams = [thread.submit(request(id)) for id in "abc"]
        assert await asyncio.to_thread(thread.drain, 30)
        with pytest.raises(EngineStopped, match="shutting down"):
            thread.submit(request("d"))
        for stream in streams:
            assert len(await stream.take()) == 12
        assert await asyncio.to_thread(thread.drain, 30)  # twice does no harm

    asyncio.run(main())


def test_drain_aborts_what_does_not_end_in_time(thread: EngineThread) -> None:
    async def main() -> None:
        brake = Brake(thread)
        brake.let(3)
        streams = [thread.submit(request(id, 90)) for id in "abc"]
        draining = asyncio.create_task(asyncio.to_thread(thread.drain, 0.05))
        await asyncio.sleep(0.1)
        brake.let(1)
        assert not await draining
        for stream in streams:
            assert [event async for event in stream][-1].finish_reason == "abort"

    asyncio.run(main())


def test_drain_of_an_idle_engine(thread: EngineThread) -> None:
    assert thread.drain(30)


def test_close_tells_the_readers(decoder: Decoder) -> None:
    async def main() -> None:
        thread = EngineThread(Engine(decoder, EngineConfig(max_rows=1)))
        brake = Brake(thread)
        streams = [thread.submit(request(id, 90)) for id in "ab"]
        brake.let(1000)
        await asyncio.to_thread(thread.close)
        thread.close()
        for stream in streams:
            events = await asyncio.wait_for(stream.take(), 5)
            assert events[-1].finish_reason in ("abort", "length")
        with pytest.raises(EngineStopped):
            thread.submit(request("c"))
        assert thread.last_step_age() == float("inf")
        assert not thread.engine.has_work()

    asyncio.run(main())


def test_a_crash_reaches_every_reader(thread: EngineThread) -> None:
    def crash() -> list[Event]:
        raise MemoryError("no memory")

    async def main() -> None:
        brake = Brake(thread)
        streams = [thread.submit(request(id)) for id in "abc"]
        brake.let(1)
        brake.step = crash
        brake.let(1)
        for stream in streams:
            last = (await asyncio.wait_for(stream.take(), 5))[-1]
            if last.finish_reason is None:
                last = (await asyncio.wait_for(stream.take(), 5))[-1]
            assert last.finish_reason == "error" and "MemoryError: no memory" in str(last.error)
        with pytest.raises(EngineStopped, match="MemoryError: no memory"):
            thread.submit(request("d"))
        assert not thread.alive and thread.last_step_age() == float("inf")
        assert not await asyncio.to_thread(thread.drain, 5)

    asyncio.run(main())


def test_health_shows_a_stuck_step(thread: EngineThread) -> None:
    async def main() -> None:
        assert thread.last_step_age() == 0
        brake = Brake(thread)
        stream = thread.submit(request("a", 2))
        await asyncio.sleep(0.15)
        assert thread.last_step_age() >= 0.1
        brake.let(10)
        assert len([event async for event in stream]) == 2
        await until(lambda: thread.last_step_age() == 0)

    asyncio.run(main())


def test_many_requests_from_several_event_loops(decoder: Decoder) -> None:
    (expected,) = generate(Engine(decoder), [PROMPT], request("x").params)
    wrong: list[object] = []

    async def read(thread: EngineThread, id: str) -> None:
        ids = tuple([event.token_id async for event in thread.submit(request(id))])
        if ids != expected.ids:
            wrong.append(ids)

    async def many(thread: EngineThread, name: str) -> None:
        await asyncio.gather(*(read(thread, f"{name}-{number}") for number in range(15)))

    with EngineThread(Engine(decoder), max_waiting=100) as thread:
        loops = [threading.Thread(target=asyncio.run, args=(many(thread, name),)) for name in "abc"]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join(60)
    assert not wrong
    assert thread.engine.finished["length"] == 45
