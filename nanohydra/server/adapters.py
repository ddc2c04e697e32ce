"""Versions over HTTP: what there is, which an alias means, and vLLM's two requests for LoRA.

Knows names and sets of versions; where they lie and how they are checked it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse

from nanohydra.core.errors import UserError
from nanohydra.server.errors import ApiError
from nanohydra.server.learning import Json, Learning, Taught, check_open
from nanohydra.server.lessons import Alias
from nanohydra.server.service import Here

router = APIRouter()
PLAIN: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}}
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Switch(BaseModel):
    """Body of POST /switch_adapter; an empty set lets the base answer."""

    model_config = ConfigDict(extra="forbid")
    alias: Alias = "default"
    versions: Annotated[list[Name], Field(max_length=64)]


class LoadLora(BaseModel):
    """Body of POST /v1/load_lora_adapter, as vLLM has it."""

    model_config = ConfigDict(extra="forbid")
    lora_name: Alias
    lora_path: Name


class UnloadLora(BaseModel):
    """Body of POST /v1/unload_lora_adapter, as vLLM has it."""

    model_config = ConfigDict(extra="forbid")
    lora_name: Name
    lora_int_id: int | None = None  # vLLM's clients may send it; names are enough here


@router.get("/adapters")
async def adapters(learning: Taught) -> Json:
    """The versions, and what each alias means."""
    versions = await asyncio.to_thread(learning.adapters)
    return {"data": versions, "aliases": await asyncio.to_thread(learning.aliases)}


@router.post("/switch_adapter")
async def switch(service: Here, learning: Taught, body: Switch) -> Json:
    """Let an alias mean these versions, from the next request on; running answers end as begun."""
    check_open(service)
    return await learning.switch(body.alias, body.versions)


@router.post("/adapters/{alias}/rollback")
async def rollback(service: Here, learning: Taught, alias: str) -> Json:
    """Let an alias mean what it meant before its last change."""
    check_open(service)
    async with known_aliases(learning, alias):
        return await learning.rollback(alias)


@router.post("/adapters/{alias}/consolidate", status_code=202)
async def consolidate(service: Here, learning: Taught, alias: str) -> Json:
    """Train one version in the place of an alias's many; they stay for a rollback."""
    check_open(service)
    async with known_aliases(learning, alias):
        return await learning.consolidate(alias)


@router.delete("/adapters/{version}")
async def remove(service: Here, learning: Taught, version: str) -> Json:
    """Delete a version that no alias uses."""
    check_open(service)
    try:
        return await learning.remove(version)
    except UserError as error:
        known = [each["version"] for each in await asyncio.to_thread(learning.adapters)]
        raise missing("version", version, known, error) from None


@router.post("/v1/load_lora_adapter", responses=PLAIN)
async def load(service: Here, learning: Taught, body: LoadLora) -> PlainTextResponse:
    """Take an adapter from a folder on the server's machine; `model` may then name it."""
    check_open(service)
    if body.lora_name == service.config.model_name:
        message = f"lora_name {body.lora_name!r} is the name of the model itself; choose another"
        raise ApiError(400, message, param="lora_name", code="invalid_value")
    await learning.load(body.lora_path, body.lora_name)
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter", responses=PLAIN)
async def unload(learning: Taught, body: UnloadLora) -> PlainTextResponse:
    """Let a loaded adapter go; answers that run on it are finished first."""
    try:
        await learning.unload(body.lora_name)
    except UserError as error:
        raise ApiError(404, str(error), param="lora_name", code="adapter_not_found") from None
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


@contextlib.asynccontextmanager
async def known_aliases(learning: Learning, alias: str) -> AsyncIterator[None]:
    """What is refused within becomes an ApiError, which says whether the alias is known."""
    try:
        yield
    except UserError as error:
        known = [each["name"] for each in await asyncio.to_thread(learning.aliases)]
        raise missing("alias", alias, known, error) from None


def missing(what: str, name: str, known: Sequence[str], error: UserError) -> ApiError:
    """A refusal, as 404 where the name is not known at all."""
    if any(each.startswith(name) for each in known):
        return ApiError(400, str(error), param=what, code="invalid_value")
    return ApiError(404, str(error), param=what, code=f"{what}_not_found")
