"""/api/conversations: the journal as the page uses it - list, search, change, import and export.

Who asks sees the conversations of the key's owner alone. The answers themselves are saved by the
recorder while they are written.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nanohydra.chat import StoredConversation, StoredMessage
from nanohydra.server import wire
from nanohydra.server.errors import ApiError
from nanohydra.server.recorder import settle
from nanohydra.server.schema import ChatMessage
from nanohydra.server.service import Here, Own, Owner

router = APIRouter(prefix="/api/conversations")
MAX_LIST = 1000
MAX_TITLE = 200


class NewConversation(BaseModel):
    """Body of POST /api/conversations."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(max_length=MAX_TITLE)] = ""
    settings: dict[str, Any] = {}


class Change(BaseModel):
    """Body of PATCH /api/conversations/ID; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE)] | None = None
    settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def check_changes_something(self) -> Change:
        """An empty change is a mistake of the client."""
        if self.title is None and self.settings is None:
            raise ValueError("give a title or settings")
        return self


class MessageWithMeta(ChatMessage):
    """A message with the figures that the journal keeps beside it."""

    meta: dict[str, Any] = {}


class Messages(BaseModel):
    """Body of PUT /api/conversations/ID/messages."""

    model_config = ConfigDict(extra="forbid")
    messages: list[MessageWithMeta]


def conversation_json(conversation: StoredConversation) -> wire.Json:
    """A whole conversation, its messages as the OpenAI API has them."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
        "settings": dict(conversation.settings),
        "messages": [
            {**wire.message_json(stored.message), "meta": dict(stored.meta)}
            for stored in conversation.messages
        ],
    }


@router.get("")
async def find(
    journal: Own,
    query: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIST)] = MAX_LIST,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> wire.Json:
    """Conversations, the latest first; with a query those that hold all its words."""
    if query.strip():
        found = await asyncio.to_thread(journal.search, query, limit=limit)
    else:
        found = await asyncio.to_thread(journal.recent, limit=limit, offset=offset)
    return {"data": [asdict(summary) for summary in found]}


@router.post("")
async def create(journal: Own, body: NewConversation) -> wire.Json:
    """A new, empty conversation; its first question becomes its title."""
    made = await asyncio.to_thread(journal.create, title=body.title, settings=body.settings)
    return conversation_json(made)


@router.get("/export")
async def export(journal: Own, id: str | None = None) -> wire.Json:
    """All conversations, or one, as a file that `import` reads."""
    ids = None if id is None else [id]
    return await asyncio.to_thread(journal.export, ids)


@router.post("/import")
async def import_(journal: Own, request: Request) -> wire.Json:
    """Add what `export` gave, all or nothing."""
    try:
        body = await request.json()
    except ValueError:
        raise ApiError(400, "the body is not valid JSON", code="invalid_json") from None
    ids = await asyncio.to_thread(journal.import_, body)
    return {"imported": len(ids), "ids": ids}


@router.get("/{id}")
async def get(journal: Own, id: str) -> wire.Json:
    """One conversation with its messages."""
    return conversation_json(await asyncio.to_thread(journal.get, id))


@router.patch("/{id}")
async def change(journal: Own, id: str, body: Change) -> wire.Json:
    """Give it another title or other settings."""
    if body.title is not None:
        await asyncio.to_thread(journal.rename, id, body.title)
    if body.settings is not None:
        await asyncio.to_thread(journal.set_settings, id, body.settings)
    return {"id": id, **body.model_dump(exclude_none=True)}


@router.put("/{id}/messages")
async def replace(service: Here, owner: Owner, journal: Own, id: str, body: Messages) -> wire.Json:
    """Put these messages in place of all that it holds."""
    await settle(service, owner, id)
    stored = [StoredMessage(message=m.to_message(), meta=m.meta) for m in body.messages]
    await asyncio.to_thread(journal.replace_from, id, 0, stored)
    return {"id": id, "num_messages": len(stored)}


@router.delete("/{id}")
async def delete(service: Here, owner: Owner, journal: Own, id: str) -> wire.Json:
    """Remove it."""
    await settle(service, owner, id)
    await asyncio.to_thread(journal.delete, id)
    return {"id": id, "deleted": True}
