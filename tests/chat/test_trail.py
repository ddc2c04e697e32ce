"""Tokens come with the text that they make: whole, in pieces, up to stop strings, not of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nanohydra.chat import ChatModel, ChatParams, Done, TextDelta
from nanohydra.core.types import Message

HELLO = (Message(role="user", content="hello"),)
Talk = Callable[..., tuple[str, Done, list[Any]]]
Make = Callable[..., ChatModel]


def params(**fields: Any) -> ChatParams:
    return ChatParams(temperature=0, top_logprobs=2, **fields)


@pytest.mark.parametrize(
    ("said", "stop", "shown"),
    [
        ("hello there", (), "hello there"),
        ("grüße 🙂 done", (), "grüße 🙂 done"),
        ("hello there, hello", ("re, h",), "hello the"),
        ("hello there, hello", (" there, he",), "hello"),
        ("hello STOX", ("STOP",), "hello STOX"),
        ("hello", ("hello",), ""),
    ],
)
def test_tokens_are_those_of_the_text(
    chat: Make, talk: Talk, said: str, stop: tuple[str, ...], shown: str
) -> None:
    model = chat(f"{said}<|end|>")
    text, done, events = talk(model, HELLO, params(stop=stop))
    assert text == shown
    pieces = [token for event in events for token in event.tokens]
    assert tuple(pieces) == done.tokens
    data = b"".join(token.data for token in done.tokens).decode("utf-8", "replace")
    # A token of which only the start is shown counts, and no later one does.
    assert data.startswith(shown)
    if done.tokens:
        last = done.tokens[-1].data
        assert len(data.encode()) - len(shown.encode()) < max(1, len(last))
    for token in done.tokens:
        assert token.logprob == pytest.approx(0, abs=1e-3)  # the script leaves no doubt
        assert len(token.top) == 2 and token.top[0][0] == token.data


def test_a_piece_of_text_has_its_tokens(chat: Make, talk: Talk) -> None:
    _, _, events = talk(chat("hello there, 🙂!<|end|>"), HELLO, params())
    seen, text = b"", ""
    for event in events:
        assert isinstance(event, TextDelta)
        seen += b"".join(token.data for token in event.tokens)
        text += event.text
        assert seen.decode("utf-8", "ignore") == text
    assert text == "hello there, 🙂!"


def test_calls_have_no_tokens_of_text(chat: Make, talk: Talk, calculating: Any) -> None:
    _, done, _ = talk(chat(calculating), HELLO, params())
    data = b"".join(token.data for token in done.tokens).decode()
    assert data == "Let me see.It is 888."


def test_nothing_is_kept_unless_asked(chat: Make, talk: Talk) -> None:
    _, done, events = talk(chat("hello<|end|>"), HELLO, ChatParams(temperature=0))
    assert done.tokens == () and all(event.tokens == () for event in events)
