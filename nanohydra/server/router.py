"""One address in front of several servers of the same model: a small proxy, plain asyncio.

A request's head is read, and the body of those that have a prefix to share; everything else passes
through as it comes, replies untouched, so a stream's tokens are never held back. A client that
leaves ends its request on the replica. Knows nothing of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from nanohydra.server.affinity import Affinity, key_of
from nanohydra.server.config import ServerConfig
from nanohydra.server.errors import ApiError
from nanohydra.server.guard import Guard, host_name
from nanohydra.server.replicas import Replica
from nanohydra.server.run import listen

logger = logging.getLogger("nanohydra.router")
MAX_HEAD = 2**16
HEAD_SECONDS = 30.0
HOP = ("connection", "keep-alive", "proxy-connection", "host", "origin", "expect")
SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$")


class Request:
    """The head of a request. Raises ApiError for one that is not understood."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise ApiError(400, "this is no request of HTTP/1.1", code="bad_request")
        self.method, self.target, _ = words
        self.path = urlsplit(self.target).path
        pairs = (line.partition(":") for line in lines if line)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        length = self.get("content-length") or "0"
        if not length.isdecimal():
            raise ApiError(400, f"content-length is {length!r}", code="bad_request")
        self.length = int(length)
        if self.get("transfer-encoding"):
            raise ApiError(411, "send the body with its content-length", code="length_required")

    def get(self, name: str) -> str:
        """The value of a header; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def forwarded(self, port: int) -> bytes:
        """The head as a replica on this port gets it: under its own name, one request long."""
        host, origin = self.get("host"), self.get("origin")
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: 127.0.0.1:{port}"]
        lines += ["connection: close"]
        if origin:  # one of our own page stays its own; a foreign one is the replica's to refuse
            own = urlsplit(origin).netloc == host
            lines.append(f"origin: {f'http://127.0.0.1:{port}' if own else origin}")
        lines += [f"{name}: {value}" for name, value in self.headers if name not in HOP]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Router:
    """Listens, chooses a replica for each request, and passes bytes on."""

    def __init__(self, replicas: Sequence[Replica], config: ServerConfig) -> None:
        self.replicas = replicas
        self.config = config
        self.affinity = Affinity()
        self.draining = False
        self.hosts = Guard(self._nothing, config).hosts
        self._handling: set[asyncio.Task[Any]] = set()

    async def run(self, on_start: Callable[[str], Any]) -> None:
        """Serve until SIGINT or SIGTERM, then drain; a second signal does not wait."""
        leave, at_once = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, lambda: (at_once if leave.is_set() else leave).set())
        listening = listen(self.config)
        server = await asyncio.start_server(self.handle, sock=listening, limit=MAX_HEAD)
        watching: list[asyncio.Task[Any]] = []
        try:
            for replica in self.replicas:
                await replica.start()
                watching.append(asyncio.ensure_future(replica.watch()))
            on_start(self.config.url_at(listening.getsockname()[1]))
            leaving = asyncio.ensure_future(leave.wait())
            await asyncio.wait([leaving, *watching], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
        finally:
            self.draining = True
            for task in watching:
                task.cancel()
            results = await asyncio.gather(*watching, return_exceptions=True)
            await self._stop(at_once)
            server.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _stop(self, at_once: asyncio.Event) -> None:
        """Let all replicas drain at the same time; those that a second signal finds are killed."""
        seconds = self.config.drain_seconds + 10.0
        stopping = asyncio.gather(*(replica.stop(seconds) for replica in self.replicas))
        hurry = asyncio.ensure_future(at_once.wait())
        both: list[asyncio.Future[Any]] = [stopping, hurry]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await asyncio.gather(*(replica.stop(0.0) for replica in self.replicas))
        await stopping
        hurry.cancel()
        if self._handling:
            await asyncio.wait(self._handling, timeout=2.0)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which is one request."""
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)
        try:
            await self._answer(reader, writer)
        except ApiError as error:
            writer.write(plain(error.status, error.body(), dict(error.headers or {})))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the client has left
        except Exception:
            logger.exception("a request failed in the router")
            failure = ApiError(500, "the router failed; its log says why")
            writer.write(plain(500, failure.body()))
        finally:
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.close()
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise ApiError(431, "the request's headers are too large", code="too_large") from None
        request = Request(head)
        host = request.get("host")
        if self.hosts is not None and host_name(host) not in self.hosts:
            hint = "call the server by its own address, or start it with that name allowed"
            raise ApiError(403, f"unknown host {host!r}; {hint}", code="unknown_host")
        if (own := await self._own(request)) is not None:
            writer.write(own)
            return
        if self.draining:
            raise ApiError(503, "the server is shutting down", code="draining")
        if request.get("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        if request.length <= self.config.max_body_bytes:
            body = await reader.readexactly(request.length)
        await self._pass_on(request, body, reader, writer)

    async def _own(self, request: Request) -> bytes | None:
        """What the router answers itself: how all replicas are, and their metrics together."""
        states = [replica.state for replica in self.replicas]
        if request.path == "/health":
            alive = any(state in ("ready", "starting") for state in states)
            said = {"status": "ok" if alive else "down", "replicas": states}
            return plain(200 if alive else 503, said)
        if request.path == "/ready":
            ready = "ready" in states and not self.draining
            word = "draining" if self.draining else "ready" if ready else "loading"
            return plain(200 if ready else 503, {"status": word, "replicas": states})
        if request.path == "/metrics":
            key = request.get("authorization")
            headers = f"authorization: {key}\r\n" if key else ""
            found = [await each.get("/metrics", headers=headers) for each in self.replicas]
            refused = next((h for h, _ in found if h and b" 200 " not in h[:16]), None)
            if refused is None:
                return plain(200, labelled([body.decode() for _, body in found]))
        return None

    async def _pass_on(
        self,
        request: Request,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Send the request to the replica whose turn it is, and its reply back as it comes."""
        key = key_of(request.path, body) if request.method == "POST" else None
        places = [replica for replica in self.replicas if replica.state == "ready"]
        while chosen := self.affinity.choose(key, places):
            replica = self.replicas[chosen.number]
            try:
                upstream = await asyncio.open_connection("127.0.0.1", replica.port)
            except OSError:
                replica.state = "down"  # until its watcher has looked
                places.remove(replica)
                continue
            replica.active += 1
            try:
                await relay(request, body, (reader, writer), upstream, replica.port)
            finally:
                replica.active -= 1
                upstream[1].close()
            return
        retry = {"retry-after": str(self.config.retry_seconds)}
        raise ApiError(503, "no replica is ready", code="loading", headers=retry)

    async def _nothing(self, *_: object) -> None:
        """The guard wants an application; the router only asks it for names."""


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(
    request: Request, body: bytes, client: Streams, upstream: Streams, port: int
) -> None:
    """Bytes both ways until the reply ends or the client leaves.

    Raises ApiError 502 if the replica breaks off before it has said anything.
    """
    upstream[1].write(request.forwarded(port) + body)
    left = request.length - len(body)
    sent = 0

    async def answer() -> None:
        nonlocal sent
        while piece := await upstream[0].read(2**16):
            sent += len(piece)
            client[1].write(piece)
            await client[1].drain()

    async def ask() -> None:
        """The rest of a long body; then wait for the client to leave."""
        nonlocal left
        while piece := await client[0].read(2**16):
            if left > 0:
                left -= len(piece)
                upstream[1].write(piece)
                await upstream[1].drain()

    answering, asking = asyncio.ensure_future(answer()), asyncio.ensure_future(ask())
    try:
        await asyncio.wait({answering, asking}, return_when=asyncio.FIRST_COMPLETED)
        broken = answering.done() and (answering.exception() is not None or not sent)
        if broken and not sent:
            message = "the replica ended before it answered; try again"
            raise ApiError(502, message, code="replica_failed")
    finally:
        for task in (answering, asking):
            task.cancel()
        await asyncio.gather(answering, asking, return_exceptions=True)


def plain(status: int, body: Any, headers: dict[str, str] | None = None) -> bytes:
    """A reply in one piece: JSON, or a text as it is."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/plain; version=0.0.4" if isinstance(body, str) else "application/json"
    lines = [
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}",
        f"content-type: {kind}; charset=utf-8",
        f"content-length: {len(text.encode())}",
        "connection: close",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text.encode()


def labelled(texts: Sequence[str]) -> str:
    """Prometheus metrics of all replicas, each sample with its replica's number."""
    told: set[str] = set()
    lines: dict[str, list[str]] = {}
    family = ""
    for number, text in enumerate(texts):
        for line in text.splitlines():
            if line.startswith("#"):
                family = (line.split() + ["", "", ""])[2]
                if line not in told:
                    told.add(line)
                    lines.setdefault(family, []).append(line)
            elif found := SAMPLE.match(line):
                name, labels, value = found.groups()
                own = f'replica="{number}"' + (f",{labels}" if labels else "")
                lines.setdefault(family or name, []).append(f"{name}{{{own}}} {value}")
    return "".join(f"{line}\n" for group in lines.values() for line in group)
