from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nanohydra.core.errors import UserError
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.store import ACTIVE, FINAL, Job, LearningStore, UnknownJob, UnknownLesson
from nanohydra.learn.store.jobs import MAX_ATTEMPTS
from nanohydra.learn.study import study


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LearningStore]:
    with LearningStore(tmp_path / "home" / "learning.db", clock) as store:
        yield store


def claim(store: LearningStore, worker: str = "a") -> Job:
    job = store.claim(worker, lease_s=10)
    assert job is not None
    return job


def test_lessons_keep_their_order_and_states(store: LearningStore) -> None:
    lessons = lessons_of(["One is red.", "Two is blue."])
    store.add_lessons(lessons)
    assert store.lessons() == lessons
    store.set_lessons([lessons[1].id], "memory_only", "too exact")
    assert store.lesson(lessons[1].id).reason == "too exact"
    assert store.lessons(states=("remembered",)) == lessons[:1]
    assert store.lessons(owner="nobody") == [] and store.lessons(alias="default", limit=1)
    with pytest.raises(UnknownLesson, match="no lesson 'x'"):
        store.lessons_by_id([lessons[0].id, "x"])


def test_a_job_goes_through_its_states_and_takes_its_lessons_along(store: LearningStore) -> None:
    lessons = lessons_of(["One is red.", "Two is blue."])
    store.add_lessons(lessons)
    id = store.submit("default", [lessons[0].id])
    job = claim(store)
    assert (job.id, job.state, job.attempts, job.worker) == (id, "studying", 1, "a")
    assert store.lesson(lessons[0].id).state == "studying"
    assert store.update(id, worker="a", state="testing", progress=0.9, gate={"recall": 1})
    assert store.update(id, worker="a", state="live", version="v1")
    done = store.job(id)
    assert done.done and done.version == "v1" and done.gate == {"recall": 1}
    assert [x.state for x in store.lessons()] == ["live", "remembered"]
    assert not store.update(id, state="failed") and not store.cancel(id)
    assert store.claim("a") is None
    # teaching it once more, in vain, does not take it away again
    again = store.submit("default", [x.id for x in lessons])
    claim(store)
    store.update(again, state="refused", reason="recall")
    assert [x.state for x in store.lessons()] == ["live", "refused"]


def test_priorities_then_order_and_one_at_a_time(store: LearningStore) -> None:
    ids = [store.submit("default", [], priority=p) for p in (0, 5, 0, 5)]
    order = []
    for _ in ids:
        job = claim(store)
        assert store.claim("b") is None  # one job at a time
        store.update(job.id, state="live")
        order.append(job.id)
    assert order == [ids[1], ids[3], ids[0], ids[2]]
    assert [job.id for job in store.jobs()] == ids[::-1]


def test_a_lease_that_runs_out_is_taken_up_by_another(store: LearningStore, clock: Clock) -> None:
    id = store.submit("default", [])
    claim(store, "a")
    store.update(id, worker="a", state="training", progress=0.4)
    clock.now += 9
    assert store.heartbeat(id, "a", lease_s=10)
    clock.now += 9
    assert store.claim("b") is None
    clock.now += 2
    job = claim(store, "b")
    assert (job.id, job.attempts, job.state, job.progress) == (id, 2, "training", 0.4)
    # the first one wakes up: nothing it says counts any more
    assert not store.heartbeat(id, "a") and not store.update(id, worker="a", state="live")
    assert store.job(id).state == "training"


def test_what_kills_every_worker_fails(store: LearningStore, clock: Clock) -> None:
    id = store.submit("default", [])
    for _ in range(MAX_ATTEMPTS):
        claim(store)
        clock.now += 60
    assert store.claim("a") is None
    assert store.job(id).state == "failed" and "ended 3 times" in store.job(id).reason


def test_cancel(store: LearningStore, clock: Clock) -> None:
    waiting, running, left = (store.submit("default", []) for _ in range(3))
    assert store.cancel(waiting) and store.job(waiting).state == "cancelled"
    assert claim(store).id == running
    assert store.cancel(running) and store.job(running).cancelling
    assert not store.heartbeat(running, "a")  # which tells the worker
    assert store.update(running, worker="a", state="cancelled")
    assert claim(store).id == left
    clock.now += 60
    assert store.cancel(left) and store.job(left).state == "cancelled"  # its worker is gone
    with pytest.raises(UnknownJob):
        store.cancel("x")


