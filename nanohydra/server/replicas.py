"""Servers of the same model in processes of their own: started, watched, restarted, ended.

Knows how to keep them alive and how busy each is; which one answers what is the router's choice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError

logger = logging.getLogger("nanohydra.router")
State = Literal["starting", "ready", "busy", "down"]
CHECK_SECONDS, READY_SECONDS = 0.25, 1.0  # between two looks at one
CHECK_TIMEOUT = 10.0
STUCK_CHECKS = 8  # so many times in a row a server says that its engine is stuck
MAX_DELAY = 30.0  # between two starts of one that ends again and again


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How one replica is started: its command for a port, and its environment."""

    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]


class Replica:
    """One server process. `state` "busy": it lives, and takes no requests now."""

    def __init__(self, number: int, launch: Launch) -> None:
        self.number = number
        self.launch = launch
        self.port = 0
        self.state: State = "starting"
        self.active = 0  # requests that the router has under way on it
        self.num_starts = 0
        self.was_ready = False
        self.process: asyncio.subprocess.Process | None = None
        self._stuck = 0
        self._answers = False  # whether this process has ever been well: loading takes its time

    async def start(self) -> None:
        """Start the process on a free port of this machine."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.state, self._stuck, self._answers = "starting", 0, False
        self.num_starts += 1
        self.process = await asyncio.create_subprocess_exec(
            *self.launch.command(self.port),
            env=dict(self.launch.environment),
            stdout=asyncio.subprocess.DEVNULL,
            stdin=asyncio.subprocess.DEVNULL,
            # A Ctrl-C in the terminal is for the router, which ends its replicas in order.
            start_new_session=True,
        )

    async def watch(self) -> None:
        """Keep it alive until cancelled.

        Raises UserError if it ends before it was ready for the first time.
        """
        delay = 0.5
        while True:
            await self.check()
            if self.process is None or self.process.returncode is None:
                if self.state == "ready":
                    delay = 0.5
                await asyncio.sleep(CHECK_SECONDS if self.state != "ready" else READY_SECONDS)
                continue
            code = self.process.returncode
            self.state = "down"
            if not self.was_ready:
                raise UserError(f"replica {self.number} ended with {code} while it started")
            logger.warning("replica %d ended with %d; starting it again", self.number, code)
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY)
            await self.start()

    async def check(self) -> None:
        """Ask it how it is."""
        status = await self.get_status("/ready")
        self.was_ready = self.was_ready or status == 200
        self._answers = self._answers or status == 200
        self.state = "ready" if status == 200 else "busy" if self._answers else "starting"
        healthy = status == 200 or await self.get_status("/health") == 200
        self._stuck = 0 if healthy or not self._answers else self._stuck + 1
        if self._stuck >= STUCK_CHECKS and self.process and self.process.returncode is None:
            logger.error("replica %d is stuck; ending it", self.number)
            self.process.kill()
            await self.process.wait()

    async def get_status(self, path: str) -> int:
        """The status of a GET; 0 if there is no answer."""
        head, _ = await self.get(path, most=4096)
        words = head.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    async def get(self, path: str, *, most: int = 2**22, headers: str = "") -> tuple[bytes, bytes]:
        """Head and body of a GET, up to a size; empty if there is no answer."""
        request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}\r\n"
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(request.encode())
                    data = b""
                    while len(data) < most and (piece := await reader.read(2**16)):
                        data += piece
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b"", b""
        head, _, body = data.partition(b"\r\n\r\n")
        return head, body

    async def stop(self, seconds: float) -> None:
        """Let it drain and end; end it by force after `seconds`."""
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            logger.warning("replica %d does not end; killing it", self.number)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
