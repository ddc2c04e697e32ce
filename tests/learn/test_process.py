"""The learner beside a server: started again when it dies, ended with the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from nanohydra.learn.process import LearnerProcess
from nanohydra.testing import wait_for


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or " Z " not in Path(
        f"/proc/{pid}/stat"
    ).read_text(encoding="utf-8")


def test_a_learner_that_dies_is_started_again_and_ends_with_close(
    tmp_path: Path, model_folder: Path
) -> None:
    learner = LearnerProcess(tmp_path, model_folder)
    try:
        first = learner.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: learner.pid != first)
        second = learner.pid
        assert alive(second)
    finally:
        learner.close()
    assert not alive(second)


def test_a_learner_does_not_outlive_a_server_that_was_killed(
    tmp_path: Path, model_folder: Path
) -> None:
    server = f"""
        import sys, time
        from pathlib import Path
        from nanohydra.learn.process import LearnerProcess

        learner = LearnerProcess(Path({str(tmp_path)!r}), Path({str(model_folder)!r}))
        print(learner.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(server)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.2)
        process.kill()
        wait_for(lambda: not alive(pid), 60)
