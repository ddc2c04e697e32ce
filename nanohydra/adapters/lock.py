"""One writer at a time in a folder, over processes and threads; readers are not concerned."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from nanohydra.core.errors import UserError

LOCK = ".lock"
PATIENCE_S, PAUSE_S = 60.0, 0.005


@contextlib.contextmanager
def locked(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[bool]:
    """Wait until no one else is inside. Yields whether this system can lock at all.

    The lock goes with the process, however it ends. Raises UserError when others do not finish
    within `patience_s` seconds, and for a folder that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error}") from error
    with file:
        yield _wait(file.fileno(), folder, time.monotonic() + patience_s)


def _wait(descriptor: int, folder: Path, deadline: float) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing is locked
        return False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UserError(f"another process has been writing to {folder} for long") from None
            time.sleep(PAUSE_S)
