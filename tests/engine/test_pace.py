"""Tokens are handed over together where steps are fast; the first and the last never wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nanohydra.engine import Engine, EngineConfig, EngineThread, Event, Request, SamplingParams
from nanohydra.engine import thread as module
from nanohydra.model import Decoder, ModelConfig

SHAPE: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1,
    "max_seq_len": 64,
}  # fmt: skip


async def batches(pace: float, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The numbers of the tokens as they were handed over at this pace."""
    monkeypatch.setattr(module, "PACE_SECONDS", pace)
    found: list[list[int]] = []
    pass_on = EngineThread._pass_on

    def watch(self: EngineThread, events: list[Event]) -> None:
        mine = [event for event in events if event.request_id == "a"]
        found.append([event.token_id for event in mine if event.token_id is not None])
        pass_on(self, events)

    monkeypatch.setattr(EngineThread, "_pass_on", watch)
    engine = Engine(Decoder(ModelConfig(**SHAPE)), EngineConfig(max_rows=2))
    with EngineThread(engine) as thread:
        params = SamplingParams(temperature=0.0, max_tokens=20)
        stream = thread.submit(Request(id="a", prompt_ids=(1, 2, 3), params=params))
        read = [event.token_id async for event in stream if event.token_id is not None]
        assert read == [id for batch in found for id in batch]
        # The same name again, after a reader who left: nothing of the first may reach the second.
        left = thread.submit(Request(id="b", prompt_ids=(1, 2, 3), params=params))
        await left.take()
        left.close()
        again = thread.submit(Request(id="b", prompt_ids=(1, 2, 3), params=params))
        assert [event.token_id async for event in again] == read
    monkeypatch.undo()
    return [batch for batch in found if batch]


def test_first_and_last_are_handed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asyncio.run(batches(1e9, monkeypatch))
    assert [len(batch) for batch in found] == [1, 19]


def test_nothing_is_lost_without_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = asyncio.run(batches(0.0, monkeypatch))
    held = asyncio.run(batches(1e9, monkeypatch))
    assert sum(map(len, plain)) == 20 and len(plain) > len(held)
