"""The journal: conversations that persist, in one SQLite file, each with its owner.

Safe for several threads and processes at once: every change is one transaction. Knows nothing of
models; what a message's `meta` means is the caller's business.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nanohydra.chat.database import CONVERSATIONS, MESSAGES, Database
from nanohydra.chat.records import (
    StoredConversation,
    StoredMessage,
    Summary,
    UnknownConversation,
    file_from_json,
    file_to_json,
    make_title,
    message_from_json,
    message_to_json,
)
from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.core.types import Message

SNIPPET_CHARS = 80


class Journal:
    """Conversations of one owner in the database file at `path`, which is made if it is not there.

    Those of others are in the same file, and are as if they were not: see `of`.

    Raises UserError if the file is damaged, is something else, or comes from a newer version; the
    file is left as it is. So does every method if it becomes unusable later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path)
        self.owner = OWNER

    def of(self, owner: str) -> Journal:
        """The conversations of an owner, in the same open file."""
        found = copy.copy(self)
        found.owner = owner
        return found

    def close(self) -> None:
        """Let go of the file, for all owners."""
        self.database.close()

    def create(
        self, *, title: str = "", settings: Mapping[str, Any] | None = None
    ) -> StoredConversation:
        """A new, empty conversation. Without a title the first question becomes it."""
        now = time.time()
        conversation = StoredConversation(
            id=uuid.uuid4().hex,
            title=_valid(title),
            created=now,
            updated=now,
            settings=dict(settings or {}),
            messages=(),
        )
        with self.database.write() as connection:
            _insert(connection, self.owner, conversation)
        return conversation

    def get(self, id: str) -> StoredConversation:
        """A whole conversation. Raises UnknownConversation."""
        with self.database.read() as connection:
            return _load(connection, self.owner, id)

    def recent(self, *, limit: int = 100, offset: int = 0) -> list[Summary]:
        """The conversations, the latest first."""
        with self.database.read() as connection:
            rows = connection.execute(_summaries(self.owner).limit(limit).offset(offset))
            return [Summary(**row) for row in rows.mappings()]

    def search(self, query: str, *, limit: int = 100) -> list[Summary]:
        """Conversations with every word of the query in their title or messages, latest first."""
        words = query.casefold().split()
        if not words:
            return self.recent(limit=limit)
        statement = _summaries(self.owner).limit(limit)
        for word in words:
            said = sa.exists().where(
                MESSAGES.c.conversation_id == CONVERSATIONS.c.id,
                MESSAGES.c.folded.contains(word, autoescape=True),
            )
            titled = sa.func.casefold(CONVERSATIONS.c.title).contains(word, autoescape=True)
            statement = statement.where(said | titled)
        with self.database.read() as connection:
            found = [Summary(**row) for row in connection.execute(statement).mappings()]
            return [replace(each, snippet=_snippet(connection, each.id, words)) for each in found]

    def append(self, id: str, messages: Sequence[StoredMessage | Message]) -> None:
        """Add messages to the end of a conversation. Raises UnknownConversation."""
        self.replace_from(id, None, messages)

    def replace_from(
        self, id: str, position: int | None, messages: Sequence[StoredMessage | Message]
    ) -> None:
        """Put messages in place of all from `position` on; None adds to the end.

        Raises UnknownConversation, and UserError for a position that is not in the conversation.
        """
        added = [
            each if isinstance(each, StoredMessage) else StoredMessage(message=each)
            for each in messages
        ]
        with self.database.write() as connection:
            conversation = _load(connection, self.owner, id)
            kept = len(conversation.messages) if position is None else position
            if not 0 <= kept <= len(conversation.messages):
                raise UserError(
                    f"position {kept} is not in the conversation of "
                    f"{len(conversation.messages)} messages"
                )
            connection.execute(
                MESSAGES.delete().where(
                    MESSAGES.c.conversation_id == id, MESSAGES.c.position >= kept
                )
            )
            _insert_messages(connection, id, kept, added)
            all_messages = [*conversation.messages[:kept], *added]
            title = conversation.title or _valid(make_title(all_messages))
            _update(connection, self.owner, id, title=title, updated=time.time())

    def set_meta(self, id: str, position: int, meta: Mapping[str, Any]) -> None:
        """Replace what belongs to one message. Raises UnknownConversation or UserError."""
        with self.database.write() as connection:
            count = len(_load(connection, self.owner, id).messages)
            if not 0 <= position < count:
                raise UserError(f"position {position} is not in the conversation of {count}")
            connection.execute(
                MESSAGES.update()
                .where(MESSAGES.c.conversation_id == id, MESSAGES.c.position == position)
                .values(meta=json.dumps(meta))
            )

    def rename(self, id: str, title: str) -> None:
        """Give a conversation another title. Raises UnknownConversation."""
        with self.database.write() as connection:
            _update(connection, self.owner, id, title=_valid(title))

    def set_settings(self, id: str, settings: Mapping[str, Any]) -> None:
        """Replace the settings of a conversation. Raises UnknownConversation."""
        with self.database.write() as connection:
            _update(connection, self.owner, id, settings=json.dumps(settings))

    def delete(self, id: str) -> None:
        """Remove a conversation with its messages. Raises UnknownConversation."""
        with self.database.write() as connection:
            deleted = connection.execute(CONVERSATIONS.delete().where(_is(self.owner, id)))
            _require(deleted.rowcount, id)

    def export(self, ids: Sequence[str] | None = None) -> dict[str, Any]:
        """The named conversations, or all, as plain JSON types. Raises UnknownConversation."""
        with self.database.read() as connection:
            if ids is None:
                own = sa.select(CONVERSATIONS.c.id).where(CONVERSATIONS.c.owner == self.owner)
                ids = list(connection.scalars(own.order_by(CONVERSATIONS.c.created)))
            return file_to_json([_load(connection, self.owner, id) for id in ids])

    def import_(self, body: Any) -> list[str]:
        """Add what `export` gave, all or nothing; returns the ids.

        A conversation whose id is taken, or that has none, gets a new one; so does any of another
        than the default owner, who would otherwise learn which ids others have. Raises UserError
        that names the place of a mistake.
        """
        conversations = file_from_json(body)
        ids = []
        with self.database.write() as connection:
            for conversation in conversations:
                taken = sa.select(CONVERSATIONS.c.id).where(CONVERSATIONS.c.id == conversation.id)
                kept = conversation.id and self.owner == OWNER
                if not kept or connection.execute(taken).first():
                    conversation = replace(conversation, id=uuid.uuid4().hex)
                now = time.time()
                conversation = replace(
                    conversation,
                    title=_valid(conversation.title),
                    created=conversation.created or now,
                    updated=conversation.updated or now,
                )
                _insert(connection, self.owner, conversation)
                ids.append(conversation.id)
        return ids


