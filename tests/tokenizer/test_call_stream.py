"""Calls in pieces equal calls read whole, wherever the pieces are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.tokenizer.call_stream import CallStream
from nanohydra.tokenizer.calls import CALL_FORMATS

TWO = [
    {"name": "f", "arguments": {"a": [1, {"b": '} "]'}], "name": "x"}},
    {"name": "g", "arguments": {}},
]
TEXTS = {
    "hermes": '\n{"name": "f", "arguments": {"city": "Par\\"is {", "n": [1, 2]}}\n',
    "hermes_order": '{"arguments": {"x": 1}, "name": "f"}',
    "hermes_string": '{"name": "f", "arguments": "{\\"x\\": 1}"}',
    "hermes_none": '{"name": "f"}',
    "hermes_function": '{"type": "function", "function": {"name": "f", "arguments": {"x": {}}}}',
    "mistral": json.dumps(TWO),
    "mistral_named": 'get.it[ARGS]{"a": {"b": 2}}',
    "llama3": '{"name": "f", "parameters": {"q": "ä\\u00e9"}}; {"name": "g", "parameters": {}}',
}


def read(texts: list[str], cuts: list[int]) -> list[tuple[str, str]]:
    """Names and whole arguments, from texts that arrive in pieces."""
    stream = CallStream()
    calls: list[tuple[str, str]] = []
    seen: list[str] = []
    for text in texts:
        seen.append("")
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            seen[-1] += text[start:end]
            for piece in stream.feed(seen):
                assert piece.index == len(calls) - (not piece.name)
                if piece.name:
                    calls.append((piece.name, piece.arguments))
                else:
                    calls[-1] = (calls[-1][0], calls[-1][1] + piece.arguments)
    assert stream.num_calls == len(calls)
    return calls


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pieces_equal_the_whole(name: str, data: st.DataObject) -> None:
    text = TEXTS[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    kind = CALL_FORMATS[name.partition("_")[0]]
    wanted = [(call.name, dict(call.arguments)) for call in kind.read(text)]
    assert [(each, json.loads(raw)) for each, raw in read([text], cuts)] == wanted
    assert len(wanted) == text.count('"name": ') - (name == "mistral") + (name == "mistral_named")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=6),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_arguments_come_through(arguments: dict[str, object], ascii: bool) -> None:
    raw = json.dumps(arguments, ensure_ascii=ascii)
    text = f'{{"name": "f", "arguments": {raw}}}'
    assert read([text, text], list(range(len(text)))) == [("f", raw), ("f", raw)]


@pytest.mark.parametrize("text", ["", "hello", "{}", "[1, 2", '{"a": {"name": "f"}}', '"}}]]{"'])
def test_what_is_no_call_gives_none(text: str) -> None:
    assert read([text], []) == []


def test_a_call_that_was_cut_off_gives_what_there_is() -> None:
    assert read(['{"name": "f", "arguments": {"x": "ab'], []) == [("f", '{"x": "ab')]
