"""Frames of a stream: what is written once is what would be written each time, and the watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from nanohydra.chat import Done, TextDelta, Timings, Usage
from nanohydra.server import wire
from nanohydra.server.choices import merge
from nanohydra.server.completions import chunk_of
from nanohydra.server.disconnect import PING_FRAME, EventStream
from nanohydra.server.texts import Prompt, TextRequest, TextWire

TEXTS = ["", "plain", 'quo"te \\ {"content": ""}', "line\nbreak\r\t\0\x7f", "é 🙂 \u2028 </script>"]


@pytest.mark.parametrize("usage", [False, True])
def test_a_prepared_frame_is_the_frame(usage: bool) -> None:
    chat = wire.Wire('a model \\ "x"', usage=usage)
    body = TextRequest.model_validate(
        {"prompt": "p", "stream": True, "stream_options": {"include_usage": usage}}
    )
    texts = TextWire("m", body, [Prompt(ids=(1,)), Prompt(ids=(2,))])
    for text in TEXTS:
        for index in (0, 1, 0):
            delta = TextDelta(text=text)
            assert chat.text(index, text) == wire.frame(chunk_of(chat, index, delta))
            assert texts.text(index, delta) == wire.frame(texts.piece(index, delta))
    assert json.loads(chat.text(0, TEXTS[2])[6:])["choices"][0]["delta"]["content"] == TEXTS[2]


class Reader:
    """Takes what is sent, slowly if need be."""

    def __init__(self, *, takes: int = 10**9) -> None:
        self.sent: list[bytes] = []
        self.takes = takes
        self.ended = False

    async def send(self, message: Any) -> None:
        assert not self.ended
        if message["type"] == "http.response.body":
            self.sent.append(message["body"])
            self.ended = not message["more_body"]
        if len(self.sent) > self.takes:
            await asyncio.sleep(60)

    async def receive(self) -> Any:
        await asyncio.sleep(60)


async def words(count: int, pause: float, ended: list[bool]) -> AsyncGenerator[bytes]:
    try:
        for _ in range(count):
            yield b"x"
            await asyncio.sleep(pause)
    finally:
        ended.append(True)


def run(reader: Reader, stream: EventStream) -> dict[str, Any]:
    scope: dict[str, Any] = {"type": "http"}
    asyncio.run(asyncio.wait_for(stream(scope, reader.receive, reader.send), 20))
    return scope


def test_only_a_silence_is_broken() -> None:
    ended: list[bool] = []
    reader = Reader()
    run(reader, EventStream(words(2, 0.3, ended), 60, 0.05))
    pings = reader.sent.count(PING_FRAME)
    assert 4 <= pings <= 12 and reader.ended and ended == [True]
    assert [each for each in reader.sent if each != PING_FRAME] == [b"x", b"x", b""]
    reader = Reader()
    run(reader, EventStream(words(100, 0.001, ended), 60, 5.0))
    assert reader.sent == [*[b"x"] * 100, b""]


@pytest.mark.parametrize("takes", [0, 3, 5])
def test_a_stalled_reader_is_let_go_wherever_it_stalls(takes: int) -> None:
    """At the first frame, in the middle, and at the end of all of them."""
    ended: list[bool] = []
    scope = run(Reader(takes=takes), EventStream(words(5, 0.0, ended), 0.05, 30.0))
    assert ended == [True] and scope["state"]["log"]["client_gone"] is True


def test_a_slow_stream_is_no_stalled_reader() -> None:
    ended: list[bool] = []
    reader = Reader()
    scope = run(reader, EventStream(words(3, 0.15, ended), 0.05))
    assert reader.ended and "state" not in scope


def test_one_stream_is_closed_with_its_reader() -> None:
    closed: list[int] = []

    async def stream(name: int) -> AsyncGenerator[Any]:
        try:
            yield TextDelta(text="a")
            await asyncio.sleep(60)
        finally:
            closed.append(name)

    async def leave(count: int) -> list[Any]:
        items = merge([stream(name) for name in range(count)])
        found = [await anext(items) for _ in range(count)]
        await items.aclose()
        return found

    for count in (1, 3):
        closed.clear()
        found = asyncio.run(leave(count))
        assert sorted(index for index, _ in found) == sorted(closed) == list(range(count))


def test_the_end_of_one_stream_is_the_end() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=1, context_tokens=2, context_length=9)
    timings = Timings(ttft_s=0, total_s=0, tokens_per_s=0)
    done = Done(finish_reason="stop", usage=usage, timings=timings)

    async def stream() -> AsyncGenerator[Any]:
        yield TextDelta(text="a")
        yield done

    async def collect() -> list[Any]:
        return [item async for item in merge([stream()])]

    assert asyncio.run(collect()) == [(0, TextDelta(text="a")), (0, done)]
