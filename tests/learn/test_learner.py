from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest

from nanohydra.adapters.bank import Bank
from nanohydra.core.config import changes, to_dict
from nanohydra.learn import learner as module
from nanohydra.learn.config import ConsolidateConfig, LearnConfig
from nanohydra.learn.consolidate import nightly
from nanohydra.learn.gate import Gate
from nanohydra.learn.home import Home
from nanohydra.learn.learner import Learner
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.report import GateReport
from nanohydra.learn.store import Job, LearningStore

Settings = Callable[..., LearnConfig]
Learn = Callable[..., int]
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


@pytest.fixture
def gate_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GateProcess", GateHere)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LearningStore]:
    with LearningStore(Home(tmp_path).database) as opened:
        yield opened


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


@pytest.fixture
def learn(
    gate_here: None, tmp_path: Path, model_folder: Path, settings: Settings
) -> Callable[..., int]:
    """Works through the queue with these settings; the number of jobs done."""
    return lambda *words: work(tmp_path, model_folder, settings(*words))


@pytest.fixture
def bank(store: LearningStore, tmp_path: Path) -> Bank:
    return Bank(Home(tmp_path).bank)


def events(store: LearningStore, job: str) -> list[str]:
    return [row.event for row in store.ledger(job=job)]


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


def test_a_refused_version_is_tried_again_gentler_and_then_left_in_memory(
    store: LearningStore,
    learn: Learn,
    bank: Bank,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[LearnConfig] = []
    train = module.train_adapter

    def watch(loaded: Any, study: Any, replay: Any, anchors: Any, config: Any, **rest: Any) -> Any:
        tried.append(config)
        return train(loaded, study, replay, anchors, config, **rest)

    monkeypatch.setattr(module, "train_adapter", watch)
    job = submit(store)
    learn("--gate.small_sample=99", "--gate.small_misses=0")
    config = settings()
    refused = store.job(job)
    assert refused.state == "refused" and refused.version is None
    assert "kept in memory only, because recall: 0 of" in refused.reason
    (lesson,) = store.lessons()
    assert lesson.state == "memory_only" and lesson.reason == refused.reason
    assert [c.train.lr for c in tried] == [
        config.train.lr,
        config.train.lr / 2,
        config.train.lr / 2,
    ]
    assert [c.train.kl_weight for c in tried] == [config.train.kl_weight * n for n in (1, 2, 2)]
    assert [c.mixture.replay for c in tried] == [config.mixture.replay, 0.25, 0.25]
    assert [c.lora.layers for c in tried] == [(), (), (1,)]
    assert events(store, job).count("refused by the gate") == 3
    assert bank.list() == ()


def test_what_the_base_knows_is_not_trained(
    store: LearningStore, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "judge", lambda *_, **__: True)
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
    monkeypatch.setattr(module, "study", lambda *_, **__: 1 / 0)
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


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import importlib.util
    spec = importlib.util.spec_from_file_location("t", {this!r})
    t = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(t)
    from nanohydra.core.config import from_dict
    from nanohydra.learn import learner as module
    from nanohydra.learn.config import LearnConfig
    import json
    module.GateProcess = t.GateHere
    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)
    {patch}
    t.work(Path({home!r}), Path({model!r}), from_dict(LearnConfig, json.loads({config!r})))
"""
KILLS = {
    "in training": "module.Work.progress = kill",
    "before the bank": "module.Bank.publish = kill",
    "before the alias": "module.Bank.activate = kill",
    "after the alias": """
    activate = module.Bank.activate
    def after(self, *words, **rest):
        activate(self, *words, **rest)
        kill()
    module.Bank.activate = after
    """,
}


@pytest.mark.usefixtures("gate_here")
@pytest.mark.parametrize("where", KILLS)
def test_a_killed_learner_publishes_nothing_by_halves(
    store: LearningStore, tmp_path: Path, model_folder: Path, settings: Settings, where: str
) -> None:
    job = submit(store)
    code = textwrap.dedent(KILLED).format(
        tests=str(Path(__file__).parent), this=__file__, patch=textwrap.dedent(KILLS[where]),
        home=str(tmp_path), model=str(model_folder), config=json.dumps(to_dict(settings())),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = store.job(job)
    assert left.state in ("studying", "training", "testing") and not left.done
    bank = Bank(Home(tmp_path).bank)
    for info in bank.list():
        assert not info.problem
    expire(store, left)
    assert work(tmp_path, model_folder, settings()) == 1
    after = store.job(job)
    assert after.state == "live" and after.attempts == 2
    assert bank.alias("default").versions == (after.version,)
    assert [info.id for info in bank.list()] == [after.version]  # trained again, the same came out
    assert not list(Home(tmp_path).staging.iterdir())


def expire(store: LearningStore, job: Job) -> None:
    """Let the lease of a killed learner run out."""
    assert job.worker is not None
    assert store.heartbeat(job.id, job.worker, lease_s=-1.0)


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
