"""POST /tokenize and /detokenize, in vLLM's shapes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nanohydra.core.errors import UserError
from nanohydra.server.answering import base_only
from nanohydra.server.errors import ApiError
from nanohydra.server.probabilities import text_of
from nanohydra.server.sampling import TokenId
from nanohydra.server.schema import MAX_TOOLS, ChatMessage, FunctionTool
from nanohydra.server.service import ChatLike, Here

router = APIRouter()


class TokenizeRequest(BaseModel):
    """The body of POST /tokenize: a text, or a conversation."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    add_special_tokens: Literal[True] | None = None  # as the model reads texts
    add_generation_prompt: bool = True
    continue_final_message: Literal[False] = False
    return_token_strs: bool = False

    @model_validator(mode="after")
    def check_one(self) -> TokenizeRequest:
        """A text or a conversation, not both."""
        if (self.prompt is None) == (self.messages is None):
            message = "give either a prompt or messages"
            raise ApiError(400, message, param="prompt", code="invalid_value")
        return self


class Tokens(BaseModel):
    """The reply of POST /tokenize."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(BaseModel):
    """The body of POST /detokenize."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    tokens: list[TokenId]


class Text(BaseModel):
    """The reply of POST /detokenize."""

    prompt: str


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, service: Here) -> Tokens:
    """The ids of a text as a completion reads it, or of a conversation as a chat does."""
    base_only(service, body.model)
    chat = service.chat
    ids = await asyncio.to_thread(encode, chat, body)
    strs = [text_of(chat.token(id)) for id in ids] if body.return_token_strs else None
    return Tokens(count=len(ids), max_model_len=chat.context_length, tokens=ids, token_strs=strs)


def encode(chat: ChatLike, body: TokenizeRequest) -> list[int]:
    """The ids that a request asks for."""
    if body.messages is None:
        return chat.encode(body.prompt or "")
    tools: list[dict[str, Any]] = [tool.to_tool() for tool in body.tools or ()]
    messages = [message.to_message() for message in body.messages]
    return chat.render(messages, tools=tools, add_generation_prompt=body.add_generation_prompt)


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, service: Here) -> Text:
    """The text of ids."""
    base_only(service, body.model)
    try:
        return Text(prompt=await asyncio.to_thread(service.chat.decode, body.tokens))
    except UserError as error:
        raise ApiError(400, f"tokens: {error}", param="tokens", code="invalid_value") from None