def test_release_gives_a_job_back_unharmed(store: LearningStore) -> None:
    id = store.submit("default", [])
    claim(store)
    assert not store.release(id, "b")
    assert store.release(id, "a") and store.job(id).state == "queued"
    assert claim(store, "b").attempts == 1


def test_the_ledger_only_grows(store: LearningStore, clock: Clock) -> None:
    ids = []
    for i in range(5):
        clock.now += 1
        ids.append(store.record("step", job="j", lesson=f"l{i % 2}", loss=0.5 * i))
    assert ids == sorted(ids)
    assert [row.details["loss"] for row in store.ledger(lesson="l1")] == [0.5, 1.5]
    assert [row.id for row in store.ledger(after=ids[2])] == ids[3:]
    assert [row.id for row in store.ledger(newest=True, limit=2)] == ids[:-3:-1]
    assert store.ledger(event="other") == [] and store.ledger(limit=1)[0].time == 1001


def test_feedback(store: LearningStore) -> None:
    store.add_feedback(1, owner="ann", answer="x")
    store.add_feedback(-1, correction="y")
    assert [f.rating for f in store.feedback()] == [-1, 1]
    assert store.feedback(owner="ann")[0].details == {"answer": "x"}


def test_a_deleted_lesson_leaves_no_word_on_disk(store: LearningStore) -> None:
    secret, other = lessons_of(["Mara lives in Zanzibarium.", "Tom lives in Oslo."])
    joint = lessons_of(["Mara lives in Oslo."])[0]
    store.add_lessons([secret, other, joint])
    store.save_study(study([secret, other, joint], seed=0).items)
    assert "Zanzibarium" in str(store.study_items([joint.id]))  # told of together
    store.record("remembered", lesson=secret.id, text=secret.text)
    store.record_version("v1", new=[secret.id, other.id])
    store.record_version("v2", new=[other.id], replay=[secret.id])
    store.record_version("v3", new=[other.id])
    assert store.delete_lesson(secret.id) == ("v1", "v2")
    assert store.lesson(secret.id).state == "deleted" and store.lesson(secret.id).text == ""
    assert store.lessons() == [other, joint] and store.study_items([other.id])
    assert store.lessons_of_version("v2") == {secret.id: "replay", other.id: "new"}
    store.set_lessons([secret.id], "live")
    assert store.lesson(secret.id).state == "deleted"
    for path in store._database.path.parent.iterdir():
        assert b"Zanzibarium" not in path.read_bytes(), path


def test_study_items_are_kept_whole(store: LearningStore) -> None:
    lessons = lessons_of(["Mara lives in Oslo.", "Something odd, whatever."])
    items = study(lessons, seed=0).items
    store.save_study(items)
    store.save_study(items)
    assert set(store.study_items([x.id for x in lessons])) == set(items)


