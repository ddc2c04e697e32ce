"""Lessons: what a user teaches, as values and as the JSON of the learn API.

A lesson is a fact, a question with its answer, a document or a conversation, with an owner and the
alias it is meant for. Knows nothing of models and of what makes a lesson a good one (curate.py).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nanohydra.chat.records import expect, message_from_json, message_to_json
from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message

LessonKind = Literal["fact", "qa", "document", "conversation"]
LessonState = Literal["remembered", "studying", "live", "refused", "memory_only", "deleted"]
STATES: tuple[LessonState, ...] = get_args(LessonState)
ALIAS = "default"


@dataclass(frozen=True)
class Fact:
    """A statement, or a few, in plain sentences."""

    text: str


@dataclass(frozen=True)
class QA:
    """A question and the answer that is wanted."""

    question: str
    answer: str


@dataclass(frozen=True)
class DocumentLesson:
    """A text with a title; its sentences are studied as facts."""

    title: str
    text: str


@dataclass(frozen=True)
class ConversationLesson:
    """Example turns; the assistant's are what is learned."""

    messages: tuple[Message, ...]


Body = Fact | QA | DocumentLesson | ConversationLesson
KINDS: Mapping[type, LessonKind] = {
    Fact: "fact", QA: "qa", DocumentLesson: "document", ConversationLesson: "conversation",
}  # fmt: skip
FIELDS: Mapping[LessonKind, tuple[str, ...]] = {
    "fact": ("text",),
    "qa": ("question", "answer"),
    "document": ("title", "text"),
    "conversation": ("messages",),
}


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One lesson and where it is in its life.

    created: seconds since 1970.
    flags: what curation noticed: "injection", "other_language", ... (curate.py lists them).
    reason: in plain words why the state is what it is, for those that were refused.
    """

    id: str
    body: Body
    owner: str = OWNER
    alias: str = ALIAS
    created: float = 0.0
    state: LessonState = "remembered"
    flags: tuple[str, ...] = ()
    reason: str = ""

    @property
    def kind(self) -> LessonKind:
        """What sort of lesson it is, as the API names it."""
        return KINDS[type(self.body)]

    @property
    def text(self) -> str:
        """All its words in reading order: what is indexed, compared and searched."""
        body = self.body
        if isinstance(body, Fact):
            return body.text
        if isinstance(body, QA):
            return f"{body.question}\n{body.answer}"
        if isinstance(body, DocumentLesson):
            return f"{body.title}\n{body.text}" if body.title else body.text
        return "\n".join(message.content for message in body.messages)

    @property
    def title(self) -> str:
        """A short name for lists: its first line, cut."""
        line = next((line.strip() for line in self.text.split("\n") if line.strip()), "")
        return line if len(line) <= 80 else line[:80].rsplit(" ", 1)[0] + "…"


def new_id() -> str:
    """An id for a lesson: 12 random hexadecimal digits."""
    return secrets.token_hex(6)


def parse_lessons(
    items: Any, *, owner: str = OWNER, alias: str = ALIAS, now: float | None = None
) -> list[Lesson]:
    """Lessons of the JSON list that the API takes, each with a fresh id.

    Raises UserError that names the lesson and the field that is wrong.
    """
    created = time.time() if now is None else now
    bodies = [
        body_from_json(item, f"lessons[{number}]")
        for number, item in enumerate(expect(items, list, "lessons"))
    ]
    if not bodies:
        raise UserError("lessons is empty; send at least one, such as "
                        '{"kind": "fact", "text": "The printer is called Bob."}')  # fmt: skip
    return [
        Lesson(id=new_id(), body=body, owner=owner, alias=alias, created=created) for body in bodies
    ]


def body_from_json(item: Any, where: str) -> Body:
    """What a lesson says, from JSON. Raises UserError that says `where` it is wrong."""
    item = expect(item, dict, where)
    kind = item.get("kind")
    if kind not in FIELDS:
        raise UserError(f"{where}.kind is {kind!r:.60}; {suggest(str(kind), FIELDS)}")
    known = (*FIELDS[kind], "kind")
    for name in item:
        if name not in known:
            raise UserError(f"{where} has the unknown field {name!r}; {suggest(name, known)}")
    if kind == "conversation":
        return ConversationLesson(_messages(item.get("messages"), f"{where}.messages"))
    optional = {"title": ""} if kind == "document" else {}
    values = {
        name: expect(item.get(name, optional.get(name)), str, f"{where}.{name}")
        for name in FIELDS[kind]
    }
    if kind == "fact":
        return Fact(**values)
    return QA(**values) if kind == "qa" else DocumentLesson(**values)


def _messages(items: Any, where: str) -> tuple[Message, ...]:
    messages = tuple(
        message_from_json(item, f"{where}[{number}]")
        for number, item in enumerate(expect(items, list, where))
    )
    roles = [message.role for message in messages]
    if "assistant" not in roles[1:]:
        raise UserError(
            f"{where} teaches nothing: it needs an assistant's turn after a user's turn"
        )
    return messages


def body_to_json(body: Body) -> dict[str, Any]:
    """The inverse of `body_from_json`."""
    kind = KINDS[type(body)]
    if isinstance(body, ConversationLesson):
        return {"kind": kind, "messages": [message_to_json(m) for m in body.messages]}
    return {"kind": kind} | {name: getattr(body, name) for name in FIELDS[kind]}


def lesson_to_json(lesson: Lesson) -> dict[str, Any]:
    """A lesson as the API shows it."""
    return body_to_json(lesson.body) | {
        "id": lesson.id,
        "owner": lesson.owner,
        "alias": lesson.alias,
        "created": lesson.created,
        "state": lesson.state,
        "flags": list(lesson.flags),
        "reason": lesson.reason,
        "label": lesson.title,
    }


def lessons_of(texts: Sequence[str], *, owner: str = OWNER, alias: str = ALIAS) -> list[Lesson]:
    """A fact lesson of each text, for commands, tests and experiments."""
    return parse_lessons(
        [{"kind": "fact", "text": text} for text in texts], owner=owner, alias=alias
    )
