"""The learner: takes jobs from the queue, one at a time, and brings their lessons to life.

Few lessons at a time: study, train, gate, publish. What is refused is tried again in another way,
then in smaller parts; at last a lesson stays in memory only. It meets the server in the learning
home alone. Killed at any moment it leaves the alias as it was, or with versions that the gate let
through.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from nanohydra.adapters.bank import Bank
from nanohydra.adapters.files import save_adapter
from nanohydra.checkpoint import Loaded, load
from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.learn.anchors import GENERAL, Anchors, domains_of
from nanohydra.learn.batches import batches, halves
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.consolidate import nightly
from nanohydra.learn.gate_process import GateFailed, GateProcess
from nanohydra.learn.home import Home
from nanohydra.learn.precision import train_dtype
from nanohydra.learn.publisher import Publisher
from nanohydra.learn.report import GateReport, narrowest
from nanohydra.learn.retry import next_try, of_part
from nanohydra.learn.store import Job, LearningStore
from nanohydra.learn.task import Task, TaskMaker
from nanohydra.learn.train import Stopped, TrainedAdapter, train_adapter
from nanohydra.learn.work import WHOLE, Cancelled, Released, Work, rounded

logger = logging.getLogger(__name__)
STUDIED, TRAINED, TESTED = 0.05, 0.75, 0.95  # how far a version is when a step is done
BECAUSE_KNOWN = "the model answers every question about it already"


@dataclass(frozen=True)
class Refusal:
    """Why lessons have no version, in plain words; the checks of the last one, and which failed.

    lessons: which; others that were learned with them may have passed.
    """

    lessons: Sequence[str]
    reason: str
    gate: Mapping[str, Any] = field(default_factory=dict)
    failed: Sequence[str] = ()


class Learner:
    """Works through the jobs of a learning home with one model.

    model: the folder of the base, from which the gate reads it too.
    """

    def __init__(self, home: Path, model: Path, config: LearnConfig) -> None:
        self.home, self.model, self.config = Home(home), model, config
        self.store = LearningStore(self.home.database)
        self.bank = Bank(self.home.bank)
        self.worker = f"learner-{secrets.token_hex(4)}"
        self.loaded: Loaded = load(model, dtype=train_dtype(config.train, model))
        self.dtype = str(self.loaded.model.dtype).removeprefix("torch.")
        logger.info("the base is loaded in %s, and stays so while adapters are trained", self.dtype)
        self.tasks = TaskMaker(self.store, self.bank, self.loaded, config, self.home.cache)
        self.publisher = Publisher(self.store, self.bank, self.loaded.config)
        if GENERAL not in domains_of(self.loaded, config.anchors):
            _ = self.anchors  # before the first job, as it is quick

    @cached_property
    def anchors(self) -> Anchors:
        """What the base is held to; the answers of a large one take a while."""
        return Anchors.of_recipe(self.loaded, self.config)

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    def run(self, ending: Callable[[], bool], *, once: bool = False) -> int:
        """Work until `ending` says so, or with `once` until the queue is empty; jobs done."""
        done = 0
        while not ending():
            job = self.store.claim(self.worker, lease_s=self.config.learner.lease_seconds)
            if job is not None:
                self.do(job, ending)
                done += 1
            elif once:
                break
            elif not nightly(
                datetime.now(), store=self.store, bank=self.bank, config=self.config.consolidate
            ):
                time.sleep(self.config.learner.poll_seconds)
        return done

    def do(self, job: Job, ending: Callable[[], bool] = lambda: False) -> None:
        """One claimed job from where it stands to its end; whatever happens, only it fails."""
        lease_s = self.config.learner.lease_seconds
        folder = self.home.staging / job.id
        with Work(self.store, job, self.worker, folder, lease_s=lease_s, ending=ending) as work:
            try:
                self.learn(work)
            except (Cancelled, Stopped):
                if ending() and self.store.release(job.id, self.worker):
                    work.record("released")
                elif self.store.update(job.id, worker=self.worker, state="cancelled"):
                    work.record("cancelled")
            except Released:
                self.store.release(job.id, self.worker)
                work.record("released")
            except Exception as error:
                logger.exception("job %s failed", job.id)
                kind = "" if isinstance(error, UserError | GateFailed) else type(error).__name__
                reason = f"{kind}: {error}" if kind else str(error)
                self.store.update(job.id, worker=self.worker, state="failed", reason=reason)
                work.record("failed")

    def learn(self, work: Work) -> None:
        """Bring the lessons to life, few at a time; what is live already stays as it is."""
        job, retry = work.job, self.config.retry
        work.record("started", attempt=job.attempts, lessons=len(job.lesson_ids))
        if job.version is not None:  # which a killed learner may have left by halves
            self.publisher.resume(work, job.version)
        total = len(job.lesson_ids)
        waiting = deque((ids, self.config) for ids in self.waiting(job))
        refused: dict[str, str] = {}
        while waiting:
            ids, config = waiting.popleft()
            left = len(ids) + sum(len(each) for each, _ in waiting)
            work.part = (1 - left / total, len(ids) / total)
            divisible = len(ids) > 1 and job.kind == "learn" and retry.attempts > 1
            refusal = self.bring(work, ids, config, divisible=divisible)
            if refusal is None:
                continue
            if divisible:
                settings = of_part(self.config, refusal.failed)
                rest = list(refusal.lessons)
                parts = [rest] if len(rest) < len(ids) else halves(ids)
                waiting.extendleft((part, settings) for part in reversed(parts))
            else:
                self.give_up(work, ids, refusal)
                refused |= dict.fromkeys(ids, refusal.reason)
        work.part = WHOLE
        self.close_job(work, refused)

    def waiting(self, job: Job) -> list[list[str]]:
        """The lessons of a job that are not live, as they are to be learned together."""
        versions = self.bank.of(job.owner).alias(job.alias).versions
        if job.kind == "consolidate":
            return [] if job.version in versions else [list(job.lesson_ids)]
        held = {
            lesson
            for version in versions
            for lesson, role in self.store.lessons_of_version(version).items()
            if role == "new"
        }
        lessons = [
            lesson
            for lesson in self.store.lessons_by_id(job.lesson_ids, owner=job.owner)
            if lesson.state != "deleted" and not (lesson.state == "live" and lesson.id in held)
        ]
        found = batches(lessons, most=self.config.facts_per_version)
        if not found and not held.intersection(job.lesson_ids):
            raise UserError("its lessons were deleted")
        return found

    def bring(
        self, work: Work, lesson_ids: Sequence[str], first: LearnConfig, *, divisible: bool
    ) -> Refusal | None:
        """Study, train and test lessons as one version and publish it, or say why not.

        divisible: it is tried once, and published for those lessons that pass.
        """
        work.state("studying", 0.0)
        task = self.tasks.make(work, lesson_ids)
        if not task.study.items:
            self.store.set_lessons(lesson_ids, "live", BECAUSE_KNOWN)
            work.record("known")
            return None
        config, refusal = first, Refusal(lesson_ids, "")
        layers = self.loaded.config.num_layers
        for number in range(1, 2 if divisible else self.config.retry.attempts + 1):
            found = self.attempt(work, task, config, number, divisible=divisible)
            if isinstance(found, str):
                refusal = Refusal(lesson_ids, found)
            else:
                trained, report = found
                if report.passed:
                    self.publish(work, task, trained, report, config)
                    failed = {name for names in report.unproven.values() for name in names}
                    left = [id for id in lesson_ids if id in report.unproven]
                    return Refusal(left, "", failed=sorted(failed)) if left else None
                checks = report.to_json()["checks"]
                refusal = Refusal(lesson_ids, report.reason, checks, report.failed)
            config = next_try(first, config, refusal.failed, layers)
        return refusal

    def attempt(
        self, work: Work, task: Task, config: LearnConfig, number: int, *, divisible: bool
    ) -> tuple[TrainedAdapter, GateReport] | str:
        """One training and its test; instead of them, why there is nothing to test."""
        work.state("training", STUDIED)
        scratch = Path(tempfile.mkdtemp(dir=work.folder))
        adapter = scratch / "adapter"
        # Started now, so that its imports and its base are there when the adapter is.
        with GateProcess(self.model, config, self.home.cache) as gate:
            try:
                with work.timed("trained") as row:
                    trained = train_adapter(
                        self.loaded,
                        task.study,
                        task.replay,
                        self.anchors,
                        config,
                        on_progress=lambda share, _: work.progress(
                            STUDIED + share * (TRAINED - STUDIED)
                        ),
                        should_stop=work.should_stop,
                    )
                    row |= trained.metrics
                    row |= {"round": number, "dtype": self.dtype}
            except Stopped:
                work.check()
                raise
            except UserError as error:
                work.record("broke down", round=number)
                return str(error)
            save_adapter(adapter, trained.weights, self.loaded.config, manifest={})
            work.state("testing", TRAINED)
            report = gate.ask(
                adapter, task.held_out, task.earlier, task.texts, divisible=divisible,
                request=scratch / "request.json", tick=work.check,
            )  # fmt: skip
        values = {name: check.value for name, check in report.checks.items()}
        told = {}
        if report.passed and report.unproven:
            of = f"{len(report.lessons) - len(report.unproven)} of {len(report.lessons)} lessons"
            told = {"text": f"passed for {of}; the rest is taught again"}
        work.state("testing", TESTED, gate=report.to_json()["checks"])
        work.record(
            "passed" if report.passed else "refused by the gate",
            values=rounded(values), failed=report.failed,
            seconds=round(report.seconds, 3), cpu_seconds=round(report.cpu_seconds, 3),
            round=number, unproven=len(report.unproven), **told,
        )  # fmt: skip
        return trained, report

    def publish(
        self,
        work: Work,
        task: Task,
        trained: TrainedAdapter,
        report: GateReport,
        config: LearnConfig,
    ) -> None:
        """Make the new version live, with all that is known of it."""
        manifest: dict[str, Any] = {
            "lessons": {
                id: report.lessons.get(id)
                for id in task.study.lesson_ids
                if id not in report.unproven
            },
            "unproven": sorted(report.unproven),
            "replay": sorted({item.lesson_id for item in task.replay}),
            "replaces": list(task.replaces),
            "gate": report.to_json(),
            "train": rounded(trained.metrics),
            "learn": to_dict(config),
        }
        self.publisher.publish(work, trained.weights, manifest)

    def give_up(self, work: Work, lesson_ids: Sequence[str], refusal: Refusal) -> None:
        """Leave lessons in memory only."""
        why = f"kept in memory only, because {refusal.reason}"
        if work.job.kind == "learn":
            self.store.set_lessons(lesson_ids, "memory_only", why)
        work.record("refused", lessons=list(lesson_ids), reason=why, gate=refusal.gate)

    def close_job(self, work: Work, refused: Mapping[str, str]) -> None:
        """Say how the job ended: live if anything of it is, with what is not."""
        reason = " ".join(dict.fromkeys(refused.values()))
        total = len(work.job.lesson_ids)
        if len(refused) == total:
            work.state("refused", 1.0, reason=f"kept in memory only, because {reason}")
            return
        rows = self.store.ledger(event="live", job=work.job.id)
        gate = narrowest(row.details.get("gate", {}) for row in rows)
        told = "" if rows else BECAUSE_KNOWN
        if refused:
            told = f"{len(refused)} of {total} lessons are kept in memory only, because {reason}"
        work.state("live", 1.0, gate=gate, reason=told)
