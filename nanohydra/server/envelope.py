"""What every reply carries: a request id, the security headers, and one structured log line.

Pure ASGI and outermost, so that refusals and failures pass here too. The log line is a JSON object
on the logger `nanohydra.access`; what is asked and answered is never in it. A route adds its own
figures to `scope["state"]["log"]`.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanohydra.server.counting import Metrics
from nanohydra.server.errors import ApiError

access = logging.getLogger("nanohydra.access")
logger = logging.getLogger("nanohydra.server")

PROBES = ("/ready", "/metrics")
CLIENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Envelope:
    """Wrap each request: id (the client's own, where it sent a sane one), headers, log, 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if CLIENT_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        figures: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, log=figures)
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_dressed)
        except Exception:
            logger.exception("request %s failed", request_id)
            if status:
                raise  # the reply is under way: only a broken connection can tell the client
            # The reason stays in the log: it may name files or quote other people's requests.
            failure = ApiError(500, f"the server failed; its log names {request_id}")
            await failure.response()(scope, receive, send_dressed)
        finally:
            self.metrics.replies[status] += 1
            if figures.get("client_gone"):
                self.metrics.gone()
            line: dict[str, Any] = {
                "id": request_id,
                "client": (scope.get("client") or ("",))[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round((time.perf_counter() - start) * 1000, 1),
                **figures,
            }
            # The page's own files, and whoever asks every second, would drown the rest.
            small = line["path"].startswith("/static/") or line["path"] in PROBES
            level = logging.DEBUG if small and status < 400 else logging.INFO
            access.log(level, json.dumps(line), extra={"fields": line})