def test_damaged_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="damaged and was left as it is"):
        LearningStore(damaged)
    newer = tmp_path / "newer.db"
    LearningStore(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE learning_schema SET version = 99")
    connection.close()
    with pytest.raises(UserError, match="written by a newer nanohydra"):
        LearningStore(newer)


def work(path: Path, worker: str) -> None:
    """Do one job after another, until there are none; many processes do so at once."""
    with LearningStore(path) as store:
        idle = 0
        while idle < 20:
            job = store.claim(worker, lease_s=30)
            if job is None:
                idle += 1
                time.sleep(0.01)
                continue
            idle = 0
            store.record("did", job=job.id, worker=worker)
            store.update(job.id, worker=worker, state="live")


def test_processes_share_the_queue_without_doing_anything_twice(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    spawn = multiprocessing.get_context("fork")
    with LearningStore(path) as store:
        ids = [store.submit("default", []) for _ in range(30)]
    workers = [spawn.Process(target=work, args=(path, f"w{i}")) for i in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
        assert each.exitcode == 0
    with LearningStore(path) as store:
        assert [store.job(id).state for id in ids] == ["live"] * 30
        assert sorted(row.job or "" for row in store.ledger(event="did")) == sorted(ids)


def write_for_ever(path: Path) -> None:
    with LearningStore(path) as store:
        while True:
            lessons = lessons_of(["One is red.", "Two is blue."])
            store.add_lessons(lessons)
            store.submit("default", [x.id for x in lessons])
            store.record("step", text="x" * 3000)


def test_kill_9_leaves_everything_whole(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    fork = multiprocessing.get_context("fork")
    LearningStore(path).close()
    for _ in range(3):
        child = fork.Process(target=write_for_ever, args=(path,))
        child.start()
        time.sleep(0.3)
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        with LearningStore(path) as store:
            known = {lesson.id for lesson in store.lessons()}
            assert len(known) % 2 == 0
            for job in store.jobs():
                assert set(job.lesson_ids) <= known
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


class Queue(RuleBasedStateMachine):
    """Random workers against a plain model of what the queue must do."""

    @initialize()
    def start(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = LearningStore(Path(self.folder.name) / "learning.db", self.clock)
        self.jobs: dict[str, dict[str, object]] = {}

    @rule(priority=st.integers(0, 2))
    def submit(self, priority: int) -> None:
        id = self.store.submit("default", [], priority=priority)
        place = (-priority, len(self.jobs))
        self.jobs[id] = {"state": "queued", "place": place, "worker": None, "until": 0.0, "n": 0}

    @rule(worker=st.sampled_from("ab"))
    def claim(self, worker: str) -> None:
        got = self.store.claim(worker, lease_s=10)
        for id in sorted(self.jobs, key=lambda id: self.jobs[id]["place"]):
            job = self.jobs[id]
            if job["state"] not in ("active", "cancelling"):
                continue
            if job["until"] > self.clock.now and job["worker"] != worker:  # type: ignore[operator]
                assert got is None
                return
            if job["state"] == "cancelling":
                job["state"] = "cancelled"
            elif job["n"] >= MAX_ATTEMPTS:  # type: ignore[operator]
                job["state"] = "failed"
            else:
                return self.given(got, id, worker)
        queued = [id for id, job in self.jobs.items() if job["state"] == "queued"]
        if not queued:
            assert got is None
            return
        self.given(got, min(queued, key=lambda id: self.jobs[id]["place"]), worker)

    def given(self, got: Job | None, id: str, worker: str) -> None:
        job = self.jobs[id]
        job |= {"state": "active", "worker": worker, "until": self.clock.now + 10}
        job["n"] += 1  # type: ignore[operator]
        assert got is not None and (got.id, got.worker, got.attempts) == (id, worker, job["n"])

    @rule(worker=st.sampled_from("ab"), pick=st.integers(0, 99))
    def beat(self, worker: str, pick: int) -> None:
        if self.jobs:
            id = list(self.jobs)[pick % len(self.jobs)]
            job = self.jobs[id]
            right = job["state"] == "active" and job["worker"] == worker
            assert self.store.heartbeat(id, worker, lease_s=10) == right
            if right:
                job["until"] = self.clock.now + 10

    @rule(worker=st.sampled_from("ab"), pick=st.integers(0, 99), state=st.sampled_from(FINAL))
    def finish(self, worker: str, pick: int, state: str) -> None:
        if self.jobs:
            id = list(self.jobs)[pick % len(self.jobs)]
            job = self.jobs[id]
            right = job["state"] in ("active", "cancelling") and job["worker"] == worker
            done = self.store.update(id, worker=worker, state=state)  # type: ignore[arg-type]
            assert done == right
            if right:
                job["state"] = state

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        if self.jobs:
            id = list(self.jobs)[pick % len(self.jobs)]
            job = self.jobs[id]
            assert self.store.cancel(id) == (job["state"] not in FINAL)
            if job["state"] in ("active", "cancelling"):
                alive = job["until"] > self.clock.now  # type: ignore[operator]
                job["state"] = "cancelling" if alive else "cancelled"
            elif job["state"] == "queued":
                job["state"] = "cancelled"

    @rule(seconds=st.sampled_from((1.0, 11.0)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_same(self) -> None:
        if not hasattr(self, "store"):
            return
        for id, job in self.jobs.items():
            found = self.store.job(id)
            state = "active" if found.state in ACTIVE else found.state
            if found.cancelling and state == "active":
                state = "cancelling"
            assert state == job["state"]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
