"""GET /v1/models: the served model, and the names under which what it has learned answers."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from nanohydra.core.registry import suggest
from nanohydra.server.errors import ApiError
from nanohydra.server.learning import AUTO, BASE, Json, Learning
from nanohydra.server.service import Here, Owner, Service

router = APIRouter()


@router.get("/v1/models")
async def models(service: Here, owner: Owner) -> dict[str, Any]:
    """The served model first; then base, auto, the aliases, and alias@version."""
    return {"object": "list", "data": await cards(service, owner)}


@router.get("/v1/models/{name:path}")
async def model(service: Here, owner: Owner, name: str) -> Json:
    """The model of this name."""
    found = {each["id"]: each for each in await cards(service, owner)}
    if name not in found:
        message = f"unknown model {name!r}; {suggest(name, found)}"
        raise ApiError(404, message, param="model", code="model_not_found")
    return found[name]


async def cards(service: Service, owner: str) -> list[Json]:
    """What a client wants to know of each name before it asks; the base is everyone's."""
    chat, config = service.chat, service.config
    card = {
        "id": config.model_name,
        "object": "model",
        "created": service.started,
        "owned_by": "nanohydra",
        "context_length": chat.context_length,
        "tools": list(chat.tools),
        "defaults": {n: getattr(config, n) for n in ("temperature", "top_p", "top_k", "min_p")},
    }
    if service.learning is None:
        return [card]
    names = await known_models(service.learning.of(owner))
    card["learning"] = {"max_upload_bytes": config.max_upload_bytes}
    others = [{**card, "id": name, "parent": config.model_name} for name in names]
    return [card, *others]


async def known_models(learning: Learning) -> list[str]:
    """The names that `model` may have beside the served model's own."""
    aliases = await asyncio.to_thread(learning.aliases)
    versions = await asyncio.to_thread(learning.adapters)
    names = [str(alias["name"]) for alias in aliases]
    names += [f"{each['alias']}@{each['version']}" for each in versions if each["alias"]]
    return [BASE, AUTO, *names]
