"""The learner: takes jobs from the queue, one at a time, and brings their lessons to life.

Study, train, gate, publish, and for a version that is refused the gentler tries of the recipe; at
last the lessons stay in memory only. It meets the server in the learning home alone. Killed at any
moment it leaves the alias as it was, or with a version that the gate let through.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.consolidate import nightly
from nanohydra.learn.gate import Earlier
from nanohydra.learn.gate_process import GateFailed, GateProcess
from nanohydra.learn.home import Home
from nanohydra.learn.replay import choose_replay
from nanohydra.learn.replies import reply_to_all
from nanohydra.learn.report import GateReport
from nanohydra.learn.store import Job, LearningStore
from nanohydra.learn.study import Study, StudyItem, judge, study
from nanohydra.learn.train import Stopped, TrainedAdapter, train_adapter, train_dtype
from nanohydra.learn.work import Cancelled, Released, Work, rounded

logger = logging.getLogger(__name__)
STUDIED, TRAINED, TESTED = 0.05, 0.75, 0.95  # how far a job is when a step is done
TRAINED_ASKED = 2  # of a lesson that has no held-out questions
NOTE_CHARS = 500
BECAUSE_KNOWN = "the model answers every question about it already"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one job has to train and to prove.

    replay: items of earlier lessons. earlier: what must still be answered, and by which version.
    replaces: versions that the new one takes the place of.
    """

    study: Study
    replay: Sequence[StudyItem]
    earlier: Sequence[Earlier]
    replaces: Sequence[str] = ()

    @property
    def held_out(self) -> list[StudyItem]:
        """What the gate asks about the new lessons: of one without held-out items, trained ones."""
        asked: list[StudyItem] = []
        for lesson in self.study.lesson_ids:
            own = [i for i in self.study.items if i.lesson_id == lesson and i.messages]
            held = [i for i in own if i.split == "test"]
            asked += held or [i for i in own if i.split == "train"][:TRAINED_ASKED]
        return asked


