"""Who may talk to the server, and how much at once: host, origin, key, size of the body.

Pure ASGI, because middleware built on `BaseHTTPMiddleware` hides a client's disconnect from the
routes. Knows nothing of what the routes do.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanohydra.server.config import LOOPBACK_NAMES, ServerConfig
from nanohydra.server.errors import ApiError

KEYED = ("/v1/", "/api/")
TOO_LARGE = "the request body is too large"
IMPORT = "/api/conversations/import"


def host_name(netloc: str) -> str:
    """The name in a `Host` header, without the port; empty when it is malformed."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


class Guard:
    """Refuse what did not come from a person or program that may ask.

    - A `Host` that is not ours: a web page elsewhere whose name was rebound to this address.
    - A foreign `Origin` on anything but a plain read: a web page elsewhere that posts to us.
    - A missing or wrong key under /v1 and /api, where a key is set.
    - A body beyond the limit, whether its length is announced or only found out.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self.app = app
        self.config = config
        self.key = config.api_key
        names = [name.lower() for name in config.allowed_hosts]
        if config.is_loopback:
            names += LOOPBACK_NAMES
        self.hosts = frozenset([*names, config.host.lower()]) if names else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif (refusal := self.refusal(scope)) is not None:
            await refusal.response()(scope, receive, send)
        else:
            await self.app(scope, limited(receive, self.limit(scope)), send)

    def refusal(self, scope: Scope) -> ApiError | None:
        """Why this request may not pass, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and host_name(host) not in self.hosts:
            hint = "call the server by its own address, or start it with that name allowed"
            return ApiError(403, f"unknown host {host!r}; {hint}", code="unknown_host")
        origin = headers.get("origin")
        reads = scope["method"] in ("GET", "HEAD", "OPTIONS")
        if origin is not None and not reads and urlsplit(origin).netloc != host:
            return ApiError(403, f"requests from {origin} are not allowed", code="foreign_origin")
        if self.key and scope["path"].startswith(KEYED) and not self.knows(headers):
            message = "wrong or missing API key; send it as 'Authorization: Bearer KEY'"
            challenge = {"www-authenticate": "Bearer"}
            return ApiError(401, message, code="invalid_api_key", headers=challenge)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.limit(scope):
            return ApiError(413, TOO_LARGE, code="body_too_large")
        return None

    def limit(self, scope: Scope) -> int:
        """How many bytes the body may have."""
        config = self.config
        return config.max_import_bytes if scope["path"] == IMPORT else config.max_body_bytes

    def knows(self, headers: Headers) -> bool:
        """Whether the request carries the key; compared in constant time."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self.key.encode())


def limited(receive: Receive, limit: int) -> Receive:
    """A `receive` that raises 413 once the body is longer than it may be."""
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            # The one exception that passes unchanged through the reading of the body.
            raise HTTPException(413, TOO_LARGE)
        return message

    return receive_limited
