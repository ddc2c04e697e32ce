from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nanohydra.adapters.bank import Bank
from nanohydra.core.config import to_dict
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.home import Home
from nanohydra.learn.store import LearningStore
from tests.learn import learning
from tests.learn.learning import events, expire, submit, work

Settings = Callable[..., LearnConfig]

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


IN_THE_SECOND = """
    bring = module.Learner.bring
    def second(self, work, *words, **rest):
        if work.part[0] > 0:
            kill()
        return bring(self, work, *words, **rest)
    module.Learner.bring = second
"""


def run_killed(home: Path, model: Path, config: LearnConfig, patch: str) -> None:
    """Work through a queue in a process that the patch kills at some place."""
    code = textwrap.dedent(KILLED).format(
        tests=str(Path(__file__).parent), this=learning.__file__, patch=textwrap.dedent(patch),
        home=str(home), model=str(model), config=json.dumps(to_dict(config)),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.usefixtures("gate_here")
@pytest.mark.parametrize("where", KILLS)
def test_a_killed_learner_publishes_nothing_by_halves(
    store: LearningStore, tmp_path: Path, model_folder: Path, settings: Settings, where: str
) -> None:
    job = submit(store)
    run_killed(tmp_path, model_folder, settings(), KILLS[where])
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


@pytest.mark.usefixtures("gate_here")
def test_what_a_killed_learner_made_live_stays_and_the_rest_follows(
    store: LearningStore, tmp_path: Path, model_folder: Path, settings: Settings
) -> None:
    job = submit(store, "Mara lives in Brontham.", "Otis works as a baker.")
    config = settings("--facts_per_version=1")
    run_killed(tmp_path, model_folder, config, IN_THE_SECOND)
    bank = Bank(Home(tmp_path).bank)
    (first,) = bank.alias("default").versions
    left = store.job(job)
    assert [x.state for x in store.lessons_by_id(left.lesson_ids)] == ["live", "studying"]
    assert 0.4 < left.progress < 1
    expire(store, left)
    assert work(tmp_path, model_folder, config) == 1
    assert store.job(job).state == "live"
    assert bank.alias("default").versions == (store.job(job).version, first)
    assert events(store, job).count("live") == 2
