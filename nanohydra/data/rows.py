"""One row of a table to one record: finds the text column, or reads the row as a conversation.

Conversations come in the OpenAI format (`messages` of role and content), as ShareGPT
(`conversations` of from and value), or as a pair of columns such as Alpaca's instruction (with an
optional input) and output. Knows nothing of files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nanohydra.core.types import Conversation, Document, Message, Record, Role, ToolCall

CONVERSATION_COLUMNS = ("messages", "conversations", "conversation")
PAIR_COLUMNS = tuple(
    (ask, answer)
    for ask in ("instruction", "prompt", "question", "query")
    for answer in ("output", "response", "completion", "answer")
)
INPUT_COLUMNS = ("input", "context")
TEXT_COLUMNS = (
    *("text", "content", "story", "document", "body", "article", "passage", "abstract"),
    *("code", "markdown", "raw_text", "sentence"),
)
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response"), "tool"),
    "function_response": "tool",
}
_CALLS = ("function_call", "tool_call")


class BadRow(Exception):
    """The row cannot become a record; says why."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which columns make the record: one, or a question and its answer."""

    columns: tuple[str, ...]

    def fits(self, names: Collection[str]) -> bool:
        """Whether a row with these columns can be read this way."""
        return all(column in names for column in self.columns)


def find_layout(names: Collection[str], column: str = "") -> Layout:
    """How to read rows with these columns; `column` is the user's choice, "" = find it.

    Raises BadRow naming the columns present when none is known.
    """
    if column:
        layouts: list[tuple[str, ...]] = [(column,)]
    else:
        layouts = [(name,) for name in CONVERSATION_COLUMNS]
        layouts += PAIR_COLUMNS
        layouts += [(name,) for name in TEXT_COLUMNS]
    for columns in layouts:
        if all(name in names for name in columns):
            return Layout(columns=columns)
    present = ", ".join(sorted(map(str, names))) or "none"
    if column:
        raise BadRow(f"there is no column {column!r}; columns present: {present}")
    raise BadRow(f"no column of text is known among: {present}; choose one with column=NAME")


def read_columns(names: Collection[str], layout: Layout) -> list[str]:
    """The columns that `make_record` looks at, for formats that can leave the others unread."""
    extra = ("system", *INPUT_COLUMNS)
    return [name for name in names if name in layout.columns or name in extra]


def make_record(row: Mapping[str, Any], layout: Layout, source: str) -> Record | None:
    """The record of a row, or None if the row is empty. Raises BadRow."""
    if len(layout.columns) == 2:
        return _pair(row, layout, source)
    name = layout.columns[0]
    value = row.get(name)
    if name in CONVERSATION_COLUMNS and isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _json(value, f"column {name!r}")  # CSV has no lists
    if isinstance(value, list | tuple):
        return _conversation(row, value, source)
    text = _text(value, name)
    return Document(text=text, source=source) if text.strip() else None


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise BadRow(f"column {name!r} holds {type(value).__name__}, not text")
    return value


def _pair(row: Mapping[str, Any], layout: Layout, source: str) -> Record | None:
    ask, answer = (_text(row.get(name), name) for name in layout.columns)
    for name in INPUT_COLUMNS:
        extra = _text(row.get(name), name)
        if extra.strip():
            ask = f"{ask}\n\n{extra}"
    if not ask.strip() or not answer.strip():
        return None
    turns = (Message(role="user", content=ask), Message(role="assistant", content=answer))
    return Conversation(messages=(*_system(row), *turns), source=source)


def _system(row: Mapping[str, Any]) -> tuple[Message, ...]:
    text = _text(row.get("system"), "system")
    return (Message(role="system", content=text),) if text.strip() else ()


def _conversation(row: Mapping[str, Any], turns: Sequence[Any], source: str) -> Record | None:
    messages = tuple(message for turn in turns for message in _messages(turn))
    if not messages:
        return None
    if messages[0].role != "system":
        messages = (*_system(row), *messages)
    return Conversation(messages=messages, source=source)


def _messages(turn: Any) -> tuple[Message, ...]:
    """The message of one turn in either format, as a tuple of one."""
    if not isinstance(turn, Mapping):
        raise BadRow(f"a turn is {type(turn).__name__}, not an object with role and content")
    if "role" in turn:
        role, content = str(turn["role"]), turn.get("content")
    elif "from" in turn:
        role, content = str(turn["from"]), turn.get("value")
    else:
        raise BadRow(f"a turn has neither 'role' nor 'from' but {', '.join(map(str, turn))}")
    if role in _CALLS:
        calls = _calls(_json(content, "a tool call"))
        return (Message(role="assistant", tool_calls=calls),)
    if role not in _ROLES:
        raise BadRow(f"unknown role {role!r}; known: {', '.join([*_ROLES, *_CALLS])}")
    return (
        Message(
            role=_ROLES[role],
            content=_content(content),
            tool_calls=_calls(turn.get("tool_calls") or ()),
            tool_call_id=turn.get("tool_call_id"),
        ),
    )


def _content(content: Any) -> str:
    """Text, or the joined text parts of the OpenAI format."""
    if not isinstance(content, list | tuple):
        return _text(content, "content")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text":
            raise BadRow(f"a content part of type {kind!r} is not text")
        texts.append(_text(part.get("text", part.get("value")), "text"))
    return "".join(texts)


def _calls(calls: Any) -> tuple[ToolCall, ...]:
    if isinstance(calls, Mapping):
        calls = (calls,)
    if not isinstance(calls, list | tuple):
        raise BadRow(f"tool calls are {type(calls).__name__}, not a list")
    made = []
    for number, call in enumerate(calls):
        inner = call.get("function", call) if isinstance(call, Mapping) else {}
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            raise BadRow("a tool call has no name")
        arguments = inner.get("arguments") or {}
        if isinstance(arguments, str):
            arguments = _json(arguments, "the arguments of a tool call")
        if not isinstance(arguments, Mapping):
            raise BadRow("the arguments of a tool call are not an object")
        id = str(call.get("id") or f"call_{number}")
        made.append(ToolCall(id=id, name=inner["name"], arguments=arguments))
    return tuple(made)


def _json(text: Any, what: str) -> Any:
    try:
        return json.loads(_text(text, what))
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{what} is not valid JSON: {error}") from error
