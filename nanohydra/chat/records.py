"""Stored conversations as values and as JSON; knows nothing of databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, Role, ToolCall

FORMAT = "nanohydra-conversations"
FORMAT_VERSION = 1
TITLE_CHARS = 60


class UnknownConversation(UserError):
    """There is no conversation with this id."""


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """A message with what belongs to it: timings, feedback, the model that wrote it."""

    message: Message
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A conversation as a list shows it. Times are seconds since 1970.

    snippet: the place that a search found; empty in plain lists.
    """

    id: str
    title: str
    created: float
    updated: float
    num_messages: int
    snippet: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredConversation:
    """A whole conversation. `settings` is the caller's: system prompt, sampling, ..."""

    id: str
    title: str
    created: float
    updated: float
    settings: Mapping[str, Any]
    messages: tuple[StoredMessage, ...]


def make_title(messages: list[StoredMessage]) -> str:
    """The first line of the first user's message, cut at a word; empty if there is none."""
    for stored in messages:
        if stored.message.role == "user" and stored.message.content.strip():
            line = " ".join(stored.message.content.strip().split("\n")[0].split())
            if len(line) <= TITLE_CHARS:
                return line
            return line[:TITLE_CHARS].rsplit(" ", 1)[0] + "…"
    return ""


def message_to_json(message: Message) -> dict[str, Any]:
    """A message as plain JSON types; empty parts are left out."""
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    return body


def message_from_json(body: Any, where: str) -> Message:
    """The inverse of `message_to_json`. Raises UserError that says `where` it is wrong."""
    body = expect(body, dict, where)
    role = expect(body.get("role"), str, f"{where}.role")
    if role not in get_args(Role):
        raise UserError(f"{where}.role is {role!r}; known: {', '.join(get_args(Role))}")
    calls = []
    for number, call in enumerate(expect(body.get("tool_calls", []), list, f"{where}.tool_calls")):
        place = f"{where}.tool_calls[{number}]"
        call = expect(call, dict, place)
        calls.append(
            ToolCall(
                id=expect(call.get("id"), str, f"{place}.id"),
                name=expect(call.get("name"), str, f"{place}.name"),
                arguments=expect(call.get("arguments"), dict, f"{place}.arguments"),
            )
        )
    call_id = body.get("tool_call_id")
    return Message(
        role=role,
        content=expect(body.get("content", ""), str, f"{where}.content"),
        tool_calls=tuple(calls),
        tool_call_id=None if call_id is None else expect(call_id, str, f"{where}.tool_call_id"),
    )


def to_json(conversation: StoredConversation) -> dict[str, Any]:
    """A conversation as plain JSON types."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
        "settings": dict(conversation.settings),
        "messages": [
            {**message_to_json(stored.message), "meta": dict(stored.meta)}
            for stored in conversation.messages
        ],
    }


def from_json(body: Any, where: str) -> StoredConversation:
    """The inverse of `to_json`; times may be missing. Raises UserError that says `where`."""
    body = expect(body, dict, where)
    messages = []
    for number, item in enumerate(expect(body.get("messages"), list, f"{where}.messages")):
        place = f"{where}.messages[{number}]"
        message = message_from_json(item, place)
        meta = expect(item.get("meta", {}), dict, f"{place}.meta")
        messages.append(StoredMessage(message=message, meta=meta))
    created = expect(body.get("created", 0.0), (int, float), f"{where}.created")
    return StoredConversation(
        id=expect(body.get("id", ""), str, f"{where}.id"),
        title=expect(body.get("title", ""), str, f"{where}.title"),
        created=float(created),
        updated=float(expect(body.get("updated", created), (int, float), f"{where}.updated")),
        settings=expect(body.get("settings", {}), dict, f"{where}.settings"),
        messages=tuple(messages),
    )


def file_to_json(conversations: list[StoredConversation]) -> dict[str, Any]:
    """What an export file holds."""
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "conversations": [to_json(conversation) for conversation in conversations],
    }


def file_from_json(body: Any) -> list[StoredConversation]:
    """The inverse of `file_to_json`. Raises UserError for anything else."""
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise UserError(f'this is no export of conversations: "format" is not "{FORMAT}"')
    if body.get("version") != FORMAT_VERSION:
        raise UserError(
            f"the export has version {body.get('version')!r}, but this program reads "
            f"{FORMAT_VERSION}; update nanohydra"
        )
    items = expect(body.get("conversations"), list, "conversations")
    return [from_json(item, f"conversations[{number}]") for number, item in enumerate(items)]


def expect(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """The value, if it has the type. Raises UserError that names the place."""
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = {"dict": "an object", "list": "a list", "str": "text", "int": "a number"}
        raise UserError(f"{where} must be {names[kinds[0].__name__]}, not {value!r:.60}")
    return value
