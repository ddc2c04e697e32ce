"""Several owners in one learning home: nothing that one teaches is another's, in any step."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nanohydra.adapters.bank import Bank
from nanohydra.core.errors import UserError
from nanohydra.learn import task
from nanohydra.learn.config import ConsolidateConfig
from nanohydra.learn.consolidate import consolidate, nightly
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.store import LearningStore, UnknownJob, UnknownLesson
from nanohydra.learn.study import StudyItem
from tests.learn.learning import DANA, PRINTER, World

ROBIN = {"kind": "fact", "text": "The printer on our floor is called Robin."}
ASKED = "What is the printer called?"


def version_of(world: World, taken: Any, owner: str) -> str:
    job = world.service.of(owner).job(taken["job"])
    assert job["state"] == "live", job
    return str(job["version"])


def test_both_teach_the_contrary_under_one_alias(world: World) -> None:
    ana = world.teach(PRINTER, owner="ana")
    ben = world.teach(ROBIN, owner="ben")
    assert ana["warnings"] == ben["warnings"] == []
    assert ana["conflicts"] == ben["conflicts"] == []
    versions = {"ana": version_of(world, ana, "ana"), "ben": version_of(world, ben, "ben")}
    for owner, taken, text in (("ana", ana, PRINTER), ("ben", ben, ROBIN)):
        plan = world.plan(ASKED, owner=owner)
        assert plan.versions == (versions[owner],)
        assert [lesson["id"] for lesson in plan.lessons] == taken["lessons"]
        assert [source["text"] for source in plan.sources] == [text["text"]]
        aliases = world.service.of(owner).aliases()
        assert [(each["name"], each["versions"]) for each in aliases] == [
            ("default", [versions[owner]])
        ]
    again = world.teach(PRINTER, owner="ben", work=False)
    assert [c["earlier"]["id"] for c in again["conflicts"]] == ben["lessons"]
    assert world.plan(ASKED).label == "base", "and the default owner knows of neither"
    assert world.service.lessons() == world.service.adapters() == world.service.jobs() == []


def test_what_was_said_by_another_is_no_duplicate(world: World) -> None:
    world.teach(PRINTER, owner="ana", work=False)
    taken = world.teach(PRINTER, owner="ben", work=False)
    assert taken["warnings"] == [] and len(taken["lessons"]) == 1


def test_a_waiting_job_is_not_for_others_to_end(world: World) -> None:
    job = world.teach(PRINTER, owner="ana", work=False)["job"]
    for owner in ("ben", "local"):
        with pytest.raises(UnknownJob, match="there is no job"):
            world.service.of(owner).cancel(job)
    assert world.service.of("ana").job(job)["state"] == "queued"
    assert world.service.of("ana").cancel(job)["state"] == "cancelled"


def test_a_study_denies_nothing_that_others_told(world: World) -> None:
    scanner = {"kind": "fact", "text": "The scanner in our hall is called Osprey."}
    world.teach(scanner, owner="ana")
    studied = {}
    for owner in ("ana", "ben"):
        taken = world.teach(PRINTER, owner=owner)
        studied[owner] = str(world.service.store.study_items(taken["lessons"]))
    assert "Osprey" in studied["ana"], "one's own other names are denied"
    assert "Heron" in studied["ben"] and "Osprey" not in studied["ben"]


def test_replay_and_the_gate_take_the_owners_lessons(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[set[str]] = []
    earlier: list[set[str]] = []

    def replay(held: Any, new: Any, **options: Any) -> Any:
        chosen = choose_replay(held, new, **options)
        replayed.append({item.lesson_id for item in chosen})
        return chosen

    def ask(self: Any, *words: Any) -> Any:
        found, asked = earlier_of(self, *words)
        earlier.append({item.lesson_id for each in asked for item in each.items})
        return found, asked

    choose_replay, earlier_of = task.choose_replay, task.TaskMaker.earlier
    monkeypatch.setattr(task, "choose_replay", replay)
    monkeypatch.setattr(task.TaskMaker, "earlier", ask)
    # Random models recall nothing; what is replayed is what was recalled.
    monkeypatch.setattr(Bank, "info", recalled(Bank.info))
    ana = world.teach(PRINTER, owner="ana")
    world.teach(DANA, owner="ben")
    assert replayed == [set(), set()] and earlier == [set(), set()]
    world.teach({"kind": "fact", "text": "Mara lives in Lisbon."}, owner="ana")
    assert replayed[-1] == earlier[-1] == set(ana["lessons"])


def recalled(info: Any) -> Any:
    """Says of every version that it knows its lessons."""

    def known(self: Bank, version: str) -> Any:
        found = info(self, version)
        lessons = dict.fromkeys(found.manifest.get("lessons", {}), 1.0)
        return type(found)(**{**vars(found), "manifest": {**found.manifest, "lessons": lessons}})

    return known


def test_a_job_with_anothers_lesson_fails_before_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanohydra.learn.learner.train_adapter", None)
    taken = world.teach(PRINTER, owner="ana", work=False)
    world.service.store.cancel(taken["job"])
    job = world.service.store.submit("default", taken["lessons"], owner="ben")
    world.work()
    shown = world.service.of("ben").job(job)
    assert shown["state"] == "failed" and "there is no lesson" in shown["reason"]
    assert world.service.of("ben").adapters() == []


def test_consolidation_is_an_owners_own(world: World) -> None:
    taken = [world.teach(each, owner="ana") for each in (PRINTER, DANA)]
    world.teach(ROBIN, owner="ben")
    store, bank = world.service.store, world.service.bank
    for other in (bank, bank.of("ben")):
        with pytest.raises(UserError, match="nothing to put together"):
            consolidate("default", store=store, bank=other)
    config, night = ConsolidateConfig(most_versions=1), datetime(2030, 1, 1, 3)
    (id,) = nightly(night, store=store, bank=bank, config=config)
    job = store.job(id)
    assert (job.owner, job.alias, job.kind) == ("ana", "default", "consolidate")
    assert set(job.lesson_ids) == {id for each in taken for id in each["lessons"]}
    before = bank.of("ben").alias("default")
    world.work()
    (version,) = bank.of("ana").alias("default").versions
    assert store.job(id).version == version and bank.of("ben").alias("default") == before
    assert nightly(night, store=store, bank=bank, config=config) == []


def test_forgetting_changes_nothing_of_others(world: World) -> None:
    ana = world.teach(PRINTER, owner="ana")
    ben = world.teach(PRINTER, DANA, owner="ben")
    other = world.service.of("ben")
    studied = world.service.store.study_items(ben["lessons"])
    before = other.lessons(), other.dashboard(), other.aliases()
    for owner in ("ben", "local"):
        with pytest.raises(UnknownLesson):
            world.service.of(owner).delete_lesson(ana["lessons"][0])
    assert world.service.of("ana").lessons() != []
    world.service.of("ana").delete_lesson(ana["lessons"][0])
    assert world.service.of("ana").lessons() == []
    assert world.plan(ASKED, owner="ana").label == "base"
    assert (other.lessons(), other.dashboard(), other.aliases()) == before
    assert world.service.store.study_items(ben["lessons"]) == studied
    assert world.plan(ASKED, owner="ben").versions


def test_words_in_the_study_of_others_stay(
    store: LearningStore, make_item: Callable[..., StudyItem]
) -> None:
    (ana,) = lessons_of([PRINTER["text"]], owner="ana")
    ben, dana = lessons_of([PRINTER["text"], DANA["text"]], owner="ben")
    item = make_item("What does Dana Brook play?", "The cello.", "cello", lesson=dana.id)
    denied = replace(item, forbid=("Heron",))
    store.add_lessons([ana, ben, dana])
    store.save_study([denied])
    store.delete_lesson(ana.id)
    assert store.study_items([dana.id]) == [denied], "it was never learned from that lesson"
    store.delete_lesson(ben.id)
    assert store.study_items([dana.id]) == [item]


def test_dashboards_feedback_and_counts(world: World) -> None:
    world.teach(PRINTER, owner="ana")
    nothing = world.service.of("ben").dashboard()
    assert not any(nothing.values()), nothing
    ana = world.service.of("ana")
    assert all(ana.dashboard().values())
    asyncio.run(ana.switch("default", []))
    asyncio.run(ana.rollback("default"))
    asyncio.run(ana.unload("default"))
    (version,) = [each["version"] for each in ana.adapters()]
    asyncio.run(ana.remove(version))
    for rating in (-1, 0, 1):
        ana.feedback({"rating": rating, "comment": "x"})
    assert world.service.of("ben").dashboard() == nothing
    assert world.service.dashboard() == nothing
    store = world.service.store
    assert {row.owner for row in store.ledger()} == {"ana"}
    assert [each.rating for each in store.feedback(owner="ana")] == [1, 0, -1]
    assert store.feedback(owner="ben") == store.feedback(owner="local") == []
    assert world.service.counts() == ({"live": 1}, 4), "of all owners, for the operator"


def test_adapters_of_others_cannot_be_loaded_by_their_path(world: World, tmp_path: Path) -> None:
    version = version_of(world, world.teach(PRINTER, owner="ana"), "ana")
    folder = world.service.bank.of("ana").path(version)
    asyncio.run(world.service.of("ana").load(str(folder), "again"))
    said = []
    for path in (folder, tmp_path / "nowhere"):
        for owner in ("ben", "local"):
            with pytest.raises(UserError) as raised:
                asyncio.run(world.service.of(owner).load(str(path), "mine"))
            said.append(str(raised.value).replace(str(path), "PATH"))
    assert len(set(said)) == 1


def test_jobs_and_lessons_of_others_are_unknown(store: LearningStore) -> None:
    (lesson,) = lessons_of(["Mara lives in Oslo."], owner="ana")
    store.add_lessons([lesson])
    job = store.submit("default", [lesson.id], owner="ana")
    store.record("queued", job=job)
    store.record("remembered", lesson=lesson.id)
    store.record("switched", owner="ben")
    assert store.job(job, owner="ana").owner == "ana" and store.jobs(owner="ben") == []
    for ask in (store.job, store.cancel):
        with pytest.raises(UnknownJob, match="there is no job"):
            ask(job, owner="ben")
    assert store.job(job).state == "queued"
    assert store.lesson(lesson.id, owner="ana") == lesson
    with pytest.raises(UnknownLesson, match="there is no lesson"):
        store.lesson(lesson.id, owner="ben")
    assert [row.event for row in store.ledger(owner="ana")] == ["queued", "remembered"]
    assert [row.event for row in store.ledger(owner="ben")] == ["switched"]


def test_an_older_home_belongs_to_the_default_owner(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    with LearningStore(path) as store:
        lessons = lessons_of(["Mara lives in Oslo."])
        store.add_lessons(lessons)
        job = store.submit("default", [lessons[0].id])
        store.record("queued", job=job)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX ledger_of_owner")
        for table in ("jobs", "ledger"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN owner")
        connection.execute("UPDATE learning_schema SET version = 1")
    connection.close()
    for _ in range(2):  # once brought up to date, it stays so
        with LearningStore(path) as store:
            assert store.job(job).owner == "local"
            assert [each.id for each in store.jobs(owner="local")] == [job]
            assert [row.event for row in store.ledger(owner="local")] == ["queued"]
            assert store.jobs(owner="ana") == [] and store.ledger(owner="ana") == []
            query = "SELECT name FROM sqlite_master WHERE name = 'ledger_of_owner'"
            with sqlite3.connect(path) as connection:
                assert connection.execute(query).fetchall() == [("ledger_of_owner",)]
            connection.close()
