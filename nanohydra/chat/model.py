"""A model to talk to: messages in, a stream of text, tool calls and results out.

Knows nothing of HTTP, terminals or where conversations are kept.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nanohydra.chat.branches import Branch, branches
from nanohydra.chat.clock import Clock
from nanohydra.chat.continuation import Continuation
from nanohydra.chat.events import (
    ChatEvent,
    ChatParams,
    Done,
    TextDelta,
    Token,
    ToolCalled,
    ToolReturned,
)
from nanohydra.chat.offer import Offer
from nanohydra.chat.reply import Reply, Round, offered
from nanohydra.chat.scoring import embed, score
from nanohydra.chat.trail import token_of
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message
from nanohydra.engine import EngineStopped, EngineThread, EventStream, Hold, Request
from nanohydra.tokenizer import ChatTool
from nanohydra.tools import Tool, load_tools, run_tool

LONG_TEXT = 20_000  # characters; laying out and encoding fewer takes a few milliseconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A reply that could begin now: what it asks first, and the tools that it may run."""

    reply: Reply
    first: Round
    tools: Mapping[str, Tool]
    clock: Clock


class ChatModel:
    """A loaded model with its engine thread and tools; many replies may be streamed at once.

    tools: what the model may call; None = every tool of the table.
    """

    def __init__(
        self,
        loaded: Loaded,
        engine: EngineThread,
        tools: Mapping[str, Tool] | None = None,
    ) -> None:
        self.loaded = loaded
        self.tokenizer = loaded.tokenizer
        self.engine = engine
        self.tools = load_tools() if tools is None else dict(tools)
        self._numbers = itertools.count()

    @property
    def vocab_size(self) -> int:
        """Ids that stand for something."""
        return self.tokenizer.vocab_size

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer have together."""
        return self.engine.engine.max_length

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation as the model reads it."""
        return len(self.tokenizer.chat.prompt(messages))

    def stream(
        self,
        messages: Sequence[Message],
        params: ChatParams | None = None,
        *,
        tools: Sequence[str] | None = None,
        offer: Offer | None = None,
        adapter: str | None = None,
    ) -> AsyncGenerator[ChatEvent]:
        """Answer a conversation; the last event is `Done`. Call it from the reader's event loop.

        tools: names of those that the model may call now; None = all it has, if it knows them by
            itself, and none for a model that has to be told of each in its prompt.
        offer: tools that the caller runs, instead of the model's; a reply ends with its calls.
        adapter: id of a loaded adapter, which writes the whole reply; None = the model itself.
        The request is queued by the call itself, so that what is refused is refused here: raises
        UserError for a conversation, tool or adapter that cannot work, QueueFull, EngineStopped.
        Closing the generator, or dropping it, aborts the request within one step.
        """
        plan = self._plan(messages, params or ChatParams(), tools, offer)
        (stream,) = self._start(plan, 1, adapter)
        return stream

    async def begin(
        self,
        messages: Sequence[Message],
        params: ChatParams | None = None,
        *,
        n: int = 1,
        tools: Sequence[str] | None = None,
        offer: Offer | None = None,
        adapter: str | None = None,
    ) -> list[AsyncGenerator[ChatEvent]]:
        """As `stream`, n answers that share the reading of the prompt: number i has seed + i.

        A long conversation or a grammar is made ready in a thread, so that the loop goes on.
        """
        params = params or ChatParams()
        await self.compile(params, offer)
        plan = partial(self._plan, messages, params, tools, offer)
        long = sum(len(message.content) for message in messages) > LONG_TEXT
        return self._start(await asyncio.to_thread(plan) if long else plan(), n, adapter)

    async def compile(self, params: ChatParams, offer: Offer | None = None) -> None:
        """Make a grammar ready in a thread: a large one would hold up the event loop.

        Raises UserError for one that cannot be used, and as `stream` for the offer.
        """
        if offer is not None:
            params = offer.apply(params, self.tokenizer.chat)
        if params.grammar is not None:
            sampling = params.sampling(max_tokens=1 << 30, stop_ids=(), round_number=0)
            await asyncio.to_thread(self.engine.engine.sampler.check, sampling)

    def complete(
        self,
        prompt_ids: Sequence[int],
        params: ChatParams,
        *,
        n: int = 1,
        adapter: str | None = None,
    ) -> list[AsyncGenerator[TextDelta | Done]]:
        """Go on with a text instead of a conversation. As `streams`, with one round, no tools."""
        texts = [
            Continuation(self.tokenizer, prompt_ids, params, self.context_length) for _ in range(n)
        ]
        events = branches(self._submit(texts[0].round, params, adapter, n=n), n)
        pairs = zip(texts, events, strict=True)
        return [text.run(stream, Clock(), adapter) for text, stream in pairs]

    async def answer(
        self,
        messages: Sequence[Message],
        params: ChatParams | None = None,
        *,
        tools: Sequence[str] | None = None,
        adapter: str | None = None,
    ) -> Done:
        """As `stream`, for callers who want the end alone."""
        last: ChatEvent | None = None
        async for event in self.stream(messages, params, tools=tools, adapter=adapter):
            last = event
        assert isinstance(last, Done)
        return last

    def encode(self, text: str) -> list[int]:
        """Ids of a text as the model expects it, with what stands before every text."""
        return [*self.tokenizer.prefix_ids, *self.tokenizer.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; what stands before every text is none. Raises UserError out of range."""
        return self.tokenizer.decode(ids)

    def token(self, id: int) -> bytes:
        """The bytes of one id; a marker gives its name. Raises UserError out of range."""
        return self.tokenizer.token(id)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ChatTool] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Ids of a conversation as the model reads it."""
        return self.tokenizer.chat.render(
            messages, tools=tools, add_generation_prompt=add_generation_prompt
        ).ids

    async def embed(self, ids: Sequence[int], *, adapter: str | None = None) -> list[float]:
        """The mean of the model's final hidden states over a text, of length 1.

        Raises UserError for a text that does not fit into the context and for an adapter that is
        not loaded, and EngineStopped.
        """
        return await embed(self.engine, ids, self.context_length, adapter)

    async def score(
        self, ids: Sequence[int], top: int = 0, *, adapter: str | None = None
    ) -> list[Token]:
        """Each token of a text with its probability after those before it; NaN for the first.

        top: how many of the likeliest come along. Raises as `embed` does.
        """
        found = await score(self.engine, ids, self.context_length, top, adapter)
        return [token_of(self.tokenizer, event) for event in found]

    def _plan(
        self,
        messages: Sequence[Message],
        params: ChatParams,
        tools: Sequence[str] | None,
        offer: Offer | None,
    ) -> Plan:
        """Everything about a reply that needs no engine; from any thread."""
        clock = Clock()
        if offer is not None:
            params = offer.apply(params, self.tokenizer.chat)
        allowed = {} if offer is not None else self._choose(tools)
        listed = offered(self.tokenizer, allowed.values())
        length = self.context_length
        reply = Reply(self.tokenizer, messages, params, length, listed, offer)
        first = reply.next_round()
        assert first is not None, "only later rounds can run out of room"
        return Plan(reply=reply, first=first, tools=allowed, clock=clock)

    def _start(self, plan: Plan, n: int, adapter: str | None) -> list[AsyncGenerator[ChatEvent]]:
        """Queue n replies as planned."""
        hold = self.engine.hold(adapter)  # while they are made
        events = branches(self._submit(plan.first, plan.reply.params, adapter, n=n), n)
        replies = [plan.reply, *(plan.reply.branch(index) for index in range(1, n))]
        running = [
            # Between the rounds of a reply, nothing else would keep its adapter loaded.
            self._run(each, plan.tools, plan.clock.copy(), stream, adapter, self._held(adapter))
            for each, stream in zip(replies, events, strict=True)
        ]
        hold.close()
        return running

    def _held(self, adapter: str | None) -> Hold:
        return self.engine.hold(adapter, held=True)

    def _choose(self, names: Sequence[str] | None) -> dict[str, Tool]:
        if names is None:
            return {} if self.tokenizer.chat.offers_tools else self.tools
        for name in names:
            if name not in self.tools:
                raise UserError(f"unknown tool {name!r}; {suggest(name, self.tools)}")
        return {name: self.tools[name] for name in names}

    def _submit(
        self,
        round: Round,
        params: ChatParams,
        adapter: str | None,
        *,
        n: int = 1,
        goes_on: bool = False,
    ) -> EventStream:
        request = Request(
            id=f"chat-{next(self._numbers)}",
            prompt_ids=round.prompt_ids,
            params=round.params,
            adapter=adapter,
            priority=params.priority,
            salt=params.salt,
            n=n,
        )
        return self.engine.submit(request, goes_on=goes_on)

    async def _run(
        self,
        reply: Reply,
        tools: Mapping[str, Tool],
        clock: Clock,
        events: EventStream | Branch,
        adapter: str | None,
        hold: Hold,
    ) -> AsyncGenerator[ChatEvent]:
        """The rounds of a reply, from the events of its first; it keeps its adapter to the end."""
        try:
            while True:
                reader = reply.reader()
                while reader.finish_reason is None:
                    batch = await events.take()
                    clock.tick(batch)
                    for event in reader.read(batch):
                        yield event
                clock.end_round()
                events.close()  # a stop string ends the round before the engine knows
                for call in reply.end_round(reader):
                    yield ToolCalled(call=call)
                    result = await asyncio.to_thread(run_tool, call, tools)
                    reply.add_result(call, result)
                    yield ToolReturned(call=call, result=result)
                following = None if reply.finish_reason else reply.next_round()
                if following is None:
                    break
                events = self._submit(following, reply.params, adapter, goes_on=True)
        except EngineStopped as error:
            reply.finish("abort", str(error))
        finally:
            events.close()
            hold.close()
        yield reply.done(clock, adapter)