class Learner:
    """Works through the jobs of a learning home with one model.

    model: the folder of the base, from which the gate reads it too.
    """

    def __init__(self, home: Path, model: Path, config: LearnConfig) -> None:
        self.home, self.model, self.config = Home(home), model, config
        self.store = LearningStore(self.home.database)
        self.bank = Bank(self.home.bank)
        self.worker = f"learner-{secrets.token_hex(4)}"
        dtype = train_dtype(config.train)
        self.loaded: Loaded = load(model, dtype=dtype)
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
        """Study, train and test, as often as the recipe allows, then publish or give up."""
        job = work.job
        work.record("started", attempt=job.attempts, lessons=len(job.lesson_ids))
        if job.version is not None and self.finish(work, job.version):
            return
        work.state("studying", 0.0)
        task = self.study(work)
        if not task.study.items:
            work.state("live", 1.0, reason=BECAUSE_KNOWN)
            work.record("known")
            return
        for attempt, config in enumerate(self.ladder(), 1):
            found = self.attempt(work, task, config, attempt)
            if isinstance(found, str):
                reason = found
                continue
            trained, report = found
            if report.passed:
                self.publish(work, task, trained, report, config)
                return
            reason = report.reason
        self.give_up(work, reason)

    def ladder(self) -> list[LearnConfig]:
        """The recipe, then gentler ones: slower and held back more, then with fewer layers too."""
        retry, first = self.config.retry, self.config
        train = replace(
            first.train,
            lr=first.train.lr * retry.lr_factor,
            kl_weight=first.train.kl_weight * retry.kl_factor,
        )
        mixture = replace(first.mixture, replay=retry.replay)
        second = replace(first, train=train, mixture=mixture)
        num_layers = self.loaded.config.num_layers
        upper = tuple(range(num_layers // 2, num_layers))
        third = replace(second, lora=replace(first.lora, layers=upper))
        return [first, second, third][: retry.attempts]

    def attempt(
        self, work: Work, task: Task, config: LearnConfig, number: int
    ) -> tuple[TrainedAdapter, GateReport] | str:
        """One training and its test; instead of them, why there is nothing to test."""
        work.state("training", STUDIED)
        adapter = work.folder / f"adapter-{number}"
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
                    row["round"] = number
            except Stopped:
                work.check()
                raise
            except UserError as error:
                work.record("broke down", round=number)
                return str(error)
            save_adapter(adapter, trained.weights, self.loaded.config, manifest={})
            work.state("testing", TRAINED)
            report = gate.ask(
                adapter, task.held_out, task.earlier, self.texts(task.study),
                request=work.folder / f"request-{number}.json", tick=work.check,
            )  # fmt: skip
        passed = {name: check.passed for name, check in report.checks.items()}
        values = {name: check.value for name, check in report.checks.items()}
        work.state("testing", TESTED, gate=report.to_json()["checks"])
        work.record(
            "passed" if report.passed else "refused by the gate",
            values=rounded(values), failed=[name for name, ok in passed.items() if not ok],
            seconds=round(report.seconds, 3), cpu_seconds=round(report.cpu_seconds, 3),
            round=number,
        )  # fmt: skip
        return trained, report

    def texts(self, made: Study) -> dict[str, str]:
        """What the short lessons say, by id; of long ones a memory finds only parts."""
        lessons = self.store.lessons_by_id(made.lesson_ids)
        return {lesson.id: lesson.text for lesson in lessons if len(lesson.text) <= NOTE_CHARS}

    def study(self, work: Work) -> Task:
        """Items of the job's lessons, without those that the base knows; and those of others."""
        job = work.job
        with work.timed("studied") as row:
            lessons = [x for x in self.store.lessons_by_id(job.lesson_ids) if x.state != "deleted"]
            if not lessons:
                raise UserError("its lessons were deleted")
            made = study(lessons, seed=self.config.seed)
            self.store.save_study(made.items)
            known = () if job.kind == "consolidate" else self.known(made)
            kept = tuple(item for item in made.items if item.lesson_id not in known)
            replaces = tuple(job.details.get("versions", ())) if job.kind == "consolidate" else ()
            held, earlier = self.earlier(job, replaces)
            new = [item for item in kept if item.split == "train"]
            replay = choose_replay(held, new, count=len(new), seed=self.config.seed)
            row |= {"lessons": len(lessons), "known": len(known), "items": len(kept)}
            row |= {"replayed": len(replay)}
        return Task(study=Study(items=kept), replay=replay, earlier=earlier, replaces=replaces)

    def known(self, made: Study) -> set[str]:
        """Lessons of which the base answers every held-out question already."""
        asked = [item for item in made.items if item.split != "train" and item.messages]
        replies = reply_to_all(
            self.loaded.model,
            self.loaded.tokenizer,
            [item.messages for item in asked],
            max_new_tokens=self.config.train.max_new_tokens,
        )
        right = [
            judge(item, reply.message.content, finished=reply.ended)
            for item, reply in zip(asked, replies, strict=True)
        ]
        wrong = {item.lesson_id for item, ok in zip(asked, right, strict=True) if not ok}
        return {item.lesson_id for item in asked} - wrong

    def earlier(self, job: Job, replaces: Sequence[str]) -> tuple[list[StudyItem], list[Earlier]]:
        """The items of earlier lessons, and what the gate asks about them."""
        held: list[StudyItem] = []
        earlier: list[Earlier] = []
        room = self.config.gate.earlier_items
        live = {lesson.id for lesson in self.store.lessons(states=("live",), alias=job.alias)}
        for version in self.bank.alias(job.alias).versions:
            recalled = self.bank.info(version).manifest.get("lessons", {})
            new = version in replaces  # its lessons are those of the job
            ids = [id for id, share in recalled.items() if id in live and (share or 0.0) >= 0.5]
            items = self.store.study_items([i for i in ids if new or i not in job.lesson_ids])
            held += () if new else items
            # All questions of a lesson, as at its own gate, or none.
            asked: list[StudyItem] = []
            for lesson in dict.fromkeys(item.lesson_id for item in items):
                own = [i for i in items if i.lesson_id == lesson and i.split == "test"]
                own = [i for i in own if i.kind != "reverse"]
                if len(own) <= room:
                    asked += own
                    room -= len(own)
            if asked:
                folder = None if new else self.bank.path(version)
                earlier.append(Earlier(folder=folder, items=tuple(asked)))
        return held, earlier

    def publish(
        self,
        work: Work,
        task: Task,
        trained: TrainedAdapter,
        report: GateReport,
        config: LearnConfig,
    ) -> None:
        """Into the bank, then into the alias. Killed in between, `finish` does the rest."""
        job = work.job
        manifest: dict[str, Any] = {
            "alias": job.alias,
            "job": job.id,
            "lessons": {id: report.lessons.get(id) for id in task.study.lesson_ids},
            "replay": sorted({item.lesson_id for item in task.replay}),
            "replaces": list(task.replaces),
            "gate": report.to_json(),
            "train": rounded(trained.metrics),
            "learn": to_dict(config),
        }
        work.renew()
        version = self.bank.publish(trained.weights, self.loaded.config, manifest=manifest)
        work.state("testing", TESTED, version=version)
        self.finish(work, version)

    def finish(self, work: Work, version: str) -> bool:
        """Make a published version live; False if it is not in the bank."""
        try:
            info = self.bank.info(version)
        except UserError:
            return False
        job, manifest = work.job, info.manifest
        self.store.record_version(version, new=manifest["lessons"], replay=manifest["replay"])
        if self.change_alias(job.alias, add=version, drop=manifest["replaces"]):
            work.record("activated", version=version, alias=job.alias)
        # Whoever deletes a lesson from now on sees this version; who did before is seen here.
        if self.deleted([*manifest["lessons"], *manifest["replay"]]):
            self.change_alias(job.alias, drop=[version])
            self.bank.remove(version)
            work.record("dropped", version=version)
            raise Released
        work.state("live", 1.0, version=version)
        earlier = manifest["gate"].get("earlier", {})
        work.record("live", version=version, lessons=manifest["lessons"], earlier=earlier)
        return True

    def change_alias(self, alias: str, *, add: str = "", drop: Sequence[str] = ()) -> bool:
        """Put a version in front of an alias's and take others away; False if it stood so."""
        while True:
            versions = self.bank.alias(alias).versions
            kept = tuple(v for v in versions if v not in drop)
            wanted = (add, *kept) if add and add not in kept else kept
            if wanted == versions:
                return False
            try:
                self.bank.activate(alias, wanted, expected=versions)
            except UserError:
                if self.bank.alias(alias).versions == versions:
                    raise  # not because someone else changed it
            else:
                return True

    def deleted(self, lesson_ids: Sequence[str]) -> bool:
        """Whether one of these lessons is gone."""
        return any(x.state == "deleted" for x in self.store.lessons_by_id(lesson_ids))

    def give_up(self, work: Work, reason: str) -> None:
        """Leave the lessons in memory only."""
        why = f"kept in memory only, because {reason}"
        work.state("refused", 1.0, reason=why)
        if work.job.kind == "learn":
            self.store.set_lessons(work.job.lesson_ids, "memory_only", why)
        work.record("refused")
