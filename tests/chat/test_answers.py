"""Batched answers: the same messages as the streaming chat gives, in order, for many at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from nanohydra.chat import ChatModel, ChatParams, answer_all
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message

Scripted = Callable[..., Loaded]


def question(number: int) -> list[Message]:
    """Questions of different lengths."""
    return [Message(role="user", content=f"{'well, ' * (number % 4)}{number} * {number}?")]


def script(prompt: str) -> str:
    """Even numbers need the calculator, odd ones are never told."""
    if result := re.search(r"<\|tool\|>(.*)<\|end\|><\|assistant\|>$", prompt):
        return f"It is {result[1]}.<|end|>"
    match = re.search(r"(\d+) \* \1\?", prompt)
    assert match is not None
    number = int(match[1])
    if number % 2:
        return "I don't know that.<|end|>"
    return f'<|call|>calculator {{"expression": "{number} * {number}"}}<|end|>'


def test_many_conversations(scripted: Scripted) -> None:
    loaded = scripted(script)
    answers = answer_all(loaded, [question(n) for n in range(50)], max_tokens=60, batch=7)
    for number, messages in enumerate(answers):
        if number % 2:
            assert [m.content for m in messages] == ["I don't know that."]
        else:
            assert [m.role for m in messages] == ["assistant", "tool", "assistant"]
            assert messages[-1].content == f"It is {number * number}."


def test_equal_to_the_streaming_chat(scripted: Scripted, chat: Callable[..., ChatModel]) -> None:
    asked = [question(n) for n in range(6)]
    answers = answer_all(scripted(script), asked, max_tokens=60)
    model = chat(script)

    async def one(messages: list[Message]) -> list[Message]:
        params = ChatParams(temperature=0, max_tokens=60)
        return list((await model.answer(messages, params)).messages)

    async def all_of_them() -> list[list[Message]]:
        return [await one(messages) for messages in asked]

    assert answers == asyncio.run(all_of_them())


def test_limits(scripted: Scripted) -> None:
    assert answer_all(scripted(script), []) == []
    ((cut,),) = answer_all(scripted("word " * 100 + "<|end|>"), [question(1)], max_tokens=7)
    assert len(cut.content) < 30
    endless = scripted('<|call|>calculator {"expression": "1"}<|end|>')
    (messages,) = answer_all(endless, [question(1)], max_tokens=300)
    assert sum(m.role == "tool" for m in messages) == 4
    with pytest.raises(UserError, match="context holds 400"):
        answer_all(scripted(script), [[Message(role="user", content="long " * 400)]])


def test_without_tools(scripted: Scripted) -> None:
    (messages,) = answer_all(scripted(script), [question(2)], tools={}, max_tokens=100)
    assert messages[1].content.startswith("error: no tool named 'calculator'")


def test_a_failing_model_is_not_a_wrong_answer(scripted: Scripted) -> None:
    loaded = scripted(script)
    loaded.model.hidden = lambda *_, **__: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        answer_all(loaded, [question(1)])
