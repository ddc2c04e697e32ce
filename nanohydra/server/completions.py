"""POST /v1/chat/completions, as the OpenAI API has it.

The engine's own thread writes the answers; the event loop only waits for them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from nanohydra.chat import (
    CallDelta,
    ChatEvent,
    Done,
    EngineStopped,
    QueueFull,
    TextDelta,
    ToolCalled,
)
from nanohydra.core.errors import UserError
from nanohydra.server import wire
from nanohydra.server.answering import Way, choose
from nanohydra.server.choices import Item, answers, merge
from nanohydra.server.config import ServerConfig
from nanohydra.server.disconnect import EventStream, unless_gone
from nanohydra.server.errors import STREAMED, ApiError
from nanohydra.server.functions import chosen_tools
from nanohydra.server.recorder import Recorder, record, watch
from nanohydra.server.sampling import StreamOptions
from nanohydra.server.schema import ChatRequest
from nanohydra.server.service import ChatLike, Here, Owner

logger = logging.getLogger("nanohydra.server")
router = APIRouter()


@router.post("/v1/chat/completions", responses=STREAMED)
async def complete(body: ChatRequest, request: Request, service: Here, owner: Owner) -> Response:
    """Answer a conversation, streaming or in one piece."""
    config = service.config
    check(body, config)
    chat = service.admit()
    way = await choose(service, owner, body)
    recorder = None
    if body.conversation_id is not None:
        # Before the queue may refuse it: what was asked is kept in any case.
        messages = body.to_messages()
        recorder = await record(service, owner, body.conversation_id, messages, way.origin)
    items = merge(await submit(chat, body, config, way))
    if recorder is not None:
        items = watch(items, recorder)
    log = request.state.log
    reply = reply_to(body, config, way)
    if body.stream:
        account = partial(service.account, log)
        pieces = frames(items, reply, body.n or 1, account, recorder)
        return EventStream(pieces, config.stall_seconds, config.ping_seconds)
    found = await unless_gone(request.receive, answers(items))
    service.account(log, found)
    for done in found:
        refuse_failed(done)
    completion = reply.completion(found)
    if recorder is not None:
        completion["nanohydra"]["choices"][0]["saved"] = not recorder.failed
    return JSONResponse(completion)


def reply_to(body: ChatRequest, config: ServerConfig, way: Way) -> wire.Wire:
    """The shape of the reply that a request asks for."""
    options = body.stream_options or StreamOptions()
    return wire.Wire(
        config.model_name,
        usage=options.include_usage,
        running=options.continuous_usage_stats,
        logprobs=bool(body.logprobs),
        origin=way.origin,
    )


def check(body: ChatRequest, config: ServerConfig) -> None:
    """Refuse what this server does not serve, whatever the model could do."""
    if len(body.messages) > config.max_messages:
        message = f"messages: at most {config.max_messages}, not {len(body.messages)}"
        raise ApiError(400, message, param="messages", code="invalid_value")
    if (body.n or 1) > config.max_choices:
        message = f"n: at most {config.max_choices}, not {body.n}"
        raise ApiError(400, message, param="n", code="invalid_value")


async def submit(
    chat: ChatLike, body: ChatRequest, config: ServerConfig, way: Way
) -> list[AsyncGenerator[ChatEvent]]:
    """Queue one answer for each choice: all of them, or none."""
    tools = chosen_tools(body, chat)
    top = body.top_logprobs or 0 if body.logprobs else None
    params = body.params(config, chat.vocab_size, owner=way.owner, top_logprobs=top)
    try:
        with queueing(config):
            return await chat.begin(
                way.messages, params, n=body.n or 1,
                tools=tools.names, offer=tools.offer, adapter=way.adapter,
            )  # fmt: skip
    except UserError as error:
        if tools.offer is None:
            raise
        raise ApiError(400, str(error), param="tools", code="unsupported_value") from None


@contextlib.contextmanager
def queueing(config: ServerConfig) -> Iterator[None]:
    """What the engine refuses within becomes an ApiError.

    The streams made so far go with it, and a dropped stream aborts its request.
    """
    try:
        yield
    except QueueFull as error:
        retry = {"retry-after": str(config.retry_seconds)}
        raise ApiError(429, str(error), code="queue_full", headers=retry) from None
    except EngineStopped as error:
        raise ApiError(503, str(error), code="engine_stopped") from None


async def frames(
    items: AsyncGenerator[Item],
    reply: wire.Wire,
    num_choices: int,
    account: Callable[[Sequence[Done]], None],
    recorder: Recorder | None = None,
) -> AsyncGenerator[bytes]:
    """A streamed reply as server-sent events; the answers that ended go to `account`.

    The recorder has seen each event already. What belongs together is sent together.
    """
    found: list[Done] = []
    begun, held = False, b""
    try:
        async for index, event in items:
            if not begun:
                begun, held = True, reply.begin(num_choices, event)
            reply.count(index, event)
            if isinstance(event, TextDelta) and not event.tokens:
                yield held + reply.text(index, event.text)
                held = b""
                continue
            if isinstance(event, Done):
                found.append(event)
                refuse_failed(event)
            chunk = chunk_of(reply, index, event)
            if isinstance(event, Done) and index == 0 and recorder is not None:
                chunk["nanohydra"]["saved"] = not recorder.failed
            held += wire.frame(chunk)
            if len(found) < num_choices:
                yield held
                held = b""
        if reply.usage:
            held += wire.frame(reply.usage_chunk([done.usage for done in found]))
        yield held + wire.DONE_FRAME
    except ApiError as error:
        yield wire.frame(error.body())
    except Exception:
        logger.exception("an answer failed")
        yield wire.frame(ApiError(500, "the answer failed; see the server's log").body())
    finally:
        account(found)
        await items.aclose()


def chunk_of(reply: wire.Wire, index: int, event: ChatEvent) -> wire.Json:
    """What the client gets for an event."""
    if isinstance(event, TextDelta):
        return reply.chunk(index, {"content": event.text}, tokens=event.tokens)
    if isinstance(event, CallDelta):
        return reply.chunk(index, {"tool_calls": [wire.delta_json(event)]})
    if isinstance(event, ToolCalled):
        return reply.chunk(index, {}, nanohydra={"tool_call": wire.call_json(event.call)})
    if isinstance(event, Done):
        about = {**reply.origin, **wire.extra(event)}
        return reply.chunk(index, {}, finish_reason=event.finish_reason, nanohydra=about)
    result = {"tool_call_id": event.call.id, "name": event.call.name, "content": event.result}
    return reply.chunk(index, {}, nanohydra={"tool_result": result})


def refuse_failed(done: Done) -> None:
    """Raise ApiError for an answer that its reader must not take for a whole one."""
    if done.finish_reason == "error":
        logger.error("an answer failed: %s", done.note)
        raise ApiError(500, "the model failed on this answer; see the server's log")
    if done.finish_reason == "abort":
        raise ApiError(503, "the server is shutting down", code="draining")
