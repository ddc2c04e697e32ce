"""Long conversations lose their oldest turns whole, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.chat.context import make_prompt, split_turns
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.tokenizer import Tokenizer, render

SYSTEM = Message(role="system", content="be kind")
CALL = ToolCall(id="call_1", name="calculator", arguments={"expression": "1 + 1"})
TALK = [
    Message(role="user", content="first question"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content="2", tool_call_id="call_1"),
    Message(role="assistant", content="two"),
    Message(role="user", content="second question"),
    Message(role="assistant", content="an answer"),
    Message(role="user", content="third"),
]


def length(tokenizer: Tokenizer, messages: list[Message]) -> int:
    return len(render(tokenizer, messages, add_generation_prompt=True).ids)


def test_turns_begin_with_the_user() -> None:
    system, turns = split_turns([SYSTEM, SYSTEM, *TALK])
    assert system == [SYSTEM, SYSTEM]
    assert [len(turn) for turn in turns] == [4, 2, 1]
    assert split_turns([SYSTEM]) == ([SYSTEM], [])
    assert split_turns([TALK[1], *TALK])[1][0] == [TALK[1]]


@pytest.mark.parametrize(("dropped", "rest"), [(0, TALK), (1, TALK[4:]), (2, TALK[6:])])
def test_the_oldest_turns_go_whole(tokenizer: Tokenizer, dropped: int, rest: list[Message]) -> None:
    kept = [SYSTEM, *rest]
    exact = length(tokenizer, kept)
    prompt = make_prompt(tokenizer, [SYSTEM, *TALK], max_length=exact + 9, reserve=9)
    assert prompt.dropped_turns == dropped
    assert list(prompt.ids) == render(tokenizer, kept, add_generation_prompt=True).ids


def test_the_last_turn_may_use_the_reserve(tokenizer: Tokenizer) -> None:
    exact = length(tokenizer, [SYSTEM, TALK[-1]])
    prompt = make_prompt(tokenizer, [SYSTEM, *TALK], max_length=exact + 1, reserve=50)
    assert len(prompt.ids) == exact and prompt.dropped_turns == 2
    with pytest.raises(UserError, match=f"take {exact} tokens, but the context holds {exact};"):
        make_prompt(tokenizer, [SYSTEM, *TALK], max_length=exact, reserve=1)


def test_an_empty_conversation_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="empty"):
        make_prompt(tokenizer, [], max_length=100, reserve=1)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 100), st.integers(0, 6))
def test_what_comes_back_fits_and_ends_the_same(
    tokenizer: Tokenizer, max_length: int, reserve: int, start: int
) -> None:
    messages = [SYSTEM, *TALK[start:]]
    try:
        prompt = make_prompt(tokenizer, messages, max_length=max_length, reserve=reserve)
    except UserError:
        assert length(tokenizer, [SYSTEM, *split_turns(messages)[1][-1]]) >= max_length
        return
    assert len(prompt.ids) < max_length
    last = render(tokenizer, [messages[-1]], add_generation_prompt=True).ids[1:]
    assert list(prompt.ids[-len(last) :]) == last
