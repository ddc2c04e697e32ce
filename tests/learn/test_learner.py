from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nanohydra.adapters.bank import Bank
from nanohydra.core.config import changes, to_dict
from nanohydra.learn import gate, task
from nanohydra.learn import learner as module
from nanohydra.learn.checks import Answered
from nanohydra.learn.config import ConsolidateConfig, GateConfig, LearnConfig
from nanohydra.learn.consolidate import nightly
from nanohydra.learn.gate import Gate
from nanohydra.learn.home import Home
from nanohydra.learn.learner import Learner
from nanohydra.learn.report import GateReport
from nanohydra.learn.store import LearningStore
from tests.learn.learning import events, submit

Settings = Callable[..., LearnConfig]
Learn = Callable[..., int]


def test_lessons_become_a_live_version(
    store: LearningStore, learn: Learn, bank: Bank, tmp_path: Path, settings: Settings
) -> None:
    first, second = submit(store), submit(store, "Mara lives in Brontham.")
    assert learn() == 2
    done = [store.job(first), store.job(second)]
    assert [job.state for job in done] == ["live", "live"]
    assert [job.progress for job in done] == [1.0, 1.0]
    assert bank.alias("default").versions == (done[1].version, done[0].version)
    assert {lesson.state for lesson in store.lessons()} == {"live"}
    assert done[0].version is not None and done[1].version is not None
    roles = store.lessons_of_version(done[1].version)
    assert sorted(roles.values()) == ["new"]  # nothing that a random model recalls is replayed
    manifest = bank.info(done[0].version).manifest
    assert manifest["gate"]["passed"] and manifest["learn"] == to_dict(settings())
    assert set(done[0].gate) >= {"recall", "locality", "forgetting/stories", "earlier"}
    assert events(store, first) == [
        "started", "studied", "trained", "passed", "activated", "live"
    ]  # fmt: skip
    text = json.dumps([row.details for row in store.ledger()]) + json.dumps(dict(manifest))
    assert "Heron" not in text and "Mara" not in text  # ids and numbers, never a lesson's words
    assert not list(Home(tmp_path).staging.iterdir())


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], LearnConfig]]:
    """The trainings that a learner makes: of which lessons, with which settings."""
    found: list[tuple[set[str], LearnConfig]] = []
    train = module.train_adapter

    def watch(loaded: Any, study: Any, replay: Any, anchors: Any, config: Any, **rest: Any) -> Any:
        found.append((set(study.lesson_ids), config))
        return train(loaded, study, replay, anchors, config, **rest)

    monkeypatch.setattr(module, "train_adapter", watch)
    return found


def test_a_version_that_does_harm_is_tried_again_gentler_and_then_left_in_memory(
    store: LearningStore,
    learn: Learn,
    bank: Bank,
    settings: Settings,
    tried: list[tuple[set[str], LearnConfig]],
) -> None:
    job = submit(store)
    learn("--gate.max_relative_change=1e-9")
    first = settings()
    refused = store.job(job)
    assert refused.state == "refused" and refused.version is None
    assert "kept in memory only, because size: " in refused.reason
    assert not refused.gate["size"]["passed"]
    (lesson,) = store.lessons()
    assert lesson.state == "memory_only" and lesson.reason == refused.reason
    rate, kl = first.train.lr, first.train.kl_weight
    assert [c.train.lr for _, c in tried] == [rate, rate / 2, rate / 2]
    assert [c.train.kl_weight for _, c in tried] == [kl, kl * 2, kl * 2]
    assert [c.mixture.replay for _, c in tried] == [first.mixture.replay, 0.25, 0.25]
    assert [c.lora.layers for _, c in tried] == [(), (), (1,)]
    assert events(store, job).count("refused by the gate") == 3
    assert bank.list() == ()


def test_lessons_that_are_not_learned_are_trained_longer(
    store: LearningStore,
    learn: Learn,
    settings: Settings,
    tried: list[tuple[set[str], LearnConfig]],
) -> None:
    job = submit(store)
    learn("--gate.small_sample=99", "--gate.small_misses=0")
    assert "because recall: 0 of" in store.job(job).reason
    first = settings()
    assert {c.train.lr for _, c in tried} == {first.train.lr}
    epochs = first.train.max_epochs
    assert [c.train.max_epochs for _, c in tried] == [epochs, epochs * 1.5, epochs * 1.5**2]


def test_many_lessons_become_live_few_at_a_time(
    store: LearningStore, learn: Learn, bank: Bank
) -> None:
    texts = ("Mara lives in Brontham.", "Otis works as a baker.", "Una works as a guard.")
    job = submit(store, *texts)
    ids = store.job(job).lesson_ids
    learn("--facts_per_version=2")
    assert store.job(job).state == "live"
    newest, first = bank.alias("default").versions
    assert set(store.lessons_of_version(first)) == set(ids[:2])
    assert set(store.lessons_of_version(newest)) == {ids[2]}
    assert store.job(job).version == newest
    assert events(store, job).count("live") == 2
    # who works as a baker is asked although another's work is taught in another version
    assert {i.kind for i in store.study_items(ids[1:2])} >= {"reverse"}


