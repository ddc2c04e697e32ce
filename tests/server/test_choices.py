"""Several answers as one stream of events, and the messages of an answer while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest

from nanohydra.chat import ChatEvent, ChatParams, Done, TextDelta, ToolCalled, ToolReturned
from nanohydra.core.types import Message, ToolCall
from nanohydra.server.choices import Draft, answers, merge
from nanohydra.server.disconnect import ClientGone, unless_gone
from nanohydra.testing import FakeChat

CALL = ToolCall(id="call_1", name="calculator", arguments={"expression": "1 + 1"})


def ask(chat: FakeChat, text: str) -> AsyncGenerator[ChatEvent]:
    return chat.stream([Message(role="user", content=text)], ChatParams(temperature=0))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_answers_come_side_by_side_and_keep_their_numbers() -> None:
    async def work() -> None:
        chat = FakeChat(delay_s=0.001)
        items = [i async for i in merge([ask(chat, "say a b"), ask(chat, "say c d")])]
        for index, text in ((0, "a b"), (1, "c d")):
            mine = [event for number, event in items if number == index]
            assert "".join(e.text for e in mine if isinstance(e, TextDelta)) == text
            assert isinstance(mine[-1], Done)
        assert {number for number, _ in items[:2]} == {0, 1}
        assert chat.engine.finished == 2

    run(work())


def test_a_failure_ends_the_others() -> None:
    async def broken() -> AsyncGenerator[ChatEvent]:
        await asyncio.sleep(0.01)
        raise RuntimeError("broken")
        yield

    async def work() -> None:
        chat = FakeChat(delay_s=0.01)
        with pytest.raises(RuntimeError, match="broken"):
            await answers(merge([ask(chat, "count to 1000"), broken()]))
        assert (chat.engine.running, chat.engine.aborted) == (0, 1)

    run(work())


def test_a_cancelled_reader_always_ends_the_answer() -> None:
    """A cancellation that arrives together with an event must not be lost."""

    async def work() -> None:
        chat = FakeChat(max_requests=1000)
        for steps in range(300):
            reader = asyncio.ensure_future(answers(merge([ask(chat, "count to 3000")])))
            for _ in range(steps % 30 + 1):
                await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(5):
                    await reader
            assert chat.engine.running == 0

    run(work())


def test_work_is_cancelled_and_awaited_when_the_client_leaves() -> None:
    async def work() -> None:
        gone, cleaned = asyncio.Event(), []

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def long_work() -> None:
            try:
                gone.set()
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                cleaned.append(True)

        with pytest.raises(ClientGone):
            await unless_gone(receive, long_work())
        assert cleaned == [True]

        async def quick() -> int:
            return 5

        gone.clear()
        assert await unless_gone(receive, quick()) == 5

    run(work())


def test_a_draft_follows_an_answer() -> None:
    draft = Draft()
    assert draft.whole() == []
    draft.take(TextDelta(text="Let me "))
    draft.take(TextDelta(text="see."))
    draft.take(ToolCalled(call=CALL))
    said = Message(role="assistant", content="Let me see.")
    assert draft.whole() == [said]  # no call without its result
    draft.take(ToolReturned(call=CALL, result="2"))
    draft.take(TextDelta(text="It is 2."))
    assert draft.whole() == [
        Message(role="assistant", content="Let me see.", tool_calls=(CALL,)),
        Message(role="tool", content="2", tool_call_id="call_1"),
        Message(role="assistant", content="It is 2."),
    ]


def test_a_draft_that_only_called_is_empty() -> None:
    draft = Draft()
    draft.take(ToolCalled(call=CALL))
    assert draft.whole() == []
