"""The events of one request, waiting for their reader in an event loop.

The engine never waits for a reader, so a slow one cannot hold up the others or keep a row. What it
has not taken yet waits here: at most one small event per token of its own request. Nothing is
dropped, and `take` returns all of it at once, so a reader that fell behind catches up in one piece.
How many streams there can be is bounded by thread.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from nanohydra.engine.request import Event


class EventStream:
    """The events of one request, for one reader in the event loop that submitted it.

    Iterate over it, or `take` what has arrived. Closing it early, or dropping it, aborts the
    request before the engine's next step; reading it to its end closes it. num_open: of its
    continuations, those whose end was not read yet.
    """

    def __init__(
        self,
        request_id: str,
        loop: asyncio.AbstractEventLoop,
        release: Callable[[str], None],
        num_open: int = 1,
    ) -> None:
        self.request_id = request_id
        self.num_open = num_open
        self.loop = loop
        self._release = release
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._waiting = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        if not await self._wait():
            raise StopAsyncIteration
        return self._pop()

    async def take(self) -> list[Event]:
        """All events that have arrived, at least one; empty once the stream has ended."""
        taken = []
        if await self._wait():
            while self._events:
                taken.append(self._pop())
        return taken

    async def aclose(self) -> None:
        """Stop reading, as `close`."""
        self.close()

    def close(self) -> None:
        """Stop reading: aborts the request if it is under way. Safe from any thread, and twice."""
        if self._closed:
            return
        self._closed = True
        self._events.clear()
        # No lock is taken in here: __del__ may run at any moment, in any thread.
        self._release(self.request_id)
        if self._waiting:
            with contextlib.suppress(RuntimeError):  # the loop may be closed
                self.loop.call_soon_threadsafe(self._changed.set)

    def __del__(self) -> None:
        self.close()

    def deliver(self, events: list[Event]) -> None:
        """Take in what the engine made. Called in the reader's event loop."""
        if not self._closed:
            self._events.extend(events)
            self._changed.set()

    async def _wait(self) -> bool:
        """Wait for an event; False if none will come. Cancelling the wait closes the stream."""
        try:
            while not self._events and not self._closed:
                self._changed.clear()
                self._waiting = True
                await self._changed.wait()
        except asyncio.CancelledError:
            self._waiting = False
            self.close()
            raise
        self._waiting = False
        return bool(self._events)

    def _pop(self) -> Event:
        event = self._events.popleft()
        if event.finish_reason is not None:
            self.num_open -= 1
            if not self.num_open:
                self.close()
        return event
