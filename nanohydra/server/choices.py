"""Several answers to one request, written side by side and read as one stream of events.

Knows the chat's events, nothing of HTTP or of the wire format.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace

from nanohydra.chat import ChatEvent, Done, TextDelta, ToolCalled, ToolReturned
from nanohydra.core.types import Message
from nanohydra.server.disconnect import end

BUFFER = 64  # events that wait for a slow reader, before the chat's own queue has to hold them
Item = tuple[int, ChatEvent]


def merge(streams: Sequence[AsyncGenerator[ChatEvent]]) -> AsyncGenerator[Item]:
    """Events with the number of their stream, as they come.

    Closing the generator closes all streams, which aborts their requests. The first failure of
    a stream is raised here, and ends the others.
    """
    return number(streams[0]) if len(streams) == 1 else interleave(streams)


async def number(stream: AsyncGenerator[ChatEvent]) -> AsyncGenerator[Item]:
    """One stream needs no task and no queue of its own, which cost more than its events."""
    try:
        async for event in stream:
            yield 0, event
    finally:
        await stream.aclose()


async def interleave(streams: Sequence[AsyncGenerator[ChatEvent]]) -> AsyncGenerator[Item]:
    """Several streams, each read by a task of its own."""
    queue: asyncio.Queue[Item | BaseException | None] = asyncio.Queue(BUFFER)

    async def pump(index: int, stream: AsyncGenerator[ChatEvent]) -> None:
        try:
            async for event in stream:
                await queue.put((index, event))
            await queue.put(None)
        except Exception as error:
            await queue.put(error)
        finally:
            await stream.aclose()

    tasks = [asyncio.ensure_future(pump(i, stream)) for i, stream in enumerate(streams)]
    open_streams = len(tasks)
    try:
        while open_streams:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                open_streams -= 1
            else:
                yield item
    finally:
        await end(*tasks)


class Draft:
    """The messages of an answer while it grows; exact once its end has come."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.done: Done | None = None

    def take(self, event: ChatEvent) -> None:
        """Add what an event brought."""
        if isinstance(event, TextDelta):
            said = self.turn(after_calls=False)
            self.messages[-1] = Message(role="assistant", content=said.content + event.text)
        elif isinstance(event, ToolCalled):
            said = self.turn(after_calls=True)
            calls = (*said.tool_calls, event.call)
            self.messages[-1] = Message(role="assistant", content=said.content, tool_calls=calls)
        elif isinstance(event, ToolReturned):
            call_id = event.call.id
            result = Message(role="tool", content=event.result, tool_call_id=call_id)
            self.messages.append(result)
        elif isinstance(event, Done):
            self.done = event
            self.messages = list(event.messages)

    def whole(self) -> list[Message]:
        """The messages that may stand in a conversation: no call without its result."""
        answered = {each.tool_call_id for each in self.messages if each.role == "tool"}
        whole = []
        for message in self.messages:
            calls = tuple(call for call in message.tool_calls if call.id in answered)
            if message.role == "tool" or message.content or calls:
                whole.append(replace(message, tool_calls=calls))
        return whole

    def turn(self, *, after_calls: bool) -> Message:
        """The assistant turn that grows, or a new one where the last is finished."""
        last = self.messages[-1] if self.messages else None
        grows = last is not None and last.role == "assistant"
        if last is None or not grows or (last.tool_calls and not after_calls):
            last = Message(role="assistant")
            self.messages.append(last)
        return last


async def answers(items: AsyncIterator[Item]) -> list[Done]:
    """The ends of all answers, in the order of their streams."""
    found: dict[int, Done] = {}
    async for item in items:
        if isinstance(item[1], Done):
            found[item[0]] = item[1]
    return [found[index] for index in sorted(found)]
