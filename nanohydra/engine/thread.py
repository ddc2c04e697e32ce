"""An engine on a thread of its own, for asyncio callers: submit, stream, abort, drain.

The engine thread alone touches the engine. Callers send it commands through a queue, which it
empties before every step, and it hands each event loop the events of a step in one call.
A stream counts against `max_rows + max_waiting`, once for each continuation, until it has been
read to its end or closed. This bounds the memory, also against readers that never read; see
stream.py for slow ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TypeVar

from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.core.scheduling import give_way, react_quickly
from nanohydra.core.types import FinishReason
from nanohydra.engine.engine import Engine
from nanohydra.engine.request import Event, QueueFull, Request
from nanohydra.engine.residents import Hold
from nanohydra.engine.stats import EngineStats
from nanohydra.engine.stream import EventStream

logger = logging.getLogger(__name__)
T = TypeVar("T")

# As often as fast screens are drawn; each time readers are woken takes the engine's time, and at 16
# streams of a small model a step is over in 1 ms.
PACE_SECONDS = 0.008


class EngineStopped(RuntimeError):
    """The engine takes no more requests: it is shutting down or has failed."""


class EngineThread:
    """Runs an engine in the background. A context manager; `close` ends the thread.

    max_waiting: continuations beyond the engine's rows that may be under way; more are refused.
    max_waiting_tokens: what may wait to be read; a request that would wait behind more than that
        is refused. 0 = no limit.
    """

    def __init__(
        self, engine: Engine, *, max_waiting: int = 64, max_waiting_tokens: int = 0
    ) -> None:
        self.engine = engine
        self.limit = engine.max_rows + max_waiting
        self.max_waiting_tokens = max_waiting_tokens
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Continuations of the requests whose stream is neither read to its end nor closed.
        self._open: dict[str, int] = {}
        self._coming_tokens = 0  # of requests on their way to the engine
        self._readers: dict[str, Reader] = {}  # the engine thread's own
        self._held: list[Event] = []  # made, and not yet handed over
        self._handed_over = 0.0
        self._loading: list[AdapterWeights] = []  # by other threads, just now
        self._entrance = threading.Lock()
        self._refusal: str | None = None
        self._draining = False
        self._drained = threading.Event()
        self._stopping = False
        self._busy_since: float | None = None  # None while there is nothing to do
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> EngineThread:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, request: Request, *, goes_on: bool = False) -> EventStream:
        """Queue a request and return its events. Call it from the reader's event loop.

        goes_on: it continues a reply that was let in before and holds its adapter, so neither a
            full queue nor an unloaded adapter refuses it.
        Its adapter stays loaded until it has ended. Raises UserError if it can never run or its
        id is under way, QueueFull if too many are, EngineStopped if the engine takes no more.
        """
        hold = self.hold(request.adapter, held=goes_on)
        self.engine.check(request, held=True)
        loop = asyncio.get_running_loop()
        with self._entrance:
            if self._refusal is not None:
                raise EngineStopped(self._refusal)
            if request.id in self._open:
                raise UserError(f"a request with id {request.id!r} is already under way")
            if not goes_on:
                self._check_queue(request)
            self._open[request.id] = request.n
            self._coming_tokens += len(request.prompt_ids)
            stream = EventStream(request.id, loop, self._release, request.n)
            # Inside the lock: nothing that was let in may come after the order to stop.
            self._commands.put(partial(self._add, request, Reader(stream), hold))
        return stream

    def load(self, weights: AdapterWeights) -> str:
        """Make an adapter available and return its id; blocks, but holds up no stream.

        All work is done in the caller's thread; requests that come after may name it. An event
        loop calls it through `asyncio.to_thread`. Raises as `Engine.load` does.
        """
        self._loading.append(weights)
        try:
            return self.engine.load(weights)
        finally:
            self._loading.pop()

    def unload(self, id: str, timeout_s: float | None = 0.0) -> bool:
        """Give up an adapter and wait up to `timeout_s` (None: without end) until it has gone.

        New requests are refused at once, those that use it go on, and with the last of them it
        goes, whether anyone waits or not. False if that is still to come. Raises UserError for
        one that is not loaded.
        """
        gone = self.engine.unload(id)
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        # In short waits: an engine that has failed lets nothing go any more.
        while not gone and self.alive and (left := deadline - time.monotonic()) > 0:
            gone = self.engine.adapters.wait_until_gone(id, min(left, 0.5))
            if id in self.engine.resident:  # loaded again
                return False
        return gone

    def hold(self, adapter: str | None, *, held: bool = False) -> Hold:
        """Keep an adapter for as long as the returned hold lives, also between two requests.

        held: the caller holds it already. Raises UserError if it is not loaded.
        """
        if adapter is None:
            return Hold()
        self.engine.adapters.pin(adapter, held=held)
        # As a command: a hold may be dropped inside the garbage collector, where no lock is taken.
        release = partial(self.engine.adapters.release, adapter)
        return Hold(partial(self._commands.put, release))

    def call(self, work: Callable[[Engine], T]) -> Future[T]:
        """Do something with the engine between two of its steps, and return what comes of it.

        Raises EngineStopped if the engine takes no more work.
        """
        future: Future[T] = Future()
        with self._entrance:
            if self._refusal is not None:
                raise EngineStopped(self._refusal)
            self._commands.put(partial(_carry_out, future, work, self.engine))
        return future

    def abort(self, request_id: str) -> None:
        """End a request before the next step; its reader gets an event with reason "abort"."""
        self._commands.put(partial(self._abort, request_id))

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for those under way; abort what is left after `timeout_s`.

        Blocks. Returns whether everything ended by itself. `close` is still needed after it.
        """
        self._refuse("the server is shutting down")
        self._commands.put(self._start_draining)
        finished = self._drained.wait(timeout_s)
        if not finished:
            self._commands.put(self._abort_all)
            self._drained.wait(1.0)  # a step that hangs must not hang the shutdown
        return finished and self.alive

    def close(self, timeout_s: float = 10.0) -> None:
        """Refuse new requests, abort those under way and end the thread. Blocks; may be repeated.

        A thread that hangs inside the model is left behind after `timeout_s`.
        """
        self._refuse("the engine is closed")
        self._commands.put(self._stop)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("the engine did not stop within %g s", timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the thread runs; False once it is closed or has failed."""
        return self._thread.is_alive() and not self._stopping

    @property
    def num_open(self) -> int:
        """Continuations that were not read to the end: running, waiting, or read slowly."""
        return sum(tuple(self._open.values()))

    def last_step_age(self) -> float:
        """Seconds since the engine last got on; 0 while it has nothing to do, infinity if dead."""
        if not self.alive:
            return float("inf")
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def stats(self) -> EngineStats:
        """Numbers for health and metrics; cheap, from any thread."""
        return EngineStats.of(self.engine, self.last_step_age())

    def _check_queue(self, request: Request) -> None:
        if request.n > self.limit:
            raise UserError(
                f"n is {request.n}, but at most {self.limit} continuations can be under way"
            )
        if self.num_open + request.n > self.limit:
            raise QueueFull(f"{self.num_open} requests are under way already; try again later")
        tokens = self._coming_tokens + self.engine.num_waiting_tokens
        if tokens and 0 < self.max_waiting_tokens < tokens + len(request.prompt_ids):
            raise QueueFull(f"{tokens} tokens wait to be read already; try again later")

    def _refuse(self, reason: str) -> None:
        with self._entrance:
            self._refusal = self._refusal or reason

    def _release(self, request_id: str) -> None:
        """A stream was closed. No lock: this may run inside the garbage collector."""
        self._open.pop(request_id, None)
        self._commands.put(partial(self._drop, request_id))

    # From here on: the engine thread alone.

    def _run(self) -> None:
        reason: FinishReason = "abort"
        problem: str | None = None
        react_quickly()
        try:
            while not self._stopping:
                self._obey()
                if self.engine.has_work():
                    self._deliver(self.engine.step())
                elif self._draining:
                    self._drained.set()
        except BaseException as error:  # waiting readers must hear of it, whatever it is
            logger.exception("the engine thread failed")
            reason, problem = "error", f"the engine failed: {type(error).__name__}: {error}"
        self._stopping = True
        self._refuse(problem or "the engine is closed")
        self._end_all(reason, problem)
        self._drained.set()

    def _obey(self) -> None:
        """Carry out all commands; wait for one if there is no work."""
        if not self.engine.has_work() and not (self._draining and not self._drained.is_set()):
            self._busy_since = None
            command = self._commands.get()
            self._busy_since = time.monotonic()
            command()
        self._busy_since = time.monotonic()
        while not self._stopping:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            command()

    def _add(self, request: Request, reader: Reader, hold: Hold) -> None:
        with self._entrance:
            self._coming_tokens -= len(request.prompt_ids)
        if reader.stream() is not None:  # not dropped before it began
            self._readers[request.id] = reader
            try:
                self.engine.add(request, held=True)
            except Exception as error:  # others must go on, whatever is wrong with this one
                logger.exception("a request was not taken in")
                self._end(request.id, "error", f"{type(error).__name__}: {error}")
        hold.close()  # the engine has its own by now

    def _drop(self, request_id: str) -> None:
        if self._readers.pop(request_id, None) is not None:
            self.engine.abort(request_id)
            # Another request may come under this id.
            self._held = [event for event in self._held if event.request_id != request_id]

    def _abort(self, request_id: str) -> None:
        if self.engine.abort(request_id):
            self._end(request_id, "abort")

    def _end(self, request_id: str, reason: FinishReason, problem: str | None = None) -> None:
        """Tell a reader that what it still waits for has ended."""
        if (reader := self._readers.get(request_id)) is not None:
            self._deliver(reader.ends(reason, problem))

    def _abort_all(self) -> None:
        for request_id in list(self._readers):
            self._abort(request_id)

    def _start_draining(self) -> None:
        self._draining = True

    def _stop(self) -> None:
        self._stopping = True

    def _deliver(self, events: list[Event]) -> None:
        """Hand events to their readers, at once if one is the first or the last of its request."""
        self._held += events
        now = time.monotonic()
        urgent = any(
            event.finish_reason is not None
            or ((reader := self._readers.get(event.request_id)) is not None and not reader.begun)
            for event in events
        )
        if urgent or now - self._handed_over >= PACE_SECONDS:
            held, self._held, self._handed_over = self._held, [], now
            self._pass_on(held)

    def _pass_on(self, events: list[Event]) -> None:
        """Hand events to their readers, one call per event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, dict[EventStream, list[Event]]] = {}
        for event in events:
            reader = self._readers.get(event.request_id)
            if reader is None:
                continue
            reader.begun = True
            if (stream := reader.stream()) is not None:
                by_loop.setdefault(stream.loop, {}).setdefault(stream, []).append(event)
            if event.finish_reason is not None:
                reader.open.discard(event.index)
                if not reader.open:
                    del self._readers[event.request_id]
        for loop, batches in by_loop.items():
            try:
                loop.call_soon_threadsafe(_hand_over, batches)
            except RuntimeError:  # the reader's event loop is closed
                for stream in batches:
                    stream.close()
        if by_loop:
            give_way(to_others=bool(self._loading))

    def _end_all(self, reason: FinishReason, problem: str | None) -> None:
        """Tell every reader that it is over, also those whose requests were still in the queue."""
        while not self._commands.empty():
            command = self._commands.get_nowait()
            with contextlib.suppress(Exception):  # the engine may be broken by now
                command()
        ends = []
        for request_id, reader in self._readers.items():
            ends += reader.ends(reason, problem)
            with contextlib.suppress(Exception):
                self.engine.abort(request_id)
        self._deliver(ends)


class Reader:
    """Who reads a request, and which of its continuations have not ended."""

    def __init__(self, stream: EventStream) -> None:
        self.request_id = stream.request_id
        self.stream = weakref.ref(stream)
        self.open = set(range(stream.num_open))
        self.begun = False

    def ends(self, reason: FinishReason, problem: str | None) -> list[Event]:
        """The last events of those."""
        return [
            Event(request_id=self.request_id, finish_reason=reason, error=problem, index=index)
            for index in sorted(self.open)
        ]


def _carry_out(future: Future[T], work: Callable[[Engine], T], engine: Engine) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(engine))
    except BaseException as error:  # whatever it is, the engine goes on
        future.set_exception(error)


def _hand_over(batches: dict[EventStream, list[Event]]) -> None:
    for stream, events in batches.items():
        stream.deliver(events)
