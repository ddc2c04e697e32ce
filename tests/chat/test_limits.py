"""What bounds a reply: tokens, rounds, context, a reader that leaves, an engine that refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from nanohydra.chat import (
    ChatEvent,
    ChatModel,
    ChatParams,
    Done,
    EngineStopped,
    QueueFull,
)
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tools import Tool

GREEDY = ChatParams(temperature=0)
HELLO = [Message(role="user", content="hello")]
SUM = '<|call|>calculator {"expression": "37 * 24"}'

Make = Callable[..., ChatModel]
Talk = Callable[..., tuple[str, Done, list[ChatEvent]]]
Script = Callable[[str], str]


def test_tool_rounds_are_limited(chat: Make, talk: Talk) -> None:
    model = chat(f"again {SUM}<|end|>")
    text, done, events = talk(model, HELLO, ChatParams(temperature=0, max_rounds=3))
    assert len([e for e in events if e.kind == "tool_result"]) == 3
    assert text == "again " * 4
    assert done.finish_reason == "length" and "3 tool rounds" in done.note
    assert done.messages[-1] == Message(role="assistant", content="again ")
    answered = {m.tool_call_id for m in done.messages if m.role == "tool"}
    assert answered == {call.id for m in done.messages for call in m.tool_calls}


def test_max_tokens_counts_the_whole_reply(chat: Make, talk: Talk, calculating: Script) -> None:
    model = chat(calculating)
    _, whole, _ = talk(model, HELLO, GREEDY)
    total = whole.usage.completion_tokens
    text, done, _ = talk(model, HELLO, ChatParams(temperature=0, max_tokens=total))
    assert done.finish_reason == "stop"
    text, done, _ = talk(model, HELLO, ChatParams(temperature=0, max_tokens=total - 2))
    assert done.finish_reason == "length" and done.usage.completion_tokens == total - 2
    first = len(model.tokenizer.encode("Let me see."))
    text, done, events = talk(model, HELLO, ChatParams(temperature=0, max_tokens=first + 5))
    assert text == "Let me see." and done.finish_reason == "length"
    assert not any(e.kind == "tool_call" for e in events)  # a call that was cut is not run
    assert done.messages == (Message(role="assistant", content="Let me see."),)


def test_a_long_conversation_drops_its_oldest_turns(chat: Make, talk: Talk) -> None:
    model = chat("yes<|end|>", max_seq_len=120)
    messages = [Message(role="system", content="be kind")]
    for number in range(20):
        messages += [
            Message(role="user", content=f"question {number}"),
            Message(role="assistant", content="answer"),
        ]
    messages.append(Message(role="user", content="the last one"))
    text, done, _ = talk(model, messages, GREEDY)
    assert text == "yes" and 10 < done.dropped_turns < 20
    (prompt,) = model.loaded.model.prompts  # type: ignore[attr-defined]
    assert prompt.startswith("<|bos|><|system|>be kind<|end|><|user|>question")
    assert prompt.endswith("<|user|>the last one<|end|><|assistant|>")
    with pytest.raises(UserError, match="context holds 120"):
        model.stream([Message(role="user", content="long " * 200)], GREEDY)
    with pytest.raises(UserError, match="empty"):
        model.stream([], GREEDY)


def test_a_tool_result_that_fills_the_context(chat: Make, talk: Talk) -> None:
    def flood() -> str:
        """Answer at length."""
        return "water " * 300

    model = chat("<|call|>flood {}<|end|>", tools={"flood": Tool.from_function(flood)})
    _, done, _ = talk(model, HELLO, GREEDY)
    assert done.finish_reason == "length" and done.note == "the context is full"
    assert [message.role for message in done.messages] == ["assistant", "tool"]


def test_closing_the_stream_aborts(chat: Make) -> None:
    model = chat("la " * 100 + "<|end|>")

    async def main() -> None:
        for close_early in (True, False):
            stream = model.stream(HELLO, GREEDY)
            if not close_early:
                assert (await anext(stream)).kind == "text"
            await stream.aclose()
            del stream
            deadline = time.monotonic() + 10
            while model.engine.engine.has_work() or model.engine.num_open:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert model.engine.engine.finished["length"] == 0


def test_cancelling_while_a_tool_runs(chat: Make) -> None:
    def slow() -> str:
        """Take long."""
        time.sleep(0.2)
        return "late"

    model = chat("<|call|>slow {}<|end|>", tools={"slow": Tool.from_function(slow)})

    async def main() -> None:
        events: list[ChatEvent] = []

        async def read() -> None:
            async for event in model.stream(HELLO, GREEDY):
                events.append(event)

        task = asyncio.create_task(read())
        while not events:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [event.kind for event in events] == ["tool_call"]

    asyncio.run(main())
    assert model.engine.num_open == 0 and not model.engine.engine.has_work()


def test_a_slow_tool_does_not_stall_the_event_loop_or_others(chat: Make) -> None:
    def slow() -> str:
        """Take long."""
        time.sleep(0.3)
        return "late"

    def script(prompt: str) -> str:
        if "hello" in prompt:
            return "quick<|end|>"
        return "done<|end|>" if "<|tool|>" in prompt else "<|call|>slow {}<|end|>"

    tools = {"slow": Tool.from_function(slow, timeout_s=5)}
    model = chat(script, tools=tools)

    async def main() -> None:
        order: list[str] = []

        async def one(said: str) -> None:
            done = await model.answer([Message(role="user", content=said)], GREEDY)
            order.append(done.messages[-1].content)

        await asyncio.gather(one("wait"), one("hello"), one("hello"))
        assert order == ["quick", "quick", "done"]

    asyncio.run(main())


def test_an_engine_error_ends_the_reply_with_its_reason(chat: Make, talk: Talk) -> None:
    model = chat("hi<|end|>")
    model.loaded.model.hidden = lambda *_, **__: 1 / 0  # type: ignore[method-assign]
    text, done, _ = talk(model, HELLO, GREEDY)
    assert text == "" and done.finish_reason == "error"
    assert "ZeroDivisionError" in done.note


def test_a_full_engine_refuses_new_replies_but_not_a_second_round(
    chat: Make, calculating: Script
) -> None:
    model = chat(calculating)
    model.engine.limit = 1

    async def main() -> None:
        stream = model.stream(HELLO, GREEDY)
        with pytest.raises(QueueFull):
            model.stream(HELLO, GREEDY)
        events = []
        async for event in stream:
            events.append(event)
            if event.kind == "tool_call":
                other = model.stream(HELLO, GREEDY)  # takes the only place meanwhile
        assert events[-1].finish_reason == "stop"  # type: ignore[union-attr]
        await other.aclose()

    asyncio.run(main())


def test_shutting_down_between_rounds(chat: Make, calculating: Script) -> None:
    model = chat(calculating)

    async def main() -> None:
        events = []
        async for event in model.stream(HELLO, GREEDY):
            events.append(event)
            if event.kind == "tool_call":
                assert await asyncio.to_thread(model.engine.drain, 5)
        done = events[-1]
        assert isinstance(done, Done)
        assert done.finish_reason == "abort" and "shutting down" in done.note
        assert [message.role for message in done.messages] == ["assistant", "tool"]
        with pytest.raises(EngineStopped):
            model.stream(HELLO, GREEDY)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_rounds": -1}, "max_rounds"),
        ({"stop": ("a", "")}, "stop string is empty"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 2.0}, "top_p"),
    ],
)
def test_params_out_of_range(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        ChatParams(**params)
