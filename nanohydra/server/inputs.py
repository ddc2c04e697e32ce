"""Texts that clients send as text or as token ids, alone or in lists."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, cast

from pydantic import Field

from nanohydra.server.config import ServerConfig
from nanohydra.server.errors import ApiError
from nanohydra.server.sampling import TokenId
from nanohydra.server.service import ChatLike

Ids = Annotated[list[TokenId], Field(min_length=1)]
Inputs = (
    str
    | Annotated[list[str], Field(min_length=1)]
    | Ids
    | Annotated[list[Ids], Field(min_length=1)]
)


async def read_inputs(
    given: Inputs, chat: ChatLike, config: ServerConfig, param: str
) -> list[Sequence[int]]:
    """Ids of each text, encoded beside the event loop. Raises ApiError that names `param`."""
    alone = isinstance(given, str) or isinstance(given[0], int)
    texts = cast("list[str | list[int]]", [given] if alone else given)
    if len(texts) > config.max_inputs:
        message = f"{param}: at most {config.max_inputs} at once, not {len(texts)}"
        raise ApiError(400, message, param=param, code="invalid_value")

    def encode() -> list[Sequence[int]]:
        return [chat.encode(text) if isinstance(text, str) else text for text in texts]

    found = await asyncio.to_thread(encode)
    for ids in found:
        check_ids(ids, chat, param)
    return found


def check_ids(ids: Sequence[int], chat: ChatLike, param: str) -> None:
    """Raise ApiError for a text without tokens, with too many, or with tokens that are none."""
    problem = ""
    if not ids:
        problem = "a text is empty; it needs at least one token"
    elif len(ids) >= chat.context_length:
        problem = (
            f"a text takes {len(ids)} tokens, but the context holds {chat.context_length} "
            "with an answer; shorten it"
        )
    elif max(ids) >= chat.vocab_size:
        problem = f"token id {max(ids)} is outside the vocabulary of {chat.vocab_size}"
    if problem:
        raise ApiError(400, f"{param}: {problem}", param=param, code="invalid_value")
