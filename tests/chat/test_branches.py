"""Several continuations on one stream: each reader gets its own, and the last one closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nanohydra.chat import ChatModel, ChatParams, Done
from nanohydra.chat.branches import Branch, branches
from nanohydra.core.types import Message
from nanohydra.engine import EngineStopped, Event, EventStream

HELLO = (Message(role="user", content="hello"),)


def event(index: int, token: int, *, ends: bool = False) -> Event:
    reason = "stop" if ends else None
    return Event(request_id="r", token_id=token, index=index, finish_reason=reason)


def opened(released: list[str], count: int = 2) -> tuple[EventStream, list[Branch]]:
    stream = EventStream("r", asyncio.get_running_loop(), released.append, count)
    found = branches(stream, count)
    assert all(isinstance(each, Branch) for each in found)
    return stream, [each for each in found if isinstance(each, Branch)]


def tokens(events: list[Event]) -> list[int | None]:
    return [each.token_id for each in events]


def test_each_reader_gets_its_own_events() -> None:
    async def main() -> None:
        released: list[str] = []
        stream, (first, second) = opened(released)
        both = asyncio.gather(first.take(), second.take())
        await asyncio.sleep(0)
        stream.deliver([event(0, 1), event(0, 2), event(1, 7)])
        assert list(map(tokens, await both)) == [[1, 2], [7]]
        waiting = asyncio.ensure_future(second.take())
        stream.deliver([event(0, 3, ends=True)])
        assert tokens(await first.take()) == [3]
        assert not waiting.done() and released == []
        stream.deliver([event(1, 8, ends=True)])
        assert tokens(await waiting) == [8]
        assert released == ["r"]  # read to the end

    asyncio.run(main())


def test_the_request_ends_with_its_last_reader() -> None:
    async def main() -> None:
        released: list[str] = []
        stream, readers = opened(released)
        readers[0].close()
        stream.deliver([event(0, 1), event(1, 2)])
        assert tokens(await readers[1].take()) == [2] and released == []
        readers.pop()  # dropped instead of closed
        assert released == ["r"]

    asyncio.run(main())


def test_readers_hear_when_the_request_was_given_up() -> None:
    async def main() -> None:
        stream, (first, second) = opened([])
        both = asyncio.gather(first.take(), second.take(), return_exceptions=True)
        await asyncio.sleep(0)
        stream.close()
        assert [type(each) for each in await both] == [EngineStopped] * 2

    asyncio.run(main())


def test_one_reader_needs_nothing_between() -> None:
    async def main() -> None:
        stream = EventStream("r", asyncio.get_running_loop(), lambda _: None)
        assert branches(stream, 1) == [stream]

    asyncio.run(main())


@pytest.mark.parametrize("stop", [(), ("lo",)])
def test_answers_side_by_side_equal_answers_alone(
    chat: Callable[..., ChatModel], stop: tuple[str, ...]
) -> None:
    model = chat("hello there, hello.<|end|>")

    async def main() -> list[Done]:
        streams = await model.begin(HELLO, ChatParams(temperature=0, stop=stop), n=3)

        async def end(stream: object) -> Done:
            *_, last = [each async for each in stream]  # type: ignore[attr-defined]
            return last

        return list(await asyncio.gather(*map(end, streams)))

    found = asyncio.run(main())
    said = "hello there, hello.".partition("lo")[0] if stop else "hello there, hello."
    assert [done.messages[0].content for done in found] == [said] * 3
    assert {done.usage.prompt_tokens for done in found} == {model.count_tokens(HELLO)}
    assert model.engine.num_open == 0
