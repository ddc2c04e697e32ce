"""A thread's place in line, looked at from outside."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from nanohydra.core import scheduling
from nanohydra.core.scheduling import LAST_PLACE, SYSCALLS, react_quickly

LINUX = sys.platform.startswith("linux") and platform.machine() in SYSCALLS


@pytest.mark.skipif(not LINUX, reason="only Linux has scheduling classes")
def test_a_nice_process_is_scheduled_as_idle() -> None:
    code = (
        "import os; from nanohydra.core.scheduling import be_nice; "
        f"be_nice({LAST_PLACE}); print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{LAST_PLACE} True\n"


@pytest.mark.skipif(not LINUX, reason="only Linux has short slices")
def test_a_quick_thread_keeps_its_class_and_niceness() -> None:
    seen: list[object] = []

    def work() -> None:
        taken = react_quickly()
        about = Path(f"/proc/self/task/{threading.get_native_id()}/sched")
        seen.extend((taken, os.sched_getscheduler(0), os.nice(0)))
        if about.exists() and (found := re.search(r"se\.slice\s*:\s*(\d+)", about.read_text())):
            seen.append(int(found[1]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[:3] == [True, os.SCHED_OTHER, os.nice(0)]
    assert seen[3:] in ([], [100_000])


@pytest.mark.skipif(not LINUX, reason="only Linux has scheduling classes")
def test_a_thread_in_the_background_stays_there() -> None:
    code = (
        "import os; from nanohydra.core.scheduling import be_nice, react_quickly; "
        f"be_nice({LAST_PLACE}); print(react_quickly(), os.sched_getscheduler(0) == os.SCHED_IDLE)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False True\n"


def test_a_thread_lets_go_of_its_core_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "sched_yield", lambda: done.append("yielded"), raising=False)
    clock = SimpleNamespace(sleep=lambda seconds: done.append("slept"))
    monkeypatch.setattr(scheduling, "time", clock)
    scheduling.give_way()
    scheduling.give_way(to_others=True)
    assert done == ["yielded", "slept"]
