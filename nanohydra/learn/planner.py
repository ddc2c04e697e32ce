"""Who answers a request and from what: the base, an alias's adapters, or notes of the memory.

One decision per request. A lesson that is proven in the weights is answered from them; one that is
not, or not yet, or that its gate heard better from its text, from that. Where neither is near, the
request goes to the base unchanged.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from nanohydra.adapters import AdapterWeights
from nanohydra.adapters.bank import Bank
from nanohydra.adapters.combine import concatenate
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message
from nanohydra.data.notes import with_notes
from nanohydra.learn.lessons import Lesson
from nanohydra.learn.router import Known, Route, Router
from nanohydra.learn.store import LearningStore
from nanohydra.memory import Hit, Memory

BASE, AUTO = "base", "auto"
Json = dict[str, Any]


class AdapterHost(Protocol):
    """What runs adapters: the engine's thread."""

    def load(self, weights: AdapterWeights) -> str:
        """Make an adapter usable; returns its id."""

    @property
    def resident(self) -> tuple[str, ...]:
        """Ids of those that are usable now."""


@dataclass(frozen=True, kw_only=True)
class RequestPlan:
    """How one request is answered; see nanohydra.server.learning.Plan."""

    adapter: str | None = None
    versions: tuple[str, ...] = ()
    lessons: tuple[Json, ...] = ()
    sources: tuple[Json, ...] = ()
    messages: Sequence[Message] = ()
    label: str = BASE


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request's `model` means: aliases to route over, or one version to force."""

    aliases: tuple[str, ...] = ()
    forced: str | None = None
    label: str = BASE


@dataclass(frozen=True, kw_only=True)
class Live:
    """What an owner's requests are planned over. stamp: changes whenever this may.

    lessons: by id. known: of a lesson and its version, as the router knows it. weaker: lessons that
    a note answers better.
    """

    stamp: object = None
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    known: Mapping[tuple[str, str], Known] = field(default_factory=dict)
    weaker: frozenset[str] = frozenset()


