"""POST /v1/completions: texts that the model goes on with, as the OpenAI API has it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from starlette.responses import JSONResponse, Response

from nanohydra.chat import Done, TextDelta, Token
from nanohydra.server import sampling, wire
from nanohydra.server.answering import pinned_adapter
from nanohydra.server.choices import Item, answers, merge
from nanohydra.server.completions import queueing, refuse_failed
from nanohydra.server.config import ServerConfig
from nanohydra.server.disconnect import EventStream, unless_gone
from nanohydra.server.errors import STREAMED, ApiError
from nanohydra.server.inputs import Inputs, read_inputs
from nanohydra.server.probabilities import text_logprobs
from nanohydra.server.sampling import MAX_TOP, SamplingFields
from nanohydra.server.service import ChatLike, Here, Owner

logger = logging.getLogger("nanohydra.server")
router = APIRouter()
DEFAULT_TOKENS = 16  # as OpenAI's API has it


class TextRequest(SamplingFields):
    """The body of POST /v1/completions."""

    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        **sampling.NEUTRAL,
        "add_special_tokens": (None, True),
        "response_format": (None, {"type": "text"}),
        "suffix": (None, ""),
    }

    prompt: Inputs
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = DEFAULT_TOKENS
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def check_length(self) -> TextRequest:
        """Without an answer there is only the prompt to give."""
        if self.max_tokens == 0 and not self.echo:
            message = "max_tokens: 0 makes sense with echo alone"
            raise ApiError(400, message, param="max_tokens", code="invalid_value")
        if self.echo and self.logprobs is not None and self.stream:
            message = "echo: the prompt's probabilities come in one piece; leave out stream"
            raise ApiError(400, message, param="stream", code="unsupported_value")
        if self.best_of is not None and self.best_of < (self.n or 1):
            message = f"best_of: at least n, which is {self.n}, not {self.best_of}"
            raise ApiError(400, message, param="best_of", code="invalid_value")
        if self.num_written > (self.n or 1) and self.stream:
            message = "best_of: which are the best is known at the end alone; leave out stream"
            raise ApiError(400, message, param="best_of", code="unsupported_value")
        return self

    @property
    def num_written(self) -> int:
        """Continuations of each prompt, of which the likeliest n are given."""
        return 1 if self.max_tokens == 0 else self.best_of or self.n or 1

    def num_tokens(self, config: ServerConfig) -> int:
        """As many as asked for; null is what the context leaves."""
        return self.max_tokens or config.max_tokens


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt: its ids, and its text where it is echoed, with the tokens' probabilities."""

    ids: tuple[int, ...]
    text: str = ""
    tokens: tuple[Token, ...] = ()


@router.post("/v1/completions", responses=STREAMED)
async def complete(body: TextRequest, request: Request, service: Here, owner: Owner) -> Response:
    """Go on with texts, streaming or in one piece."""
    config = service.config
    chat = service.admit()
    adapter = await pinned_adapter(service, owner, body.model)
    prompts = await read_prompts(body, config, chat, adapter)
    streams = await submit(chat, body, config, owner, prompts, adapter)
    items = merge(streams)
    reply = TextWire(config.model_name, body, prompts)
    if body.stream:
        pieces = frames(items, reply, partial(service.account, request.state.log))
        return EventStream(pieces, config.stall_seconds, config.ping_seconds)
    found = await unless_gone(request.receive, answers(items))
    service.account(request.state.log, found)
    for done in found:
        refuse_failed(done)
    return JSONResponse(reply.completion(found))


async def read_prompts(
    body: TextRequest, config: ServerConfig, chat: ChatLike, adapter: str | None
) -> list[Prompt]:
    """The prompts as ids. Raises ApiError for too many of them."""
    found = await read_inputs(body.prompt, chat, config, "prompt")
    count = max(body.num_written, body.n or 1)
    if count * len(found) > config.max_choices:
        param = "best_of" if body.best_of else "n" if body.n else "prompt"
        message = (
            f"{param}: at most {config.max_choices} choices in all, not {count} of each prompt"
        )
        raise ApiError(400, message, param=param, code="invalid_value")
    scores = body.echo and body.logprobs is not None
    prompts = []
    for ids in found:
        text = await asyncio.to_thread(chat.decode, ids) if body.echo else ""
        tokens = await chat.score(ids, body.logprobs or 0, adapter=adapter) if scores else []
        prompts.append(Prompt(ids=tuple(ids), text=text, tokens=tuple(tokens)))
    return prompts


async def submit(
    chat: ChatLike,
    body: TextRequest,
    config: ServerConfig,
    owner: str,
    prompts: Sequence[Prompt],
    adapter: str | None,
) -> list[AsyncGenerator[Any]]:
    """Queue one continuation for each choice of each prompt: all of them, or none."""
    if body.max_tokens == 0:
        return [nothing(chat, prompt) for prompt in prompts for _ in range(body.n or 1)]
    params = body.params(config, chat.vocab_size, owner=owner, top_logprobs=body.logprobs)
    await chat.compile(params)
    n = body.num_written
    with queueing(config):
        queued = [chat.complete(each.ids, params, n=n, adapter=adapter) for each in prompts]
    return [stream for streams in queued for stream in streams]


