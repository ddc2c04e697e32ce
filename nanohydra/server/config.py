"""What a server is told when it starts: address, key, limits and patience.

Knows nothing of flags or the environment: `nanohydra.commands.serve` fills it in.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER, check_owner

FORM = "write it as OWNER:KEY, or as KEY alone"
KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")  # what a header carries unchanged
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of one server.

    model_name: what clients call the model.
    api_key: what clients have to send; several, of which any will do, are separated by commas. Each
        is a key, or `owner:key`: then what its client teaches and says is that owner's alone.
    allow_origins: web pages from elsewhere that may call the server, as `https://name:port`; "*"
        allows all of them. None may without it.
    allowed_hosts: further names under which the server may be called (`Host` header); with an
        address other than loopback and an empty list any name is allowed, since the key guards.
    max_choices: the largest `n` of one request; each choice takes a place in the engine's queue.
    max_inputs: texts of one request for completions or embeddings.
    temperature, top_p, top_k, min_p, max_tokens: for requests that do not say; max_tokens 0 = what
        the context leaves.
    drain_seconds: how long SIGTERM waits for running answers before it cuts them off.
    retry_seconds: what a refused client is told to wait.
    stuck_seconds: an engine with work and no step for this long is reported as stuck.
    max_lesson_bytes, max_upload_bytes: the bodies of POST /learn and of POST /learn/upload.
    max_lessons: in one request.
    owner: of what is taught and said without a key, or with one that names no owner.
    stall_seconds: a client that takes nothing of a stream for this long is let go.
    ping_seconds: a silent stream sends an SSE comment this often, so that proxies keep it open.
    """

    model_name: str = "nanohydra"
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    max_body_bytes: int = 2**20
    max_import_bytes: int = 64 * 2**20
    max_lesson_bytes: int = 4 * 2**20
    max_upload_bytes: int = 16 * 2**20
    max_lessons: int = 1000
    owner: str = OWNER
    max_messages: int = 512
    max_choices: int = 8
    max_inputs: int = 256
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int = 0
    drain_seconds: float = 30.0
    retry_seconds: int = 2
    stuck_seconds: float = 30.0
    stall_seconds: float = 60.0
    ping_seconds: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"port {self.port} is not a port; choose one from 1 to 65535")
        for origin in self.allow_origins:
            parts = urlsplit(origin)
            if origin != "*" and origin != f"{parts.scheme}://{parts.netloc}":
                raise UserError(f"{origin!r} is not an origin; write it as https://name:port")
        check_owner(self.owner)
        if not self.owner_of_key and not self.is_loopback:
            raise UserError(
                f"host {self.host!r} can be reached from other machines and no API key is set; "
                "add --api-key KEY, or leave the host at 127.0.0.1"
            )

    @property
    def owner_of_key(self) -> dict[str, str]:
        """The keys, any of which will do, each with its owner; without one no key is asked for.

        Raises UserError for one that is not understood, without showing it.
        """
        found: dict[str, str] = {}
        for number, text in enumerate(filter(None, map(str.strip, self.api_key.split(","))), 1):
            name, colon, rest = text.partition(":")
            owner, key = (name.strip(), rest.strip()) if colon else (self.owner, text)
            if not (owner and key):
                raise UserError(f"API key {number} lacks its {'key' if owner else 'owner'}; {FORM}")
            if not KEY.fullmatch(key):
                raise UserError(f"API key {number} of {owner!r} has other signs than ASCII; {FORM}")
            if key in found:
                raise UserError(f"API keys {[*found].index(key) + 1} and {number} are the same")
            found[key] = check_owner(owner)
        return found

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)

    def url_at(self, port: int) -> str:
        """Where a browser on this machine finds the page."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
