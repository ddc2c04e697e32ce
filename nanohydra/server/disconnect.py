"""A client that goes away ends the work done for it, at once, streaming or not.

`Request.is_disconnected` polls and breaks under some middleware; here the work races against the
`http.disconnect` message, and the loser is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
CLIENT_GONE = 499  # what nginx logs for it; nobody reads the reply
PING_FRAME = b": ping\n\n"


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled and waited for when the client leaves first.

    Raises ClientGone then. The request's body must have been read already.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        await end(task, leaving)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until each has cleaned up after itself."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class EventStream(Response):
    """Server-sent events from a generator, which is closed when the client leaves.

    A client that takes nothing for `stall_seconds`, or up to half of that longer, counts as gone:
    it would keep its place in the queue for ever. After `ping_seconds` without a frame, or up to
    half of that longer, a comment is sent, so that proxies keep the connection open; 0 = never.
    Starlette's StreamingResponse leaves an abandoned generator to the garbage collector.
    """

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes], stall_seconds: float, ping_seconds: float = 0.0
    ) -> None:
        self.frames = frames
        self.stall_seconds = stall_seconds
        self.ping_seconds = ping_seconds
        self.status_code = 200
        self.background = None
        # Some proxies collect a reply before they pass it on, unless they are told not to.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames as they come."""
        try:
            await unless_gone(receive, self.send_frames(send))
        except (ClientGone, OSError):  # OSError: the connection broke or stalled while we wrote
            scope.setdefault("state", {}).setdefault("log", {})["client_gone"] = True
        finally:
            await self.frames.aclose()

    async def send_frames(self, send: Send) -> None:
        """The whole reply."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with asyncio.timeout(None) as limit:  # TimeoutError is an OSError
            watch = Watch(self, send, limit)
            try:
                async for frame in self.frames:
                    watch.begin()
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
                    watch.end()
            finally:
                await watch.close()
            watch.begin()
            limit.reschedule(watch.since + self.stall_seconds)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Watch:
    """Sees to it that a reply's reader neither waits long for a sign of life nor stalls.

    It looks now and then: a timer for every frame would cost more than the frame.
    """

    def __init__(self, stream: EventStream, send: Send, limit: asyncio.Timeout) -> None:
        self.stream, self.send, self.limit = stream, send, limit
        self.loop = asyncio.get_running_loop()
        self.sending, self.since = False, self.loop.time()
        periods = [stream.stall_seconds, stream.ping_seconds or stream.stall_seconds]
        self.period = min(periods) / 2
        self.timer = self.loop.call_later(self.period, self.look)
        self.ping: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """A frame is on its way."""
        self.sending, self.since = True, self.loop.time()

    def end(self) -> None:
        """It has been taken."""
        self.sending, self.since = False, self.loop.time()

    def look(self) -> None:
        """End a reply whose frame has waited for too long; break a silence."""
        waited = self.loop.time() - self.since
        if self.sending and waited >= self.stream.stall_seconds:
            self.limit.reschedule(self.loop.time())
        elif not self.sending and 0 < self.stream.ping_seconds <= waited:
            self.since = self.loop.time()
            if self.ping is None or self.ping.done():
                self.ping = asyncio.ensure_future(self.send_ping())
        self.timer = self.loop.call_later(self.period, self.look)

    async def send_ping(self) -> None:
        """A comment, which readers leave out."""
        with contextlib.suppress(OSError):  # the client has left, which others notice
            await self.send({"type": "http.response.body", "body": PING_FRAME, "more_body": True})

    async def close(self) -> None:
        """Stop looking."""
        self.timer.cancel()
        if self.ping is not None:
            await end(self.ping)
