"""What can be done to any record, document or conversation: take its text, make it valid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nanohydra.core.types import Conversation, Document, Message, Record
from nanohydra.data.reading import repair
from nanohydra.tokenizer.template import record_texts


def record_text(record: Record) -> str:
    """All the text of a record: a document's, or a conversation's turns on lines of their own."""
    return "\n".join(filter(None, record_texts(record)))


def repair_record(record: Record) -> tuple[Record, int]:
    """The record with valid text, see `repair`, and how many places were invalid."""
    if isinstance(record, Document):
        text, invalid = repair(record.text)
        if text is record.text:
            return record, 0
        return Document(text=text, source=record.source, meta=record.meta), invalid
    total = 0

    def fix(text: str) -> str:
        nonlocal total
        text, invalid = repair(text)
        total += invalid
        return text

    messages = tuple(_fixed(message, fix) for message in record.messages)
    return Conversation(messages=messages, source=record.source, meta=record.meta), total


def _fixed(message: Message, fix: Callable[[str], str]) -> Message:
    calls = tuple(
        dataclasses.replace(call, name=fix(call.name), arguments=_deep(call.arguments, fix))
        for call in message.tool_calls
    )
    return dataclasses.replace(message, content=fix(message.content), tool_calls=calls)


def _deep(value: Any, fix: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fix(value)
    if isinstance(value, Mapping):
        return {fix(str(key)): _deep(item, fix) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_deep(item, fix) for item in value]
    return value
