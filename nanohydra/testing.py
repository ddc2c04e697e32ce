"""Fakes for tests, ours and yours: a chat model that answers by rule, without weights.

`FakeLearning`, which teaches it, is in testing_learning.py. Knows nothing of HTTP. The fake
keeps the contract of `nanohydra.chat.ChatModel`: what is refused is refused by the call, text
comes in pieces, tools really run, and a closed stream is aborted.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nanohydra.chat import (
    ChatEvent,
    ChatParams,
    Done,
    EngineStats,
    EngineStopped,
    Offer,
    QueueFull,
    TextDelta,
    Timings,
    ToolCalled,
    ToolReturned,
    Usage,
)
from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message, ToolCall
from nanohydra.testing_text import FakeText
from nanohydra.tools import Tool, load_tools, run_tool

SUM = re.compile(r"(\d+)\s*([-+*/])\s*(\d+)")
BOXES = re.compile(r"(\d+) boxes with (\d+) (\w+)")
NOTE = "From memory: "  # how FakeLearning frames what it remembers
WORDS = "amber birch cedar delta ember fjord grove harbour iris juniper".split()


@dataclass
class FakeEngine:
    """Counts what runs. Set `step_age` to play an engine that is stuck."""

    max_requests: int = 64
    step_age: float = 0.0
    running: int = 0
    aborted: int = 0
    finished: int = 0
    stopped: bool = False
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    def stats(self) -> EngineStats:
        """What runs, and no tokens."""
        return EngineStats(
            num_active=self.running,
            num_waiting=0,
            max_rows=self.max_requests,
            max_length=0,
            num_steps=0,
            prompt_tokens=0,
            generated_tokens=0,
            finished={"stop": self.finished, "abort": self.aborted},
            state_bytes=0,
            last_step_age=self.step_age,
        )

    def last_step_age(self) -> float:
        """Seconds since the engine last got on."""
        return self.step_age

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and cut off those under way."""
        self.stopped = True
        clean = self.running == 0
        self.cut.set()
        return clean

    def close(self) -> None:
        """As `drain`."""
        self.drain(0.0)


class FakeChat(FakeText):
    """Answers by rule: sums through the calculator, "say X" with X, "count to N", else an echo.

    replies: exact question -> answer, before the rules.
    delay_s: before each word, as a slow model would.
    With a temperature above 0 an echo ends with a word that the seed decides.
    """

    def __init__(
        self,
        replies: Mapping[str, str] | None = None,
        *,
        delay_s: float = 0.0,
        context_length: int = 2048,
        max_requests: int = 64,
    ) -> None:
        self.replies = dict(replies or {})
        self.delay_s = delay_s
        self.context_length = context_length
        self.tools: Mapping[str, Tool] = load_tools()
        self.engine = FakeEngine(max_requests=max_requests)
        self.seen: list[tuple[tuple[Message, ...], ChatParams]] = []
        self.adapters: dict[str, Callable[[str], str | None]] = {}  # what a version knows
        self.used: list[str | None] = []  # the adapter of each request

    def stream(
        self,
        messages: Sequence[Message],
        params: ChatParams | None = None,
        *,
        tools: Sequence[str] | None = None,
        offer: Offer | None = None,
        adapter: str | None = None,
    ) -> AsyncGenerator[ChatEvent]:
        """Answer a conversation; the last event is `Done`. Raises as ChatModel.stream does."""
        if adapter is not None and adapter not in self.adapters:
            raise UserError(f"no adapter {adapter!r} is loaded")
        if self.engine.stopped:
            raise EngineStopped("the engine is closed")
        if self.engine.running >= self.engine.max_requests:
            raise QueueFull("too many requests are under way already; try again later")
        if count_tokens(messages) >= self.context_length:
            raise UserError(f"the conversation does not fit into {self.context_length} tokens")
        self.seen.append((tuple(messages), params or ChatParams()))
        self.used.append(adapter)
        # Counted by the call, as ChatModel submits by the call.
        reply = FakeReply(self, messages, params or ChatParams(), adapter)
        return self._answer(reply, tools, Place(self.engine))

    async def begin(
        self,
        messages: Sequence[Message],
        params: ChatParams | None = None,
        *,
        n: int = 1,
        **rest: Any,
    ) -> list[AsyncGenerator[ChatEvent]]:
        """As `stream`, n answers; number i has seed + i."""
        params = params or ChatParams()
        await self.compile(params, rest.pop("offer", None))
        seeds = [None if params.seed is None else params.seed + index for index in range(n)]
        return [self.stream(messages, replace(params, seed=s), **rest) for s in seeds]

    async def _answer(
        self, reply: FakeReply, tools: Sequence[str] | None, place: Place
    ) -> AsyncGenerator[ChatEvent]:
        question = reply.question
        added: list[Message] = []
        with place:
            expression = expression_in(question) if tools is None or "calculator" in tools else None
            text = reply.learned() or self.replies.get(question)
            if text is None and expression is not None:
                call = ToolCall(
                    id="call_1", name="calculator", arguments={"expression": expression}
                )
                yield ToolCalled(call=call)
                result = await asyncio.to_thread(run_tool, call, self.tools)
                yield ToolReturned(call=call, result=result)
                added.append(Message(role="assistant", tool_calls=(call,)))
                added.append(Message(role="tool", content=result, tool_call_id=call.id))
                text = f"The answer is {result}."
            pieces = reply.pieces(rule(question, reply.params) if text is None else text)
            said = ""
            for piece in pieces:
                if not await reply.wait():
                    break
                said += piece
                yield TextDelta(text=piece)
            place.finished = True
        added.append(Message(role="assistant", content=said))
        yield reply.done(tuple(added), said)