def test_a_live_lesson_that_no_version_holds_is_learned_again(
    store: LearningStore, learn: Learn, bank: Bank
) -> None:
    first = submit(store, "Mara lives in Brontham.")
    learn()
    bank.activate("default", ())
    again = store.submit("default", store.job(first).lesson_ids)
    learn()
    assert store.job(again).state == "live"
    assert bank.alias("default").versions == (store.job(again).version,)


@pytest.fixture
def three_lessons(store: LearningStore) -> tuple[str, tuple[str, ...]]:
    """A job, and the lessons of it."""
    job = submit(store, "Mara lives in Brontham.", "Otis works as a baker.", "Una is a guard.")
    return job, tuple(store.job(job).lesson_ids)


def test_of_refused_lessons_each_gets_its_own_chance(
    three_lessons: tuple[str, tuple[str, ...]],
    store: LearningStore,
    learn: Learn,
    bank: Bank,
    tried: list[tuple[set[str], LearnConfig]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, (one, two, three) = three_lessons
    run = Gate.run

    def refuse(self: Gate, weights: Any, items: Any, *rest: Any, divisible: bool) -> GateReport:
        """Refuse every version that holds the second lesson."""
        report = run(self, weights, items, *rest, divisible=divisible)
        check = replace(report.checks["size"], passed=two not in {i.lesson_id for i in items})
        return replace(report, checks={**report.checks, "size": check})

    monkeypatch.setattr(Gate, "run", refuse)
    learn()
    every, pair = {one, two, three}, {one, two}
    assert [lessons for lessons, _ in tried] == [every, pair, {one}] + [{two}] * 3 + [{three}]
    done = store.job(job)
    assert done.state == "live" and done.progress == 1.0
    assert done.reason.startswith("1 of 3 lessons are kept in memory only, because size: ")
    assert done.gate["size"]["passed"]  # of the versions that are live
    states = [lesson.state for lesson in store.lessons_by_id([one, two, three])]
    assert states == ["live", "memory_only", "live"]
    assert len(bank.alias("default").versions) == 2


def test_a_version_goes_live_for_the_lessons_that_it_has_proven(
    three_lessons: tuple[str, tuple[str, ...]],
    store: LearningStore,
    learn: Learn,
    bank: Bank,
    tried: list[tuple[set[str], LearnConfig]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, (one, two, three) = three_lessons

    def leave_out(answered: Answered, config: GateConfig) -> dict[str, list[str]]:
        asked = {item.lesson_id for item in answered.items}
        return {two: ["reverse"]} if {one, two} <= asked else {}

    monkeypatch.setattr(gate, "unproven", leave_out)
    learn()
    assert [lessons for lessons, _ in tried] == [{one, two, three}, {two}]
    again = tried[1][1].train
    assert (again.reverse_times, again.lr) == (tried[0][1].train.reverse_times + 1, again.lr)
    newest, first = bank.alias("default").versions
    roles = {one: "new", two: "unproven", three: "new"}
    assert store.lessons_of_version(first) == roles
    assert store.lessons_of_version(newest)[two] == "new"
    assert set(bank.info(first).manifest["lessons"]) == {one, three}
    assert store.job(job).state == "live" and not store.job(job).reason
    assert {lesson.state for lesson in store.lessons()} == {"live"}
    assert first in store.versions_that_saw(two)  # so it goes with the lesson
    (told,) = [r.details["text"] for r in store.ledger(job=job) if r.details.get("unproven")]
    assert told == "passed for 2 of 3 lessons; the rest is taught again"


def test_what_the_base_knows_is_not_trained(
    store: LearningStore, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "judge", lambda *_, **__: True)
    job = submit(store)
    learn()
    assert store.job(job).state == "live" and store.job(job).version is None
    assert store.job(job).reason == module.BECAUSE_KNOWN


def test_cancelling_stops_the_training_and_frees_the_learner(
    store: LearningStore,
    gate_here: None,
    bank: Bank,
    tmp_path: Path,
    model_folder: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = submit(store), submit(store)
    progress = module.Work.progress

    def cancel(self: module.Work, share: float) -> None:
        progress(self, share)
        if self.job.id == first:
            store.cancel(first)

    monkeypatch.setattr(module.Work, "progress", cancel)
    config = settings("--train.max_steps=400", "--train.check_every=1000")
    monkeypatch.setattr("nanohydra.learn.work.SECONDS_BETWEEN_BEATS", 0.02)
    learner = Learner(tmp_path, model_folder, config)
    job = store.claim(learner.worker)
    assert job is not None
    learner.do(job)
    assert store.job(first).state == "cancelled" and events(store, first)[-1] == "cancelled"
    assert {x.state for x in store.lessons_by_id(job.lesson_ids)} == {"remembered"}
    assert store.job(second).state == "queued"
    assert bank.list() == ()
    learner.close()


def test_a_learner_that_is_told_to_end_gives_its_job_back(
    store: LearningStore, learn: Learn, tmp_path: Path, model_folder: Path, settings: Settings
) -> None:
    job = submit(store)
    learner = Learner(tmp_path, model_folder, settings("--train.max_steps=1000"))
    asked = iter([False] * 8)
    learner.run(lambda: next(asked, True))
    assert store.job(job).state == "queued" and events(store, job)[-1] == "released"
    learner.close()
    assert learn() == 1
    assert store.job(job).state == "live"


def test_a_job_that_fails_does_not_take_the_learner_with_it(
    store: LearningStore, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "study", lambda *_, **__: 1 / 0)
    first = submit(store)
    second = submit(store)
    assert learn() == 2
    assert store.job(first).state == "failed"
    assert store.job(first).reason == "ZeroDivisionError: division by zero"
    assert store.job(second).state == "failed"  # the learner went on


def test_consolidation_puts_one_version_in_the_place_of_many(
    store: LearningStore, learn: Learn, bank: Bank
) -> None:
    for text in ("Mara lives in Brontham.", "Otis works as a baker.", "The dog is called Biscuit."):
        submit(store, text)
    learn()
    newest, *old = bank.alias("default").versions
    ids = [lesson.id for lesson in store.lessons()][:2]
    job = store.submit("default", ids, kind="consolidate", details={"versions": old})
    learn()
    version = store.job(job).version
    assert version is not None and bank.alias("default").versions == (version, newest)
    assert {info.id for info in bank.list()} == {version, newest, *old}  # the parents stay
    assert set(store.lessons_of_version(version)) == set(ids)


def test_a_refused_consolidation_is_tried_again_as_a_whole(
    store: LearningStore, learn: Learn, bank: Bank, tried: list[tuple[set[str], LearnConfig]]
) -> None:
    for text in ("Mara lives in Brontham.", "Otis works as a baker."):
        submit(store, text)
    learn()
    before = bank.alias("default").versions
    ids = [lesson.id for lesson in store.lessons()]
    tried.clear()
    job = store.submit("default", ids, kind="consolidate", details={"versions": list(before)})
    learn("--gate.max_relative_change=1e-9")
    assert [lessons for lessons, _ in tried] == [set(ids)] * 3
    assert store.job(job).state == "refused" and bank.alias("default").versions == before
    assert {lesson.state for lesson in store.lessons()} == {"live"}


def test_at_night_versions_are_put_together_by_themselves(
    store: LearningStore, learn: Learn, bank: Bank
) -> None:
    submit(store, "Mara lives in Brontham.")
    submit(store, "Otis works as a baker.")
    learn()
    few, many = ConsolidateConfig(most_versions=2), ConsolidateConfig(most_versions=1)
    at = datetime.fromtimestamp(store.jobs()[0].created).replace

    def queued(hour: int, config: ConsolidateConfig) -> list[str]:
        return nightly(at(hour=hour), store=store, bank=bank, config=config)

    assert queued(3, few) == [] and queued(12, many) == [] and queued(5, many) == []
    assert queued(3, replace(many, nightly=False)) == []
    assert queued(1, replace(many, hours=(22, 1))) == []
    (job,) = queued(0, replace(many, hours=(22, 1)))
    assert store.job(job).kind == "consolidate" and queued(3, many) == []  # one at a time
    learn()
    assert store.job(job).state == "live"
    assert bank.alias("default").versions == (store.job(job).version,)
    submit(store, "The dog is called Biscuit.")
    learn()
    assert queued(4, many) == []  # not twice in a night


def test_a_lesson_deleted_while_it_is_published_never_goes_live(
    store: LearningStore, learn: Learn, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(store, "Mara lives in Brontham.", "Otis works as a baker.")
    gone = store.job(job).lesson_ids[0]
    publish = Bank.publish

    def delete(self: Bank, *words: Any, **rest: Any) -> str:
        version = publish(self, *words, **rest)
        if store.lesson(gone).state != "deleted":
            store.delete_lesson(gone)
        return version

    monkeypatch.setattr(Bank, "publish", delete)
    learn()
    (version,) = bank.alias("default").versions
    assert store.versions_that_saw(gone) == () or version not in store.versions_that_saw(gone)
    assert store.job(job).state == "live" and "dropped" in events(store, job)


def test_the_command_works_through_a_queue_with_the_real_gate(
    store: LearningStore, tmp_path: Path, model_folder: Path, settings: Settings
) -> None:
    job = submit(store)
    words = changes(settings(), "learn.")
    nice = os.nice(0)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nanohydra", "learner", "--once"),
            *("--model", str(model_folder), "--home", str(tmp_path), *words),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "1 job done" in done.stderr and os.nice(0) == nice
    assert store.job(job).state == "live"
