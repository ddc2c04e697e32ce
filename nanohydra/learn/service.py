"""The learning of a running server, as one object: lessons in, versions live, plans for requests.

It curates and remembers at once, queues the rest for the learner's process, and follows what that
one writes down. Each owner has a service, and sees nothing of the others. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Literal

from nanohydra.adapters.bank import Bank
from nanohydra.adapters.files import load_adapter
from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.core.types import Message
from nanohydra.learn import views
from nanohydra.learn.consolidate import consolidate
from nanohydra.learn.curate import Curated, curate
from nanohydra.learn.lessons import Lesson, parse_lessons
from nanohydra.learn.planner import Planner, RequestPlan
from nanohydra.learn.store import LearningStore
from nanohydra.learn.unlearn import forget
from nanohydra.learn.watch import Watch
from nanohydra.memory import Memory, Source
from nanohydra.memory.documents import read_document
from nanohydra.model import ModelConfig
from nanohydra.tokenizer import SPECIAL_TOKENS

Json = dict[str, Any]
Resolve = Literal["ask", "keep_both", "replace", "reject"]


class LearningService:
    """Lessons, jobs, versions and memory of one owner of a served model. Safe for threads.

    What is made is the default owner's; `of` gives those of others. An id or a name of another
    owner's is an unknown one.

    bank, planner: the owner's. config: of the base, for the shapes of adapters that are loaded
        from elsewhere.
    markers: texts of its special tokens.
    stop: ends what the service started (the learner's process).
    watch: whether to ready routers for what goes live, in a thread.
    """

    def __init__(
        self,
        *,
        store: LearningStore,
        bank: Bank,
        memory: Memory,
        planner: Planner,
        config: ModelConfig,
        markers: Sequence[str] = SPECIAL_TOKENS,
        stop: Callable[[], None] = lambda: None,
        watch: bool = False,
    ) -> None:
        self.store, self.bank, self.memory, self.planner = store, bank, memory, planner
        self.config, self.markers = config, markers
        self._stop = stop
        self._others: dict[str, LearningService] = {}
        self._lock = threading.Lock()
        self._watch = Watch(self._last_event, self._planners) if watch else None

    @property
    def owner(self) -> str:
        """Whose lessons these are."""
        return self.bank.owner

    def of(self, owner: str) -> LearningService:
        """What an owner has taught, on the same model. Raises UserError for a bad name."""
        if owner == self.owner:
            return self
        assert self.owner == OWNER, "others are made by the default owner's"
        with self._lock:
            if owner not in self._others:
                self._others[owner] = LearningService(
                    store=self.store, bank=self.bank.of(owner), memory=self.memory,
                    planner=self.planner.of(owner), config=self.config, markers=self.markers,
                )  # fmt: skip
            return self._others[owner]

    def close(self) -> None:
        """End the learner and let go of the files; the others' go with the default owner's."""
        self._stop()
        if self._watch is not None:
            self._watch.close()
        self.memory.close()
        self.store.close()

    def _last_event(self) -> int:
        """The number of the ledger's latest row, whosever it is."""
        rows = self.store.ledger(limit=1, newest=True)
        return rows[0].id if rows else 0

    def _planners(self) -> list[Planner]:
        with self._lock:
            return [self.planner, *(other.planner for other in self._others.values())]

    async def submit(self, lessons: list[Json], *, alias: str, resolve: Resolve) -> Json:
        """Take lessons: remembered when this returns, queued for the weights.

        With "ask", lessons that contradict earlier ones stop the whole: nothing is taken, and the
        conflicts are returned. Raises UserError for lessons that cannot be taken.
        """
        return await asyncio.to_thread(self._submit, lessons, alias, resolve)

    def _submit(self, items: list[Json], alias: str, resolve: Resolve) -> Json:
        lessons = parse_lessons(items, owner=self.owner, alias=alias)
        earlier = self.store.lessons(owner=self.owner)
        found = curate(lessons, earlier, markers=self.markers)
        conflicts = [views.conflict(c, lessons) for c in found.conflicts]
        if conflicts and resolve == "ask":
            return {"job": None, "lessons": [], "warnings": found.warnings, "conflicts": conflicts}
        contradicting = {c.new.id for c in found.conflicts}
        accepted = [
            lesson
            for lesson in found.lessons
            if resolve != "reject" or lesson.id not in contradicting
        ]
        if resolve == "replace":
            for old in dict.fromkeys(c.old.id for c in found.conflicts):
                self.delete_lesson(old)
        return self._take(accepted, found, alias)

    def _take(self, lessons: Sequence[Lesson], found: Curated, alias: str) -> Json:
        self.store.add_lessons(lessons)
        sources = [
            Source(id=x.id, owner=x.owner, title=x.title, text=x.text, kind=x.kind) for x in lessons
        ]
        try:
            self.memory.add_all(sources)
        except Exception:  # a full disk: nothing is taken, so that it can be taught again
            for lesson in lessons:
                with suppress(Exception):
                    self.store.delete_lesson(lesson.id)
            raise
        for lesson in lessons:
            self.store.record("remembered", owner=lesson.owner, lesson=lesson.id, kind=lesson.kind)
        studied = [lesson.id for lesson in lessons if lesson.state != "memory_only"]
        job = self.store.submit(alias, studied, owner=self.owner) if studied else None
        if job is not None:
            self.store.record("queued", job=job, lessons=len(studied))
        return {
            "job": job,
            "lessons": [lesson.id for lesson in lessons],
            "warnings": list(found.warnings),
            "conflicts": [],
        }

    def job(self, id: str) -> Json:
        """A job as the API shows it. Raises UnknownJob."""
        return views.job(self.store, self.store.job(id, owner=self.owner))

    def jobs(self) -> list[Json]:
        """All jobs, the latest first."""
        return [views.job(self.store, job) for job in self.store.jobs(owner=self.owner)]

    def counts(self) -> tuple[dict[str, int], int]:
        """How many jobs are in each state, and how often an alias came to mean other versions.

        Of all owners together, where it is the default owner's that is asked.
        """
        states = Counter(str(job.state) for job in self.store.jobs(limit=1_000_000))
        banks = [self.bank.of(owner) for owner in self.bank.owners()]
        swaps = sum(len(bank.alias(name).history) for bank in banks for name in bank.aliases())
        return dict(states), swaps

    def cancel(self, id: str) -> Json:
        """Ask a job to end. Raises UnknownJob."""
        self.store.cancel(id, owner=self.owner)
        return self.job(id)

    def lessons(self, *, query: str = "", limit: int = 100, offset: int = 0) -> list[Json]:
        """The lessons, the latest first; `query`: those with all of its words."""
        words = query.casefold().split()
        found = [
            lesson
            for lesson in reversed(self.store.lessons(owner=self.owner))
            if all(word in lesson.text.casefold() for word in words)
        ]
        return views.lessons(self.store, self.bank, found[offset : offset + limit])

    def delete_lesson(self, id: str) -> Json:
        """Forget a lesson: at once in memory and answers, then in every version that saw it."""
        job = forget(id, store=self.store, bank=self.bank, memory=self.memory)
        return {"lesson": id, "job": job}

    def adapters(self) -> list[Json]:
        """All versions, the latest first."""
        return views.adapters(self.store, self.bank)

    def aliases(self) -> list[Json]:
        """The aliases with what they mean and meant."""
        return [views.alias(self.bank.alias(name)) for name in self.bank.aliases()]

    async def switch(self, alias: str, versions: Sequence[str]) -> Json:
        """Let an alias mean these versions, resident before it does. Raises UserError."""
        for version in versions:  # a damaged one is refused before anything changes
            await asyncio.to_thread(self.planner.make_resident, version)
        state = await asyncio.to_thread(self.bank.activate, alias, tuple(versions))
        self.store.record("switched", owner=self.owner, alias=alias, versions=list(state.versions))
        return views.alias(state)

    async def rollback(self, alias: str) -> Json:
        """Let an alias mean what it meant before. Raises UserError if there is nothing before."""
        state = await asyncio.to_thread(self.bank.rollback, alias)
        meant = list(state.versions)
        self.store.record("rolled back", owner=self.owner, alias=alias, versions=meant)
        return views.alias(state)

    async def consolidate(self, alias: str) -> Json:
        """Queue the training of one version in the place of an alias's many; returns the job."""
        job = await asyncio.to_thread(consolidate, alias, store=self.store, bank=self.bank)
        return self.job(job)

    async def remove(self, version: str) -> Json:
        """Delete an archived version. Raises UserError while an alias uses it."""
        await asyncio.to_thread(self.bank.remove, version)
        self.store.record("removed", owner=self.owner, version=version)
        return {"version": version, "removed": True}

    async def load(self, path: str, name: str) -> Json:
        """Take an adapter of this machine into the bank, and let `name` mean it.

        Raises UserError for what is none, and for one that lies in another owner's bank.
        """

        def take() -> str:
            if not self.bank.may_read(Path(path)):
                raise UserError(f"there is no adapter in {path}: it is not a folder")
            weights = load_adapter(path, config=self.config, base=self.planner.base)
            version = self.bank.publish(weights, self.config, manifest={"loaded": Path(path).name})
            self.bank.activate(name, (version,))
            return version

        version = await asyncio.to_thread(take)
        self.store.record("loaded", owner=self.owner, version=version, alias=name)
        return {"name": name, "version": version}

    async def unload(self, name: str) -> Json:
        """Let a name mean nothing any more; its versions stay in the bank."""
        if name not in self.bank.aliases():
            raise UserError(f"no adapter is loaded under the name {name!r}")
        await asyncio.to_thread(self.bank.activate, name, ())
        self.store.record("unloaded", owner=self.owner, alias=name)
        return {"name": name}

    def feedback(self, feedback: Json) -> str:
        """Keep what a person said of an answer; returns its id."""
        rest = {k: v for k, v in feedback.items() if k != "rating"}
        rating = int(feedback["rating"])
        return str(self.store.add_feedback(rating, owner=self.owner, **rest))

    def dashboard(self) -> Json:
        """What has been learned and whether it is still there."""
        return views.dashboard(self.store, self.bank)

    async def plan(
        self, messages: Sequence[Message], *, model: str, memory: Literal["auto", "off"]
    ) -> RequestPlan:
        """Who answers a request, and from what."""
        return await self.planner.plan(messages, model=model, memory=memory)

    def upload(self, name: str, content: bytes) -> list[Json]:
        """The lessons in a file, not yet taken. Raises UserError."""
        text = read_document(name, content)
        if name.lower().endswith(".jsonl"):  # proven to be lines of JSON
            return views.lessons_in_lines(name, content.decode("utf-8-sig"))
        return [{"kind": "document", "title": PurePath(name).stem, "text": text}]

    def wait(self, job: str, seconds: float, *, every: float = 0.02) -> Json:
        """A job once it is done, or as it is after this time; for scripts and benchmarks.

        every: seconds between two looks.
        """
        end = time.monotonic() + seconds
        with suppress(KeyboardInterrupt):
            while not self.store.job(job).done and time.monotonic() < end:
                time.sleep(every)
        return self.job(job)