class Place:
    """A request's place in the engine: taken when made, given back at the end or when dropped."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.finished = False
        self.open = True
        engine.running += 1

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the place back; a request that was not finished counts as aborted."""
        if self.open:
            self.open = False
            self.engine.running -= 1
            self.engine.finished += self.finished
            self.engine.aborted += not self.finished


class FakeReply:
    """How one answer is cut into pieces, and why it ended."""

    def __init__(
        self,
        chat: FakeChat,
        messages: Sequence[Message],
        params: ChatParams,
        adapter: str | None = None,
    ) -> None:
        self.chat = chat
        self.adapter = adapter
        self.messages = messages
        self.params = params
        users = [message.content for message in messages if message.role == "user"]
        self.question = users[-1] if users else ""
        self.reason: FinishReason = "stop"
        self.start = time.perf_counter()
        self.first: float | None = None

    def learned(self) -> str | None:
        """What the request's version knows, or else a note of the memory in the prompt."""
        knows = self.chat.adapters.get(self.adapter or "")
        notes = [m.content for m in self.messages if m.content.startswith(NOTE)]
        note = notes[-1].removeprefix(NOTE) if notes else None
        return (knows(self.question) if knows else None) or note

    def pieces(self, text: str) -> list[str]:
        """Words with the space before them, up to a stop string or the limit."""
        places = [text.find(stop) for stop in self.params.stop if stop in text]
        text = text[: min(places)] if places else text
        pieces = re.findall(r"\s*\S+\s*$|\s*\S+", text)
        if self.params.max_tokens and len(pieces) > self.params.max_tokens:
            pieces, self.reason = pieces[: self.params.max_tokens], "length"
        return pieces

    async def wait(self) -> bool:
        """Take the time of one word; False when the engine was cut off."""
        engine = self.chat.engine
        for _ in range(max(1, round(self.chat.delay_s / 0.01))):
            await asyncio.sleep(min(self.chat.delay_s, 0.01))
            if engine.stopped:
                self.reason = "abort"
                return False
        self.first = self.first or time.perf_counter()
        return True

    def done(self, added: tuple[Message, ...], said: str) -> Done:
        """The last event."""
        now = time.perf_counter()
        prompt, completion = count_tokens(self.messages), len(said.split())
        first = self.first or now
        return Done(
            finish_reason=self.reason,
            usage=Usage(
                prompt_tokens=prompt,
                completion_tokens=completion,
                context_tokens=prompt + completion,
                context_length=self.chat.context_length,
            ),
            timings=Timings(
                ttft_s=first - self.start,
                total_s=now - self.start,
                tokens_per_s=(completion - 1) / (now - first) if now > first else 0.0,
            ),
            messages=added,
        )


def count_tokens(messages: Sequence[Message]) -> int:
    """A fake's tokens: words, and one for the role."""
    return sum(1 + len(message.content.split()) for message in messages)


def expression_in(question: str) -> str | None:
    """The sum that a question asks for, if it does."""
    if found := SUM.search(question):
        return f"{found[1]} {found[2]} {found[3]}"
    if found := BOXES.search(question):
        return f"{found[1]} * {found[2]}"
    return None


def rule(question: str, params: ChatParams) -> str:
    """What the fake says to a question that is no sum."""
    if question.startswith("say "):
        return question.removeprefix("say ")
    if found := re.fullmatch(r"count to (\d+)", question):
        return " ".join(str(number) for number in range(1, int(found[1]) + 1))
    echo = f"You said: {question}"
    if params.temperature > 0 and params.seed is not None:
        return f"{echo} ({random.Random(params.seed).choice(WORDS)})"
    return echo


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition holds. Raises TimeoutError; generous, as the machine may be busy."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come true within {seconds:g} s")
        time.sleep(0.01)