class Planner:
    """Plans the requests of one owner, whose bank it has. Safe for threads.

    Of other owners' lessons it knows nothing, so none of them can change a plan.

    name: of the served model, which means the same as "auto". system: whether it reads system
        messages; notes come with the question where it does not.
    """

    def __init__(
        self,
        *,
        store: LearningStore,
        bank: Bank,
        memory: Memory,
        router: Router,
        host: AdapterHost,
        base: str,
        name: str,
        system: bool = True,
    ) -> None:
        self.system = system
        self.store, self.bank, self.memory, self.router = store, bank, memory, router
        self.host, self.base, self.name = host, base, name
        self._lock = threading.RLock()
        self._live = Live()
        self._noted_of: dict[str, frozenset[str]] = {}  # version -> its weaker lessons, for good
        self._joined: dict[tuple[str, ...], str] = {}

    def of(self, owner: str) -> Planner:
        """The same for another owner."""
        return Planner(
            store=self.store, bank=self.bank.of(owner), memory=self.memory,
            router=self.router.empty(), host=self.host, base=self.base, name=self.name,
            system=self.system,
        )  # fmt: skip

    async def plan(
        self, messages: Sequence[Message], *, model: str, memory: Literal["auto", "off"]
    ) -> RequestPlan:
        """The plan of a request. Raises UserError for an unknown model, alias or version."""
        return await asyncio.to_thread(self._plan, messages, model, memory == "auto")

    def _plan(self, messages: Sequence[Message], model: str, remember: bool) -> RequestPlan:
        with self._lock:
            self.refresh()
            target = self.target(model)
            plan = RequestPlan(messages=messages)
            question = _question(messages)
            if target.forced is not None:
                adapter = self._resident((target.forced,))
                return replace(plan, adapter=adapter, versions=(target.forced,), label=target.label)
            route = self._route(question, target)
            noted = remember and route is not None and self._live.weaker.issuperset(route.lessons)
            if route is not None and not noted:
                lessons = [self._live.lessons[lesson] for lesson in route.lessons]
                return replace(
                    plan,
                    adapter=self._resident(route.versions),
                    versions=route.versions,
                    lessons=tuple(_lesson_json(lesson) for lesson in lessons),
                    sources=tuple(_source_of(lesson) for lesson in lessons),
                    label="+".join(route.versions),
                )
        search = remember and question
        hits = self.memory.search(question, owner=self.bank.owner) if search else []
        return from_memory(plan, hits, system=self.system) if hits else plan

    def target(self, model: str) -> Target:
        """What a model's name means. Raises UserError for an unknown one."""
        if model == BASE:
            return Target()
        aliases = self.bank.aliases()
        if model in (AUTO, self.name, ""):
            return Target(aliases=aliases, label=AUTO)
        alias, at, version = model.partition("@")
        if alias not in aliases and alias != self.name:
            known = (BASE, AUTO, self.name, *aliases)
            raise UserError(f"unknown model {model!r:.80}; {suggest(alias, known)}")
        if not at:
            return Target(aliases=(alias,), label=alias)
        return Target(forced=self.bank.info(version).id, label=model)

    def refresh(self) -> None:
        """Know what is live now; cheap where nothing has changed."""
        with self._lock:
            live = self._look()
            if live is not self._live:
                self.router.set(live.known.values())
                self._live = live

    def prepare(self) -> None:
        """The same, but what takes long is done beside the requests: reading new lessons' texts."""
        with self._lock:
            live = self._look()
        if live is not self._live:
            self.router.prepare(live.known.values())
            self.refresh()

    def _look(self) -> Live:
        """What is live now: the same object if nothing has changed. With the lock held."""
        owner, last = self.bank.owner, self._live
        rows = self.store.ledger(owner=owner, limit=1, newest=True)
        sets = {name: self.bank.alias(name).versions for name in self.bank.aliases()}
        stamp = (rows[0].id if rows else 0, sets)
        if stamp == last.stamp:
            return last
        versions: dict[str, str] = {}
        for chosen in sets.values():
            for version in chosen:  # newest first
                for lesson, role in self.store.lessons_of_version(version).items():
                    if role == "new":
                        versions.setdefault(lesson, version)
        mine = self.store.lessons(owner=owner, states=("live",))
        lessons = {lesson.id: lesson for lesson in mine}
        pairs = [(id, version) for id, version in versions.items() if id in lessons]
        # words of a deleted one may be in those of others
        before = last.known if last.known.keys() <= set(pairs) else {}
        known = {pair: before.get(pair) or self._known(lessons[pair[0]], pair[1]) for pair in pairs}
        weaker = frozenset(id for id, version in pairs if id in self._noted(version))
        return Live(stamp=stamp, lessons=lessons, known=known, weaker=weaker)

    def _noted(self, version: str) -> frozenset[str]:
        """Lessons of which a note answered more than the version did, at its gate."""
        if version not in self._noted_of:
            gate = self.bank.info(version).manifest.get("gate", {})
            noted, recalled = gate.get("remembered", {}), gate.get("lessons", {})
            self._noted_of[version] = frozenset(
                lesson for lesson, share in recalled.items() if share < noted.get(lesson, 0.0)
            )
        return self._noted_of[version]

    def _known(self, lesson: Lesson, version: str) -> Known:
        items = self.store.study_items([lesson.id])
        every = [item for item in items if item.split == "train" and item.messages]
        # "Tell me about Ana." is like any question about her, so it counts where nothing else does
        asked = [item for item in every if item.kind != "statement"] or every
        return Known(
            lesson=lesson.id,
            version=version,
            created=lesson.created,
            questions=tuple(dict.fromkeys(item.question for item in asked)),
            text=lesson.text,
        )

    def _route(self, question: str, target: Target) -> Route | None:
        versions = {v for alias in target.aliases for v in self.bank.alias(alias).versions}
        return self.router.choose(question, versions) if versions and self._live.lessons else None

    def make_resident(self, version: str) -> str:
        """Load a version into the engine, if it is not there; returns its whole id."""
        with self._lock:
            return self._resident((self.bank.resolve(version),))

    def _resident(self, versions: tuple[str, ...]) -> str:
        """The id under which the engine runs these versions together, loaded if need be."""
        adapter = versions[0] if len(versions) == 1 else self._joined.get(versions)
        if adapter is None or adapter not in self.host.resident:
            weights = [self.bank.load(version, base=self.base) for version in versions]
            joined = weights[0] if len(weights) == 1 else concatenate(weights)
            adapter = self.host.load(joined)
            if len(versions) > 1:
                self._joined[versions] = adapter
        return adapter


def from_memory(plan: RequestPlan, hits: Sequence[Hit], *, system: bool = True) -> RequestPlan:
    """The plan with passages of the memory before the conversation, as quoted notes."""
    messages = with_notes(plan.messages, [hit.text for hit in hits], system=system)
    sources = tuple(
        {
            "lesson": hit.source_id, "title": hit.title, "text": hit.text,
            "start": hit.start, "end": hit.end, "score": round(hit.score, 4), "from": "memory",
        }
        for hit in hits
    )  # fmt: skip
    return replace(plan, messages=messages, sources=sources)


def _question(messages: Sequence[Message]) -> str:
    asked = [message.content for message in messages if message.role == "user"]
    return asked[-1] if asked else ""


def _lesson_json(lesson: Lesson) -> Json:
    return {"id": lesson.id, "title": lesson.title, "kind": lesson.kind, "created": lesson.created}


def _source_of(lesson: Lesson) -> Json:
    text = lesson.text
    return {
        "lesson": lesson.id, "title": lesson.title, "text": text[:500], "start": 0,
        "end": len(text), "from": "weights",
    }  # fmt: skip
