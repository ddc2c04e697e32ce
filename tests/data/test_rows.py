"""Rows become documents or conversations by their columns."""

from __future__ import annotations

import pytest

from nanohydra.core.types import Conversation, Document
from nanohydra.data.rows import TEXT_COLUMNS, BadRow, find_layout, make_record, read_columns


def record(row, column=""):
    return make_record(row, find_layout(row, column), "here")


@pytest.mark.parametrize("column", TEXT_COLUMNS)
def test_text_columns_are_found(column):
    assert record({"id": 1, column: "words"}) == Document(text="words", source="here")


def test_the_chosen_column_wins_and_an_unknown_one_names_those_present():
    assert record({"text": "a", "note": "b"}, "note").text == "b"
    with pytest.raises(BadRow, match=r"no column 'nope'; columns present: a, b$"):
        record({"b": "x", "a": "y"}, "nope")
    with pytest.raises(BadRow, match=r"no column of text is known among: a, b; choose"):
        record({"b": "x", "a": "y"})
    with pytest.raises(BadRow, match="holds int, not text"):
        record({"text": 3})


def test_empty_rows_are_none():
    for row in ({"text": " \n"}, {"text": None}, {"messages": []}, {"prompt": "a", "output": ""}):
        assert record(row) is None


def turns(made: Conversation) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in made.messages]


def test_openai_messages_with_tools():
    made = record(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "6*7"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {
                                "name": "calculator",
                                "arguments": '{"expression": "6*7"}',
                            },
                        }
                    ],
                },
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
                {"role": "assistant", "content": "42."},
            ]
        }
    )
    assert turns(made) == [
        ("system", "Be brief."),
        ("user", "6*7"),
        ("assistant", ""),
        ("tool", "42"),
        ("assistant", "42."),
    ]
    (call,) = made.messages[2].tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "calculator", {"expression": "6*7"})
    assert made.messages[3].tool_call_id == "c1"


def test_sharegpt_with_calls_and_a_system_column():
    made = record(
        {
            "system": "Hello.",
            "conversations": [
                {"from": "human", "value": "What is it?"},
                {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "it"}}'},
                {"from": "observation", "value": "a cat"},
                {"from": "gpt", "value": "A cat."},
            ],
        }
    )
    assert [role for role, _ in turns(made)] == ["system", "user", "assistant", "tool", "assistant"]
    assert made.messages[2].tool_calls[0].arguments == {"at": "it"}


def test_alpaca_and_other_pairs():
    made = record({"instruction": "Add.", "input": "1 2", "output": "3", "text": "unused"})
    assert turns(made) == [("user", "Add.\n\n1 2"), ("assistant", "3")]
    assert turns(record({"question": "q", "answer": "a"})) == [("user", "q"), ("assistant", "a")]


def test_messages_as_json_text_in_a_csv_cell():
    made = record({"messages": '[{"role": "user", "content": "a"}]'})
    assert turns(made) == [("user", "a")]


@pytest.mark.parametrize(
    ("turn", "what"),
    [
        ("text", "a turn is str"),
        ({"who": "me"}, "neither 'role' nor 'from' but who"),
        ({"role": "wizard", "content": ""}, "unknown role 'wizard'"),
        ({"role": "user", "content": 3}, "holds int"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "type 'image_url' is not text"),
        ({"from": "function_call", "value": "no json"}, "a tool call is not valid JSON"),
        ({"from": "function_call", "value": "3"}, "tool calls are int"),
        ({"role": "assistant", "tool_calls": [{}]}, "has no name"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}, "not an object"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}, "not valid JSON"),
    ],
)
def test_a_turn_that_cannot_be_read_says_why(turn, what):
    with pytest.raises(BadRow, match=what):
        record({"messages": [turn]})


def test_only_needed_columns_are_read():
    names = ["id", "instruction", "input", "output", "embedding"]
    assert read_columns(names, find_layout(names)) == ["instruction", "input", "output"]
