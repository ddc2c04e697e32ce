"""Jobs, and a learner that works through them in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

from nanohydra.adapters import AdapterWeights
from nanohydra.checkpoint import Loaded
from nanohydra.core.owners import OWNER
from nanohydra.core.types import Message
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.gate import Gate
from nanohydra.learn.learner import Learner
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.opening import open_learning
from nanohydra.learn.planner import RequestPlan
from nanohydra.learn.report import GateReport
from nanohydra.learn.router import RouterConfig
from nanohydra.learn.service import LearningService
from nanohydra.learn.store import Job, LearningStore

FACTS = ("The printer on our floor is called Heron.",)
PRINTER = {"kind": "fact", "text": "The printer on our floor is called Heron."}
DANA = {"kind": "fact", "text": "Dana Brook plays the cello."}
NEAR = RouterConfig(similarity=4.0, naming=6.0, wording=2.0, bias=-8.0)


class GateHere:
    """Stands in for GateProcess: the same gate, in this process, from the same files."""

    def __init__(self, model: Path, config: LearnConfig, cache: Path | None) -> None:
        from nanohydra.checkpoint import load

        self.gate = Gate(load(model), config, cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(
        self, adapter: Path, items: Any, earlier: Any, texts: Any, *, request: Path,
        divisible: bool, tick: Any,
    ) -> GateReport:  # fmt: skip
        from nanohydra.adapters.files import load_adapter

        tick()
        return self.gate.run(load_adapter(adapter), items, earlier, texts, divisible=divisible)


def submit(store: LearningStore, *texts: str, alias: str = "default") -> str:
    lessons = lessons_of(texts or FACTS, alias=alias)
    store.add_lessons(lessons)
    return store.submit(alias, [lesson.id for lesson in lessons])


def work(home: Path, model: Path, config: LearnConfig) -> int:
    learner = Learner(home, model, config)
    try:
        return learner.run(lambda: False, once=True)
    finally:
        learner.close()


def events(store: LearningStore, job: str) -> list[str]:
    return [row.event for row in store.ledger(job=job)]


def expire(store: LearningStore, job: Job) -> None:
    """Let the lease of a killed learner run out."""
    assert job.worker is not None
    assert store.heartbeat(job.id, job.worker, lease_s=-1.0)


class Host:
    """An engine that only remembers what was loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, AdapterWeights] = {}

    def load(self, weights: AdapterWeights) -> str:
        self.loaded[weights.id] = weights
        return weights.id

    @property
    def resident(self) -> tuple[str, ...]:
        return tuple(self.loaded)


class World:
    """A service, and a learner that works when it is told to. host: see Planner."""

    def __init__(
        self, folder: Path, model: Path, loaded: Loaded, config: LearnConfig, host: Any = None
    ) -> None:
        self.home, self.model, self.config = folder, model, config
        self.host = Host() if host is None else host
        self.service: LearningService = open_learning(
            folder, model, loaded, self.host, name="fake", embedder="hashing", learner=False,
            router=NEAR,
        )  # fmt: skip

    def teach(
        self,
        *lessons: dict[str, Any],
        owner: str = OWNER,
        alias: str = "default",
        resolve: Any = "ask",
        work: bool = True,
    ) -> Any:
        service = self.service.of(owner)
        done = service.submit(list(lessons), alias=alias, resolve=resolve)
        answer = asyncio.run(done)
        if work:
            self.work()
        return answer

    def work(self) -> None:
        learner = Learner(self.home, self.model, self.config)
        try:
            learner.run(lambda: False, once=True)
        finally:
            learner.close()

    def plan(
        self, question: str, *, owner: str = OWNER, model: str = "auto", memory: Any = "auto"
    ) -> RequestPlan:
        messages = [Message(role="user", content=question)]
        service = self.service.of(owner)
        return asyncio.run(service.plan(messages, model=model, memory=memory))
