"""The continuations of one request, each with a reader of its own, on one stream of events.

They share what the engine reads of the prompt. A reader that has heard enough lets go of its own
continuation; the engine is told to stop when all of them have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from nanohydra.engine import EngineStopped, Event, EventStream


class Trunk:
    """The stream, and what was read of it for each continuation."""

    def __init__(self, stream: EventStream, count: int) -> None:
        self.stream = stream
        self.events: list[deque[Event]] = [deque() for _ in range(count)]
        self.open = set(range(count))
        self.reading = False
        self.changed = asyncio.Event()

    async def read(self) -> None:
        """Wait until something has come, for whomever."""
        if self.reading:
            await self.changed.wait()
            return
        self.reading, self.changed = True, asyncio.Event()
        try:
            batch = await self.stream.take()
        finally:
            self.reading = False
            self.changed.set()
        if not batch:
            raise EngineStopped("the request was given up")
        for event in batch:
            if event.index in self.open:
                self.events[event.index].append(event)


class Branch:
    """One continuation; what its readers use of an `EventStream`."""

    def __init__(self, trunk: Trunk, index: int) -> None:
        self._trunk, self._index = trunk, index

    async def take(self) -> list[Event]:
        """All events that have arrived, at least one."""
        own = self._trunk.events[self._index]
        while not own:
            await self._trunk.read()
        taken = list(own)
        own.clear()
        return taken

    def close(self) -> None:
        """Stop reading; with the last of its siblings the request is aborted."""
        self._trunk.open.discard(self._index)
        self._trunk.events[self._index].clear()
        if not self._trunk.open:
            self._trunk.stream.close()

    def __del__(self) -> None:
        self.close()


def branches(stream: EventStream, count: int) -> Sequence[EventStream | Branch]:
    """A reader for each continuation; a single one needs nothing in between."""
    if count == 1:
        return [stream]
    trunk = Trunk(stream, count)
    return [Branch(trunk, index) for index in range(count)]
