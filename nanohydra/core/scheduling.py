"""How processes and threads stand in line for the cores: who works in the background, who reacts.

Linux alone knows the finer points; elsewhere they are left out, and nothing fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
import time

LAST_PLACE = 19
SLICE_NS = 100_000
SWITCH_SECONDS = 2e-4
# sched_setattr(2), for which neither Python nor every libc has a function.
SYSCALLS = {"x86_64": 314, "aarch64": 274}


def be_nice(niceness: int) -> None:
    """Stand behind every other process; where the system knows no niceness, do nothing.

    At the last place Linux also schedules it as idle: whoever wakes takes the core from it at once,
    and does not wait for the end of its slice.
    """
    if hasattr(os, "nice"):
        os.nice(max(0, niceness - os.nice(0)))
    if niceness == LAST_PLACE and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def react_quickly() -> bool:
    """Ask for a short slice, so that the calling thread gets a core soon after it wakes.

    It gets no more time for that, only sooner: a thread that waits for another's slice to end
    waits up to a tick of 4 ms, longer than a token of a small model takes. Whether the system
    took it; Linux before 6.12 takes it and does nothing.
    """
    number = SYSCALLS.get(platform.machine())
    if not sys.platform.startswith("linux") or number is None or os.sched_getscheduler(0):
        return False
    # struct sched_attr: size, policy, flags, nice, priority, then the runtime: the slice, in ns
    attributes = struct.pack("IIQiIQQQII", 56, 0, 0, os.nice(0), 0, SLICE_NS, 0, 0, 0, 0)
    return not ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def give_way(*, to_others: bool = False) -> None:
    """Let a thread that was just woken on this core run first; go on at once if there is none.

    to_others: let go of the core for a moment in any case, as one on another core may be behind a
    third thread that is busy there.

    An engine's thread never waits by itself, so a reader on its core would wait for a tick: with a
    learner on the other core 1 to 2% of the tokens came 4 ms late. Sleeping for a microsecond does
    the same, but lasts 60, in which a reader on another core takes the interpreter as well.
    """
    if hasattr(os, "sched_yield") and not to_others:
        os.sched_yield()
    else:
        time.sleep(1e-6)


def take_short_turns() -> None:
    """Let threads of this process pass the interpreter on after 0.2 ms instead of 5.

    An engine's thread needs it for a moment between two steps of a millisecond, in which another
    may have begun to write out the tokens of the last ones.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
