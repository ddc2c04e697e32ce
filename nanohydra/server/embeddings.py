"""POST /v1/embeddings: the mean of the model's final hidden states, as the OpenAI API has it."""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from nanohydra.server.answering import pinned_adapter
from nanohydra.server.completions import queueing
from nanohydra.server.disconnect import unless_gone
from nanohydra.server.errors import ApiError
from nanohydra.server.inputs import Inputs, read_inputs
from nanohydra.server.service import ChatLike, Here, Owner

router = APIRouter()


class EmbeddingRequest(BaseModel):
    """The body of POST /v1/embeddings."""

    model_config = ConfigDict(extra="forbid")
    input: Inputs
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    user: str | None = None


@router.post("/v1/embeddings")
async def embeddings(
    body: EmbeddingRequest, request: Request, service: Here, owner: Owner
) -> JSONResponse:
    """A vector of length 1 for each text; running answers go on in between."""
    chat = service.admit()
    adapter = await pinned_adapter(service, owner, body.model)
    found = await read_inputs(body.input, chat, service.config, "input")

    async def embed() -> list[list[float]]:
        with queueing(service.config):
            return [await checked(chat, ids, adapter, body.dimensions) for ids in found]

    vectors = await unless_gone(request.receive, embed())
    count = sum(map(len, found))
    data = [
        {"object": "embedding", "index": index, "embedding": coded(vector, body.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    return JSONResponse(
        {
            "object": "list",
            "data": data,
            "model": service.config.model_name,
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }
    )


async def checked(
    chat: ChatLike, ids: Any, adapter: str | None, dimensions: int | None
) -> list[float]:
    """The vector of a text. It cannot be shortened: its dimensions are in no order."""
    vector = await chat.embed(ids, adapter=adapter)
    if dimensions not in (None, len(vector)):
        message = f"dimensions: this model's embeddings have {len(vector)}, not {dimensions}"
        raise ApiError(400, message, param="dimensions", code="unsupported_value")
    return vector


def coded(vector: list[float], encoding: str) -> list[float] | str:
    """A vector as JSON numbers, or as little-endian float32 in base64."""
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
