"""What the loop asks of its process: signals that end it gently, and no pauses for memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

# Parameters of mallopt(3): -1 trim threshold, -2 padding of the heap's top, -3 mmap threshold.
KEEP_MEMORY = {-1: 2**31 - 1, -2: 64 * 2**20, -3: 32 * 2**20}
GLIBC_DEFAULTS = {-1: 128 * 2**10, -2: 0, -3: 128 * 2**10}
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """Set by a signal; the loop looks at it between steps."""

    signal_name: str = ""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """SIGINT and SIGTERM ask the loop to stop after its step; a second one kills at once.

    Outside the main thread Python cannot handle signals: there nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, _: FrameType | None) -> None:
        request.signal_name = signal.Signals(number).name
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Autograd's graphs hold no cycles, and a collection costs more than a small step."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """glibc keeps freed memory for the next step.

    By default it returns every large block to the system at once, and the next step pays for
    mapping and zeroing the same pages again. Elsewhere than on glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        yield
        return
    for parameter, value in KEEP_MEMORY.items():
        mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in GLIBC_DEFAULTS.items():
            mallopt(parameter, value)
        return_free_memory()


def return_free_memory() -> None:
    """Give the system the pages of glibc's heap that hold nothing.

    Steps of different sizes leave holes between blocks in use; kept for ever, they tripled the
    memory of a run within some hundred steps. Elsewhere than on glibc this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
