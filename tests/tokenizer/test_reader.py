"""Replies as they are written: text, calls and thinking apart, however the ids cut the text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.types import Message
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.calls import CALL_FORMATS, detect
from nanohydra.tokenizer.reader import TurnReader
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.foreign import Family

NAMES = ("weather", "now")
TOOLS = [{"type": "function", "function": {"name": name}} for name in NAMES]
WEATHER = '{"name": "weather", "arguments": {"city": "Łódź"}}'


@cache
def bare(*added: str) -> Tokenizer:
    """A byte-level tokenizer with these tokens beside its vocabulary."""
    family = Family(template="x", special=("<|end|>",), plain=added, end="<|end|>")
    return Tokenizer.load(family.write(Path(mkdtemp())))


def encode(tokenizer: Tokenizer, text: str, marks: tuple[str, ...]) -> list[int]:
    """Ids of a reply in which marks that are tokens are tokens."""
    for mark in marks:
        if (id := tokenizer.token_id(mark)) is not None and mark in text:
            before, _, after = text.partition(mark)
            rest = encode(tokenizer, after, marks)
            return [*encode(tokenizer, before, marks), id, *rest]
    return tokenizer.encode(text)


def read(
    format: str, text: str, *, as_tokens: bool, thinks: bool = False, opened: bool = False
) -> tuple[Message, str, str]:
    """The message, the text shown on the way, and the thinking; the same however ids come."""
    calls = CALL_FORMATS[format]
    marks = (calls.begin, *([calls.end] if calls.end else []), "<think>", "</think>")
    tokenizer = bare(*marks) if as_tokens else bare()
    ids = encode(tokenizer, text, marks) if as_tokens else tokenizer.encode(text)
    found = []
    for size in (1, 3, max(1, len(ids))):
        reader = TurnReader(
            tokenizer, stop_ids=(tokenizer.token_id("<|end|>") or 0,), calls=calls, names=NAMES,
            thinks=thinks, thinking_open=opened,
        )  # fmt: skip
        shown = ""
        for at in range(0, len(ids), size):
            shown += reader.push(ids[at]) if size == 1 else reader.push_all(ids[at : at + size])
        shown += reader.flush()
        assert reader.content == shown
        found.append((reader.message(), shown, reader.thinking))
    assert found[0] == found[1] == found[2]
    return found[0]


TOKENS = pytest.mark.parametrize("as_tokens", [True, False])
CALLS: list[tuple[str, str, str, list[str]]] = [
    ("hermes", f"<tool_call>\n{WEATHER}\n</tool_call>", "", ["weather"]),
    ("hermes", f"Wait.\n<tool_call>\n{WEATHER}\n</tool_call>", "Wait.", ["weather"]),
    (
        "hermes",
        f'<tool_call>{WEATHER}</tool_call>\n<tool_call>{{"name": "now"}}</tool_call>\n',
        "",
        ["weather", "now"],
    ),
    ("hermes", f"<tool_call>\n{WEATHER}", "", ["weather"]),
    ("hermes", f"a<tool_call>{WEATHER}</tool_call> and more", "a and more", ["weather"]),
    ("hermes", "1 < 2 <tool", "1 < 2 <tool", []),
    ("mistral", f"[TOOL_CALLS] [{WEATHER}]", "", ["weather"]),
    ("mistral", f'[TOOL_CALLS][{WEATHER}, {{"name": "now"}}]', "", ["weather", "now"]),
    ("mistral", '[TOOL_CALLS]weather[ARGS]{"city": "Łódź"}', "", ["weather"]),
    ("llama3", WEATHER.replace("arguments", "parameters"), "", ["weather"]),
    ("llama3", f"<|python_tag|>{WEATHER}", "", ["weather"]),
    ("llama3", f'<|python_tag|>{WEATHER}; {{"name": "now"}}', "", ["weather", "now"]),
    ("llama3", '{"name": "else"}', '{"name": "else"}', []),
    ("llama3", '{"a": 1', '{"a": 1', []),
    ("llama3", " It is {1}.", " It is {1}.", []),
]


@TOKENS
@pytest.mark.parametrize(("format", "text", "content", "names"), CALLS)
def test_calls(format: str, text: str, content: str, names: list[str], as_tokens: bool) -> None:
    message, _, _ = read(format, text, as_tokens=as_tokens)
    assert message.content == content
    assert [call.name for call in message.tool_calls] == names
    assert [call.id for call in message.tool_calls] == [f"call_{n}" for n in range(len(names))]
    for call in message.tool_calls:
        assert call.arguments == ({"city": "Łódź"} if call.name == "weather" else {})


@TOKENS
@pytest.mark.parametrize(
    ("format", "inner"),
    [
        ("hermes", "<tool_call>{bad</tool_call>"),
        ("hermes", "<tool_call>3</tool_call>"),
        ("hermes", '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'),
        ("mistral", "[TOOL_CALLS] nonsense"),
        ("mistral", "[TOOL_CALLS]now[ARGS]{bad"),
        ("llama3", "<|python_tag|>print(1)"),
    ],
)
def test_what_cannot_be_read_is_a_value(format: str, inner: str, as_tokens: bool) -> None:
    message, _, _ = read(format, inner, as_tokens=as_tokens)
    (call,) = message.tool_calls
    assert "JSON" in call.arguments["_error"] and call.arguments["_raw"]


@TOKENS
@pytest.mark.parametrize(
    ("text", "content", "thinking", "opened"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "Yes.", "\nhm\n", False),
        ("hm</think>\n\nYes.", "Yes.", "hm", True),
        ("<think>hm", "", "hm", False),
        ("Yes.", "Yes.", "", False),
        (f"<think>x</think>\n<tool_call>{WEATHER}</tool_call>", "", "x", False),
    ],
)
def test_thinking_is_kept_apart(
    text: str, content: str, thinking: str, opened: bool, as_tokens: bool
) -> None:
    message, shown, thought = read("hermes", text, as_tokens=as_tokens, thinks=True, opened=opened)
    assert (message.content, shown, thought) == (content, content, thinking)


@settings(deadline=None)
@given(st.lists(st.sampled_from([
    "<tool_call>", "</tool_call>", "<think>", "</think>", "<", "tool", "\n", "é", WEATHER, "{", "Hi"
]), max_size=8))  # fmt: skip
def test_reading_never_fails_and_shows_what_it_keeps(pieces: list[str]) -> None:
    for format in CALL_FORMATS:
        for as_tokens in (True, False):
            message, shown, _ = read(format, "".join(pieces), as_tokens=as_tokens, thinks=True)
            assert shown.startswith(message.content)
            assert "<tool_call>" not in shown or format != "hermes"


def test_a_mark_that_is_a_token_is_no_text() -> None:
    tokenizer = bare("<tool_call>", "</tool_call>")
    reader = TurnReader(tokenizer, stop_ids=(), calls=CALL_FORMATS["hermes"])
    typed = [id for piece in ("<", "tool_call>x") for id in tokenizer.encode(piece)]
    assert "".join(map(reader.push, typed)) + reader.flush() == "<tool_call>x"
    assert reader.message() == Message(role="assistant", content="<tool_call>x")


def test_reading_stops_at_the_end() -> None:
    tokenizer = bare()
    end = tokenizer.token_id("<|end|>")
    reader = TurnReader(tokenizer, stop_ids=(end,))
    ids = [*tokenizer.encode("Hi"), end, *tokenizer.encode("more")]
    assert "".join(map(reader.push, ids)) + reader.flush() == "Hi" and reader.ended
    reader = TurnReader(tokenizer, stop_ids=(end,))
    assert reader.push_all(ids) + reader.push_all(ids) + reader.flush() == "Hi" and reader.ended


@pytest.mark.parametrize(
    ("name", "format"),
    [("qwen2", "hermes"), ("qwen3", "hermes"), ("mistral", "mistral"), ("llama3", "llama3")],
)
def test_formats_are_told_from_templates(name: str, format: str) -> None:
    assert detect(FAMILIES[name].template) == CALL_FORMATS[format]
    assert all(detect(FAMILIES[other].template) is None for other in ("gemma", "llama2", "phi3"))


def test_a_format_knows_its_own_spelling() -> None:
    call: dict[str, Any] = json.loads(WEATHER)
    for format in ("hermes", "mistral", "llama3"):
        (read_back,) = CALL_FORMATS[format].read(json.dumps(call))
        assert (read_back.name, read_back.arguments) == (call["name"], call["arguments"])
