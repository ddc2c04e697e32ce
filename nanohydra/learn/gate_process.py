"""The gate's process as the learner sees it: started early, asked once, ended in any case.

It knows the two lines that go in and the one that comes out, and nothing of what is tested.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import write_json
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.gate import Earlier
from nanohydra.learn.report import GateReport
from nanohydra.learn.study.items import StudyItem, item_to_json

POLL_SECONDS = 0.1
GRACE_SECONDS = 2.0
LAST_CHARS = 500  # of what a gate that failed wrote to its standard error


class GateFailed(RuntimeError):
    """The gate's process ended without a report, or did not end in time."""


class GateProcess:
    """One gate, to be used as a context. Its imports and its base are ready when it is asked.

    The process ends by itself when its input closes, also when this process was killed.
    """

    def __init__(self, model: Path, config: LearnConfig, cache: Path | None) -> None:
        self.config = config
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        threads = str(config.learner.threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nanohydra.learn.gate"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": threads},
        )
        self._said = b""
        about = {
            "model": str(model),
            "config": to_dict(config),
            "cache": str(cache) if cache else "",
            "threads": config.learner.threads,
        }
        self._say(json.dumps(about))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def ask(
        self,
        adapter: Path,
        items: Sequence[StudyItem],
        earlier: Sequence[Earlier],
        texts: Mapping[str, str],
        *,
        request: Path,
        divisible: bool = False,
        tick: Callable[[], None] = lambda: None,
    ) -> GateReport:
        """Test the adapter in a folder; `request` is a file to write the questions to.

        divisible: whether it may pass for a part of the lessons.
        tick: called several times a second; what it raises ends the gate. Raises UserError for
        an adapter that the gate cannot read, and GateFailed.
        """
        body = {
            "adapter": str(adapter),
            "items": [item_to_json(item) for item in items],
            "earlier": [each.to_json() for each in earlier],
            "texts": dict(texts),
            "divisible": divisible,
        }
        write_json(request, body)
        self._say(str(request))
        report = self._wait(tick)
        if "error" in report:
            raise UserError(f"the gate cannot read the new version: {report['error']}")
        return GateReport.from_json(report)

    def close(self) -> None:
        """End the process and wait until it is gone."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `_wait` reads why
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _wait(self, tick: Callable[[], None]) -> dict[str, Any]:
        """The one line that comes out."""
        end = time.monotonic() + self.config.gate.timeout_seconds
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                tick()
                if time.monotonic() > end:
                    limit = self.config.gate.timeout_seconds
                    raise GateFailed(f"the gate took longer than {limit:g} seconds")
                if selector.select(POLL_SECONDS):
                    read = os.read(self._process.stdout.fileno(), 1 << 16)
                    if not read:
                        raise GateFailed(self._failure())
                    self._said += read
        report: dict[str, Any] = json.loads(self._said)
        return report

    def _failure(self) -> str:
        """Why the process ended, from what it wrote to its standard error last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()
        return f"the gate ended with code {self._process.poll()}: {said[-LAST_CHARS:]}"
