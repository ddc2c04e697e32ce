"""What the server needs of learning: for each owner one object, behind the protocols of this file.

Knows neither models nor databases. Who implements it raises UserError for what a person got wrong;
methods that are not coroutines may block for a moment and are called in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

from fastapi import Depends

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.server.errors import ApiError
from nanohydra.server.service import Here, Owner, Service

T = TypeVar("T")
Json = dict[str, Any]
Resolve = Literal["ask", "keep_both", "replace", "reject"]
Memory = Literal["auto", "off"]
BASE, AUTO = "base", "auto"
FINAL = frozenset({"live", "refused", "failed", "cancelled"})  # a job's last states


class Plan(Protocol):
    """How one request is answered.

    adapter: what the engine runs; None = the base alone. versions: those it is made of.
    lessons, sources: what the answer rests on; a source has title, text, start and end.
    messages: what the model reads, with passages of the memory framed in.
    label: "base", or the version as a person reads it.
    """

    @property
    def adapter(self) -> str | None: ...  # noqa: D102
    @property
    def versions(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def lessons(self) -> tuple[Json, ...]: ...  # noqa: D102
    @property
    def sources(self) -> tuple[Json, ...]: ...  # noqa: D102
    @property
    def messages(self) -> Sequence[Message]: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102


class SharedLearning(Protocol):
    """What all owners have taught one model; nothing can be asked of it but by an owner."""

    def of(self, owner: str) -> Learning:
        """What one owner has taught."""

    def counts(self) -> tuple[dict[str, int], int]:
        """How many jobs of all owners are in each state, and how often an alias was changed."""


class Learning(Protocol):
    """Lessons, jobs, versions and memory of one owner; the server's only way to them.

    What is another owner's is unknown here: its ids and names are answered as made-up ones.
    """

    async def submit(self, lessons: list[Json], *, alias: str, resolve: Resolve) -> Json:
        """Take lessons: `job`, `lessons` (ids), `warnings`, `conflicts`.

        With resolve "ask", lessons that contradict earlier ones are not taken: `job` is None, and
        each conflict has `index`, `text` and `earlier` (`id`, `text`).
        """

    def job(self, id: str) -> Json:
        """State, progress, version, versions, gate, reason, `lessons`, `events`.

        events: of `time, step, text`. versions: all that went live; version: the latest.
        """

    def jobs(self) -> list[Json]:
        """All jobs, the latest first."""

    def cancel(self, id: str) -> Json:
        """End a job; what was not published is dropped."""

    def lessons(self, *, query: str = "", limit: int, offset: int = 0) -> list[Json]:
        """The lessons, the latest first."""

    def delete_lesson(self, id: str) -> Json:
        """Forget a lesson at once; `job` retrains the versions that saw it, or is None."""

    def adapters(self) -> list[Json]:
        """Versions: `version, alias, live, created, bytes, lessons, gate, parents`."""

    def aliases(self) -> list[Json]:
        """Aliases: `name`, `versions` (newest first), `history`: the sets it meant, latest last."""

    async def switch(self, alias: str, versions: Sequence[str]) -> Json:
        """Let an alias mean exactly these versions."""

    async def rollback(self, alias: str) -> Json:
        """Let an alias mean what it meant before."""

    async def consolidate(self, alias: str) -> Json:
        """Queue the training of one version in the place of an alias's many; returns the job."""

    async def remove(self, version: str) -> Json:
        """Delete an archived version. Refused while an alias uses it."""

    async def load(self, path: str, name: str) -> Json:
        """Take an adapter from a folder of the server's machine, under a name."""

    async def unload(self, name: str) -> Json:
        """Let a loaded name go."""

    def feedback(self, feedback: Json) -> str:
        """Keep what a person said of an answer: `rating` 1, 0 or -1, and the rest."""

    def dashboard(self) -> Json:
        """What the page shows, the latest first: `timeline`, `library`, `jobs`, `ledger`.

        And `matrix`, the recall of each lesson (columns) in the test of each version (rows, the
        oldest first; null = not asked); `forgetting`, its columns by lesson; `recall`, its end.
        """

    async def plan(self, messages: Sequence[Message], *, model: str, memory: Memory) -> Plan:
        """Who answers, and from what. Raises UserError for an unknown model or alias."""

    def upload(self, name: str, content: bytes) -> list[Json]:
        """The lessons in a file, not yet taken."""


async def learning_of(service: Here, owner: Owner) -> Learning:
    """What who asks has taught. Raises ApiError: 404 without learning, 503 while it loads."""
    if service.learning is not None:
        return service.learning.of(owner)
    if service.learns and service.status != "failed":
        retry = {"retry-after": str(service.config.retry_seconds)}
        raise ApiError(503, "the model is loading", code="loading", headers=retry)
    raise ApiError(404, "learning is off on this server", code="learning_off")


Taught = Annotated[Learning, Depends(learning_of)]


def check_open(service: Service) -> None:
    """Refuse work that would begin while the server ends."""
    if service.status == "draining":
        raise ApiError(503, "the server is shutting down", code="draining")


async def look_up(what: str, call: Callable[..., T], *args: Any) -> T:
    """The answer of a blocking call by id; what it does not know is 404, not 400."""
    try:
        return await asyncio.to_thread(call, *args)
    except UserError as error:
        raise ApiError(404, str(error), code=f"{what}_not_found") from None
