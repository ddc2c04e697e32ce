"""Jobs, and a learner that works through them in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from nanohydra.learn.config import LearnConfig
from nanohydra.learn.gate import Gate
from nanohydra.learn.learner import Learner
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.report import GateReport
from nanohydra.learn.store import Job, LearningStore

FACTS = ("The printer on our floor is called Heron.",)


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
        self, adapter: Path, items: Any, earlier: Any, texts: Any, *, request: Path, tick: Any
    ) -> GateReport:
        from nanohydra.adapters.files import load_adapter

        tick()
        return self.gate.run(load_adapter(adapter), items, earlier, texts)


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
