"""A client that costs little: one streamed request over a plain socket, and when its pieces came.

Counts the pieces of text in the bytes as they arrive and parses only the last ones, so that on two
cores the load does not take the server's time. Speaks HTTP/1.1, as RFC 9112 has it, as far as one
request of the OpenAI API needs.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from nanohydra.core.errors import UserError

TEXT = re.compile(rb'"(?:content|text)": ?"[^"]')  # a piece whose text is not empty
OWN = re.compile(rb'"nanohydra": ?\{')  # our server's last piece repeats the whole text there
END = b"\n\n"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where requests go."""

    host: str
    port: int
    api_key: str = ""

    @classmethod
    def of(cls, url: str, api_key: str = "") -> Target:
        """From an address such as http://127.0.0.1:8000. Raises UserError."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise UserError(f"{url!r} is no address of a server; give http://HOST:PORT")
        return cls(host=parts.hostname, port=parts.port or 80, api_key=api_key)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The bytes of a request, on a connection of its own."""
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            "connection: close",
            "content-type: application/json",
            f"content-length: {len(payload)}",
            *([f"authorization: Bearer {self.api_key}"] if self.api_key else []),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


@dataclass(kw_only=True)
class Reply:
    """What came back. sent, pieces, ended: seconds of `time.perf_counter`.

    pieces: when each piece of text came. tokens, prompt_tokens: as the server counted them.
    error: why there is no whole answer; empty if there is one.
    """

    sent: float = 0.0
    pieces: list[float] = field(default_factory=list)
    ended: float = 0.0
    status: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    error: str = ""
    body: bytes = b""

    @property
    def first(self) -> float:
        """Seconds to the first piece of text."""
        return (self.pieces[0] if self.pieces else self.ended) - self.sent

    @property
    def gaps(self) -> list[float]:
        """Seconds between pieces."""
        return [b - a for a, b in zip(self.pieces, self.pieces[1:], strict=False)]


class Stream(asyncio.Protocol):
    """Takes in one reply, streamed or not."""

    def __init__(self, request: bytes, leave_after: int = 0) -> None:
        self.request = request
        self.leave_after = leave_after
        self.reply = Reply()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""
        self.streamed = False
        self.whole = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count what came."""
        now = time.perf_counter()
        self.rest += data
        if not self.reply.status and not self._head():
            return
        if not self.streamed:
            return
        events = self.rest.split(END)
        self.rest = events.pop()
        for event in events:
            if TEXT.search(OWN.split(event, 1)[0]):
                self.reply.pieces.append(now)
            if b'"usage": {' in event or b'"usage":{' in event:
                self._usage(event)
            self.whole = self.whole or b"data: [DONE]" in event
        if self.leave_after and len(self.reply.pieces) >= self.leave_after and self.transport:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The reply is over."""
        self.reply.ended = time.perf_counter()
        if self.streamed and not self.whole:
            self.reply.error = "the stream broke off"
        elif not self.streamed:
            self.reply.body = self.rest
            if self.reply.status != 200:
                said = self.rest.decode(errors="replace").strip() or str(exc or "no answer")
                self.reply.error = f"{self.reply.status}: {said[:300]}"
        if not self.over.done():
            self.over.set_result(None)

    def _head(self) -> bool:
        """Read the status line and headers, once all of them are there."""
        head, found, rest = self.rest.partition(b"\r\n\r\n")
        if not found:
            return False
        words = head.split(b" ", 2)
        self.reply.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 599
        self.streamed = b"text/event-stream" in head.lower() and self.reply.status == 200
        self.rest = rest
        return True

    def _usage(self, event: bytes) -> None:
        """The server's own count, from a piece that has it."""
        payload = event[event.find(b"data: ") + 6 :].partition(b"\n")[0]
        try:
            usage = json.loads(payload).get("usage") or {}
        except ValueError:  # cut by the transfer encoding
            return
        self.reply.tokens = int(usage.get("completion_tokens", 0))
        self.reply.prompt_tokens = int(usage.get("prompt_tokens", 0))


async def ask(
    target: Target,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout: float = 600.0,
    leave_after: int = 0,
) -> Reply:
    """Send one request, POST where it has a body; errors are in the reply, never raised.

    leave_after: close the connection after so many pieces, as a reader does who walks away.
    """
    loop = asyncio.get_running_loop()
    request = target.request("GET" if body is None else "POST", path, body)
    sent = time.perf_counter()
    try:
        _, stream = await loop.create_connection(
            lambda: Stream(request, leave_after), target.host, target.port
        )
    except OSError as error:
        now = time.perf_counter()
        return Reply(sent=sent, ended=now, error=f"no connection: {error.strerror or error}")
    try:
        async with asyncio.timeout(timeout):
            await stream.over
    except TimeoutError:
        stream.reply.error = f"no end within {timeout:g} s"
        stream.reply.ended = time.perf_counter()
    finally:
        if stream.transport is not None:
            stream.transport.abort()
    stream.reply.sent = sent
    return stream.reply


def json_of(reply: Reply) -> Any:
    """The JSON of a reply in one piece, whose length was announced; None if it is none."""
    try:
        return json.loads(reply.body)
    except ValueError:
        return None
