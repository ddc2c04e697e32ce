"""Keeps the learner's process running beside a server, and ends it with it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger("nanohydra.learn")
QUICK_SECONDS = 10.0  # a learner that ends sooner has something wrong with it
MAX_QUICK_ENDS = 5
END_SECONDS = 5.0


class LearnerProcess:
    """Runs `nanohydra learner` and starts it again when it dies. `close` ends it.

    The job that a dead learner had is taken up again by the next one, so nothing is lost.
    """

    def __init__(self, home: Path, model: Path, options: Sequence[str] = ()) -> None:
        words = [sys.executable, "-m", "nanohydra", "learner"]
        self._words = [*words, "--home", str(home), "--model", str(model), "--follow", *options]
        self._closing = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name="learner-watch", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        # Threads that wait by spinning would slow the server's answers down many times.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        return subprocess.Popen(self._words, stdin=subprocess.PIPE, env=environment)

    def _watch(self) -> None:
        quick_ends = 0
        while quick_ends < MAX_QUICK_ENDS:
            try:
                code = self._process.wait(QUICK_SECONDS)
                quick_ends += 1
            except subprocess.TimeoutExpired:
                quick_ends = 0
                code = self._process.wait()
            if self._closing.wait(min(2.0**quick_ends / 2, 10)):
                return
            self._close_pipe()
            logger.warning("the learner ended with %d; it is started again", code)
            self._process = self._start()
        logger.error("the learner keeps ending; lessons are answered from memory alone")

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._process.pid

    def close(self) -> None:
        """End the learner: it puts its job back into the queue."""
        self._closing.set()
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_pipe()
        self._thread.join(END_SECONDS)

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
