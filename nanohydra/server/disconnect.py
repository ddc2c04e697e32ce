"""A client that goes away ends the work done for it, at once, streaming or not.

`Request.is_disconnected` polls and breaks under some middleware; here the work races against the
`http.disconnect` message, and the loser is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
CLIENT_GONE = 499  # what nginx logs for it; nobody reads the reply


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

    A client that takes nothing for `stall_seconds` counts as gone: it would keep its place in the
    queue for ever. Starlette's StreamingResponse leaves an abandoned generator to the garbage
    collector.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes], stall_seconds: float) -> None:
        self.frames = frames
        self.stall_seconds = stall_seconds
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
        async for frame in self.frames:
            async with asyncio.timeout(self.stall_seconds):  # TimeoutError is an OSError
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
