"""Who may talk to the server, and how much at once: host, origin, key, size of the body.

The key also says whose request it is: `scope["state"]["owner"]`, which the routes go by. Pure ASGI,
because middleware built on `BaseHTTPMiddleware` hides a client's disconnect from the routes. Knows
nothing of what the routes do.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanohydra.server.config import LOOPBACK_NAMES, ServerConfig
from nanohydra.server.errors import ApiError

OPEN = ("/", "/health", "/ready")  # and the page's files; all else wants the key
FILES = "/static/"


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
    - A missing or wrong key, where a key is set, for all but the page's files and the probes.
    - A body beyond the limit, whether its length is announced or only found out.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self.app = app
        self.config = config
        self.keys = {key.encode(): owner for key, owner in config.owner_of_key.items()}
        self.origins = frozenset(config.allow_origins)
        self.limits = {
            "/api/conversations/import": config.max_import_bytes,
            "/learn": config.max_lesson_bytes,
            "/learn/upload": config.max_upload_bytes,
        }
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
        if not (origin is None or reads or self.welcomes(origin, host)):
            return ApiError(403, f"requests from {origin} are not allowed", code="foreign_origin")
        owner = self.owner(headers)
        if owner is not None:
            scope.setdefault("state", {})["owner"] = owner
        elif not is_open(scope["path"]):
            message = "wrong or missing API key; send it as 'Authorization: Bearer KEY'"
            challenge = {"www-authenticate": "Bearer"}
            return ApiError(401, message, code="invalid_api_key", headers=challenge)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.limit(scope):
            return ApiError(413, too_large(self.limit(scope)), code="body_too_large")
        return None

    def limit(self, scope: Scope) -> int:
        """How many bytes the body may have."""
        return self.limits.get(scope["path"], self.config.max_body_bytes)

    def welcomes(self, origin: str, host: str) -> bool:
        """Whether a web page from there may do more than read: our own, or one that is allowed."""
        if origin in self.origins or "*" in self.origins:
            return True
        try:
            return urlsplit(origin).netloc == host
        except ValueError:
            return False

    def owner(self, headers: Headers) -> str | None:
        """Whose key the request carries, if it is one of ours; compared in constant time."""
        if not self.keys:
            return self.config.owner
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip().encode()
        found = [owner for key, owner in self.keys.items() if hmac.compare_digest(given, key)]
        return found[0] if found and scheme.lower() == "bearer" else None


def is_open(path: str) -> bool:
    """Whether a path answers without the key."""
    return path in OPEN or path.startswith(FILES)


def too_large(limit: int) -> str:
    """The refusal of a body, with what would have passed."""
    most = f"{limit / 2**20:.3g} MB" if limit >= 2**20 else f"{limit} bytes"
    return f"the request body is too large: this takes at most {most}"


def limited(receive: Receive, limit: int) -> Receive:
    """A `receive` that raises 413 once the body is longer than it may be."""
    seen = 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            # The one exception that passes unchanged through the reading of the body.
            raise HTTPException(413, too_large(limit))
        return message

    return receive_limited