async def nothing(chat: ChatLike, prompt: Prompt) -> AsyncGenerator[Done]:
    """An answer of no tokens, for those who want the prompt rated alone."""
    yield wire.empty(len(prompt.ids), chat.context_length)


class TextWire:
    """The pieces of one reply."""

    def __init__(self, model: str, body: TextRequest, prompts: Sequence[Prompt]) -> None:
        self.body, self.prompts = body, prompts
        self.num_each = body.n or 1
        self.offsets = [len(self.prompt(n).text) for n in range(len(prompts) * self.num_each)]
        options = body.stream_options
        self.usage = options is not None and options.include_usage
        self.running = options is not None and options.continuous_usage_stats
        self.head: wire.Json = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._texts: dict[int, wire.TextFrames] = {}

    def prompt(self, index: int) -> Prompt:
        """The prompt of a choice."""
        return self.prompts[index // self.num_each]

    def choice(
        self, index: int, text: str, tokens: Sequence[Token], offset: int, reason: str | None = None
    ) -> wire.Json:
        """A choice, or a piece of one."""
        wanted = self.body.logprobs is not None
        return {
            "index": index,
            "text": text,
            "logprobs": text_logprobs(tokens, offset) if wanted else None,
            "finish_reason": reason,
        }

    def chunk(self, choices: list[wire.Json]) -> wire.Json:
        """A piece of a streamed reply."""
        value = {**self.head, "choices": choices}
        return {**value, "usage": None} if self.usage or self.running else value

    def begin(self, index: int) -> wire.Json:
        """The echoed prompt of a choice."""
        return self.chunk([self.choice(index, self.prompt(index).text, (), 0)])

    def text(self, index: int, delta: TextDelta) -> bytes:
        """The frame of `piece` for more text."""
        if self.running or self.body.logprobs is not None:
            return wire.frame(self.piece(index, delta))
        frames = self._texts.get(index)
        if frames is None:
            empty = self.chunk([self.choice(index, wire.PLACE, (), 0)])
            frames = self._texts[index] = wire.TextFrames(empty)
        return frames.of(delta.text)

    def piece(self, index: int, event: TextDelta | Done) -> wire.Json:
        """What the client gets for an event."""
        used = event.usage if isinstance(event, Done) else event
        if isinstance(event, Done):
            value = self.chunk([self.choice(index, "", (), 0, event.finish_reason)])
        else:
            offset, self.offsets[index] = self.offsets[index], self.offsets[index] + len(event.text)
            value = self.chunk([self.choice(index, event.text, event.tokens, offset)])
        if self.running:
            value["usage"] = wire.count_json(used.prompt_tokens, used.completion_tokens)
        return value

    def usage_json(self, found: Sequence[Done]) -> wire.Json:
        """Tokens of all choices; each prompt counts once."""
        prompt = sum(len(prompt.ids) for prompt in self.prompts)
        completion = sum(done.usage.completion_tokens for done in found)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def completion(self, found: Sequence[Done]) -> wire.Json:
        """A reply in one piece: of each prompt's continuations the likeliest."""
        choices: list[wire.Json] = []
        each = len(found) // len(self.prompts)
        groups = [found[start : start + each] for start in range(0, len(found), each)]
        best = [done for group in groups for done in likeliest(group, self.num_each)]
        for index, done in enumerate(best):
            prompt = self.prompt(index)
            text = prompt.text + wire.content_of(done.messages)
            tokens = (*prompt.tokens, *done.tokens)
            offset = 0 if prompt.tokens else len(prompt.text)
            choices.append(self.choice(index, text, tokens, offset, done.finish_reason))
        return {**self.head, "choices": choices, "usage": self.usage_json(found)}


def likeliest(found: Sequence[Done], count: int) -> Sequence[Done]:
    """So many of the continuations of a prompt, those with the highest sum of logprobs first."""
    if len(found) <= count:
        return found
    return sorted(found, key=lambda done: done.logprob, reverse=True)[:count]


async def frames(
    items: AsyncGenerator[Item], reply: TextWire, account: Callable[[Sequence[Done]], None]
) -> AsyncGenerator[bytes]:
    """A streamed reply as server-sent events; the answers that ended go to `account`."""
    found: list[Done] = []
    num_choices, held = len(reply.offsets), b""
    try:
        if reply.body.echo:
            yield b"".join(wire.frame(reply.begin(index)) for index in range(num_choices))
        async for index, event in items:
            assert isinstance(event, TextDelta | Done)
            if isinstance(event, TextDelta):
                yield reply.text(index, event)
                continue
            if isinstance(event, Done):
                found.append(event)
                refuse_failed(event)
            held += wire.frame(reply.piece(index, event))
            if len(found) < num_choices:
                yield held
                held = b""
        if reply.usage:
            held += wire.frame({**reply.head, "choices": [], "usage": reply.usage_json(found)})
        yield held + wire.DONE_FRAME
    except ApiError as error:
        yield wire.frame(error.body())
    except Exception:
        logger.exception("an answer failed")
        yield wire.frame(ApiError(500, "the answer failed; see the server's log").body())
    finally:
        account(found)
        await items.aclose()