def _valid(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot express."""
    return text.encode("utf-8", "replace").decode()


def _require(num_rows: int, id: str) -> None:
    if not num_rows:
        raise UnknownConversation(f"there is no conversation with the id {id!r}")


def _is(owner: str, id: str) -> sa.ColumnElement[bool]:
    """An owner's conversation of this id; that of another is as unknown as one that is not."""
    return (CONVERSATIONS.c.id == id) & (CONVERSATIONS.c.owner == owner)


def _summaries(owner: str) -> sa.Select[Any]:
    """Summaries of an owner's without snippets, the latest first."""
    count = (
        sa.select(sa.func.count())
        .where(MESSAGES.c.conversation_id == CONVERSATIONS.c.id)
        .scalar_subquery()
    )
    columns = CONVERSATIONS.c
    return (
        sa.select(
            columns.id, columns.title, columns.created, columns.updated, count.label("num_messages")
        )
        .where(columns.owner == owner)
        .order_by(columns.updated.desc(), columns.id)
    )


def _load(connection: sa.Connection, owner: str, id: str) -> StoredConversation:
    row = connection.execute(sa.select(CONVERSATIONS).where(_is(owner, id))).one_or_none()
    _require(row is not None, id)
    assert row is not None
    rows = connection.execute(
        sa.select(MESSAGES.c.body, MESSAGES.c.meta)
        .where(MESSAGES.c.conversation_id == id)
        .order_by(MESSAGES.c.position)
    )
    messages = tuple(
        StoredMessage(message=message_from_json(json.loads(body), id), meta=json.loads(meta))
        for body, meta in rows
    )
    return StoredConversation(
        id=row.id,
        title=row.title,
        created=row.created,
        updated=row.updated,
        settings=json.loads(row.settings),
        messages=messages,
    )


def _insert(connection: sa.Connection, owner: str, conversation: StoredConversation) -> None:
    connection.execute(
        CONVERSATIONS.insert().values(
            id=conversation.id,
            owner=owner,
            title=conversation.title,
            created=conversation.created,
            updated=conversation.updated,
            settings=json.dumps(dict(conversation.settings)),
        )
    )
    _insert_messages(connection, conversation.id, 0, conversation.messages)


def _insert_messages(
    connection: sa.Connection, id: str, position: int, messages: Sequence[StoredMessage]
) -> None:
    rows = [
        {
            "conversation_id": id,
            "position": position + number,
            "body": json.dumps(message_to_json(stored.message)),
            "meta": json.dumps(dict(stored.meta)),
            "folded": _valid(stored.message.content.casefold()),
        }
        for number, stored in enumerate(messages)
    ]
    if rows:
        connection.execute(MESSAGES.insert(), rows)


def _update(connection: sa.Connection, owner: str, id: str, **values: Any) -> None:
    changed = connection.execute(CONVERSATIONS.update().where(_is(owner, id)).values(**values))
    _require(changed.rowcount, id)


def _snippet(connection: sa.Connection, id: str, words: Sequence[str]) -> str:
    """The text around the first message that holds one of the words; empty if none does."""
    for word in words:
        found = connection.execute(
            sa.select(MESSAGES.c.body)
            .where(
                MESSAGES.c.conversation_id == id,
                MESSAGES.c.folded.contains(word, autoescape=True),
            )
            .order_by(MESSAGES.c.position)
            .limit(1)
        ).scalar()
        if found is not None:
            text = " ".join(str(json.loads(found)["content"]).split())
            place = max(0, text.casefold().find(word) - SNIPPET_CHARS // 4)
            end = place + SNIPPET_CHARS
            return ("…" if place else "") + text[place:end] + ("…" if end < len(text) else "")
    return ""
