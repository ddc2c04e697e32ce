"""Work that callers hand to the engine thread: done between steps, in order, never lost."""

from __future__ import annotations

import threading

import pytest

from nanohydra.engine import Engine, EngineStopped, EngineThread
from nanohydra.model import Decoder


def test_work_is_done_in_the_engine_thread_in_order(decoder: Decoder) -> None:
    with EngineThread(Engine(decoder)) as thread:
        names: list[str] = []
        futures = [thread.call(lambda engine, n=n: names.append(n)) for n in "abc"]
        assert thread.call(lambda engine: threading.current_thread().name).result(10) == "engine"
        assert names == ["a", "b", "c"] and all(future.done() for future in futures)
        assert thread.call(lambda engine: engine).result(10) is thread.engine


def test_a_failure_is_the_callers_alone(decoder: Decoder) -> None:
    with EngineThread(Engine(decoder)) as thread:
        with pytest.raises(ZeroDivisionError):
            thread.call(lambda engine: 1 // 0).result(10)
        assert thread.alive and thread.call(lambda engine: 7).result(10) == 7


def test_a_call_that_was_given_up_is_not_done(decoder: Decoder) -> None:
    with EngineThread(Engine(decoder)) as thread:
        gate = threading.Event()
        thread.call(lambda engine: gate.wait(10))
        done: list[int] = []
        given_up = thread.call(lambda engine: done.append(1))
        assert given_up.cancel()
        gate.set()
        thread.call(lambda engine: None).result(10)
        assert done == []


def test_a_closed_engine_takes_no_work(decoder: Decoder) -> None:
    thread = EngineThread(Engine(decoder))
    thread.close()
    with pytest.raises(EngineStopped):
        thread.call(lambda engine: None)
