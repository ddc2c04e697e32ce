"""The forms that a prompt may have - text, token ids, a conversation - and the ids that they mean.

Knows the tokenizer and nothing of engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message, Role
from nanohydra.tokenizer import ChatTool, Tokenizer

Turn = Message | Mapping[str, Any]
Conversation = Sequence[Turn]
Prompt = str | Sequence[int]
KEYS = ("role", "content", "tool_call_id")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt as the model reads it. text: as it was given, if it was one. chat: a conversation's.

    tools: what the prompt offers.
    """

    ids: tuple[int, ...]
    text: str | None = None
    chat: bool = False
    tools: tuple[ChatTool, ...] = ()


def prompts_of(given: Prompt | Sequence[Prompt], tokenizer: Tokenizer) -> list[Asked]:
    """One prompt, or several. Raises UserError for what is neither text nor ids."""
    if isinstance(given, str):
        return [_text(given, tokenizer)]
    items = list(given)
    if items and all(_is_id(item) for item in items):
        return [Asked(ids=tuple(int(item) for item in items))]  # type: ignore[arg-type]
    return [_prompt(item, place, tokenizer) for place, item in enumerate(items)]


def conversations_of(
    given: str | Conversation | Sequence[Conversation],
    tokenizer: Tokenizer,
    tools: Sequence[ChatTool] = (),
) -> list[Asked]:
    """One conversation, or several, laid out as the model reads them. Raises UserError."""
    if isinstance(given, str):
        raise UserError("a chat is a list of messages; for a plain text there is generate()")
    items: list[Any] = list(given)
    several = not items or not isinstance(items[0], Message | Mapping)
    asked = []
    for conversation in items if several else [items]:
        if isinstance(conversation, str) or not isinstance(conversation, Sequence):
            raise UserError(f"a conversation is a list of messages, not {conversation!r}")
        messages = [message_of(turn) for turn in conversation]
        if not messages:
            raise UserError("a conversation is empty; it needs at least one message")
        ids = tokenizer.chat.prompt(messages, tools=tools)
        asked.append(Asked(ids=tuple(ids), chat=True, tools=tuple(tools)))
    return asked


def message_of(turn: Turn) -> Message:
    """A message, from the form in which chat APIs write it too. Raises UserError."""
    if isinstance(turn, Message):
        return turn
    if not isinstance(turn, Mapping):
        raise UserError(f"a message is a table with role and content, not {turn!r}")
    for name in turn:
        if name not in KEYS:
            hint = "; give a Message, which can hold calls" if name == "tool_calls" else ""
            raise UserError(f"a message has no {name!r}; {suggest(name, KEYS)}{hint}")
    role = turn.get("role", "user")
    if role not in get_args(Role):
        raise UserError(f"unknown role {role!r}; {suggest(str(role), get_args(Role))}")
    content = turn.get("content", "")
    if not isinstance(content, str):
        raise UserError(f"the content of a message is a text, not {content!r}")
    return Message(role=role, content=content, tool_call_id=turn.get("tool_call_id"))


def _prompt(item: object, place: int, tokenizer: Tokenizer) -> Asked:
    if isinstance(item, str):
        return _text(item, tokenizer)
    if isinstance(item, Message | Mapping):
        raise UserError("messages are for chat(); generate() takes texts or token ids")
    if not isinstance(item, Sequence) or not all(_is_id(id) for id in item):
        raise UserError(f"prompt {place} is neither a text nor a list of token ids: {item!r}")
    return Asked(ids=tuple(int(id) for id in item))


def _text(text: str, tokenizer: Tokenizer) -> Asked:
    ids = (*tokenizer.prefix_ids, *tokenizer.encode(text)) or (tokenizer.start_id,)
    return Asked(ids=ids, text=text)


def _is_id(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
