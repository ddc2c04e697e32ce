"""What the routes share: the model once it is loaded, the journal, and whether we take requests.

Life: loading -> ready -> draining, or failed. Routes `admit` each use of the model, so that a
shutdown can wait for the answers under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import Depends, Request

from nanohydra.chat import (
    ChatEvent,
    ChatParams,
    Done,
    Journal,
    Offer,
    TextDelta,
    Token,
)
from nanohydra.core.types import Message
from nanohydra.server.config import ServerConfig
from nanohydra.server.counting import Metrics
from nanohydra.server.errors import ApiError
from nanohydra.tools import Tool

if TYPE_CHECKING:
    from nanohydra.chat import EngineStats
    from nanohydra.server.learning import SharedLearning
    from nanohydra.server.recorder import Recorder

logger = logging.getLogger("nanohydra.server")
Status = Literal["loading", "ready", "draining", "failed"]
CUT_SECONDS = 2.0  # for answers to end after they were cut off


class EngineLike(Protocol):
    """What the server needs of an engine thread."""

    def stats(self) -> EngineStats:
        """What it does and did; cheap."""

    def last_step_age(self) -> float:
        """Seconds without progress while there is work; infinite when the engine is dead."""

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests, wait for those under way, abort what is left. Blocks."""

    def close(self) -> None:
        """End the engine."""


class ChatLike(Protocol):
    """What the server needs of a chat model: `nanohydra.chat.ChatModel` has it, and the fake."""

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def vocab_size(self) -> int:
        """Ids that stand for something."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """What the model may call."""

    @property
    def engine(self) -> EngineLike:
        """Where the model runs."""

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
        """Queue n answers now, or none, to be yielded as they are written.

        adapter: None = the base. Number i is seeded with seed + i.
        """

    async def compile(self, params: ChatParams, offer: Offer | None = None) -> None:
        """Make the grammar of a request ready, beside the event loop. Raises UserError."""

    def complete(
        self,
        prompt_ids: Sequence[int],
        params: ChatParams,
        *,
        n: int = 1,
        adapter: str | None = None,
    ) -> list[AsyncGenerator[TextDelta | Done]]:
        """Queue n continuations of a text now, or none, to be yielded as they are written."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what the model expects before it. Blocks."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""

    def token(self, id: int) -> bytes:
        """The bytes of one id."""

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Ids of a conversation as the model reads it. Blocks."""

    async def embed(self, ids: Sequence[int], *, adapter: str | None = None) -> list[float]:
        """A vector of length 1 for a text."""

    async def score(
        self, ids: Sequence[int], top: int = 0, *, adapter: str | None = None
    ) -> list[Token]:
        """Each token of a text with its probability; NaN for the first."""


Loader = Callable[[], ChatLike]
Teacher = Callable[[ChatLike], "SharedLearning"]


class Service:
    """One server's state; lives in the event loop's thread."""

    def __init__(
        self,
        chat: ChatLike | Loader,
        journal: Journal,
        config: ServerConfig,
        learning: SharedLearning | Teacher | None = None,
    ) -> None:
        self.journal = journal
        self.config = config
        self.status: Status = "loading"
        self.failure: Exception | None = None
        self.started = int(time.time())
        self.metrics = Metrics()
        self._loader: Loader = chat if callable(chat) else lambda: chat
        self._chat: ChatLike | None = None
        self._teacher = learning
        self.learns = learning is not None
        self.learning: SharedLearning | None = None  # there as soon as the model is
        self._running: set[asyncio.Task[Any]] = set()  # requests that use the model
        self._background: set[asyncio.Task[Any]] = set()
        # By owner and conversation, while an answer is saved.
        self.recorders: dict[tuple[str, str], Recorder] = {}

    async def load(self) -> None:
        """Load the model in a thread: the page and /health answer in the meantime."""
        try:
            self._chat = await asyncio.to_thread(self._loader)
            teacher = self._teacher
            made = await asyncio.to_thread(teacher, self._chat) if callable(teacher) else teacher
            self.learning = made
        except Exception as error:
            self.failure, self.status = error, "failed"
            return
        if self.status == "loading":
            self.status = "ready"

    @property
    def chat(self) -> ChatLike:
        """The loaded model. Raises ApiError 503 while there is none."""
        if self._chat is None:
            message = "the model is loading" if self.status == "loading" else "there is no model"
            retry = {"retry-after": str(self.config.retry_seconds)}
            raise ApiError(503, message, code=self.status, headers=retry)
        return self._chat

    def account(self, log: dict[str, Any], found: Sequence[Done]) -> None:
        """Take the answers of a request, which has ended, into its log line and the metrics."""
        self.metrics.count(found)
        if found:
            log |= {
                "finish": [done.finish_reason for done in found],
                "prompt_tokens": found[0].usage.prompt_tokens,
                "completion_tokens": sum(done.usage.completion_tokens for done in found),
                "ttft_ms": round(min(done.timings.ttft_s for done in found) * 1000, 1),
                "tokens_per_s": round(max(done.timings.tokens_per_s for done in found), 1),
            }

    def engine_stats(self) -> EngineStats | None:
        """What the engine does and did; None while there is none."""
        return None if self._chat is None else self._chat.engine.stats()

    @property
    def is_stuck(self) -> bool:
        """Whether the engine has work and does not get on with it."""
        if self.status == "failed":
            return True
        chat = self._chat
        return chat is not None and chat.engine.last_step_age() > self.config.stuck_seconds

    def admit(self) -> ChatLike:
        """The model, for the rest of this request. Raises ApiError 503 unless requests are taken.

        A shutdown waits until the request's task is done, its streamed reply included.
        """
        if self.status == "draining":
            raise ApiError(503, "the server is shutting down", code="draining")
        chat = self.chat
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return chat

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the requests; a shutdown waits for it."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def drain(self) -> None:
        """Refuse new requests and wait for the answers under way, then cut off what is left."""
        self.status = "draining"
        logger.info("draining: %d answers under way", len(self._running))
        if self._running:
            await asyncio.wait(self._running, timeout=self.config.drain_seconds)
        if self._running and self._chat is not None:
            logger.warning("cutting off %d answers", len(self._running))
            await asyncio.to_thread(self._chat.engine.drain, 0.0)
            await asyncio.wait(self._running, timeout=CUT_SECONDS)
        if self._background:
            await asyncio.wait(self._background, timeout=CUT_SECONDS)

    async def close(self) -> None:
        """End the engine, which aborts what still runs. The journal stays its owner's."""
        if self._background:
            await asyncio.wait(self._background, timeout=CUT_SECONDS)
        if self._chat is not None:
            await asyncio.to_thread(self._chat.engine.close)


# Coroutines, as FastAPI runs plain functions in threads, which takes longer than they do.


async def service_of(request: Request) -> Service:
    """The service behind a request's app."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Here = Annotated[Service, Depends(service_of)]


async def owner_of(request: Request) -> str:
    """Whose request it is, as the guard found out from its key."""
    owner = request.state.owner
    assert isinstance(owner, str)
    return owner


Owner = Annotated[str, Depends(owner_of)]


async def journal_of(service: Here, owner: Owner) -> Journal:
    """The conversations of who asks, and no others."""
    return service.journal.of(owner)


Own = Annotated[Journal, Depends(journal_of)]
