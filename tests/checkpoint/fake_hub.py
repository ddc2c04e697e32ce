"""A hub on this machine: the answers of the real one that fetching a model needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = re.compile(r"/api/models/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^?]+))?(?:\?.*)?")
RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/([^?]+)")


@dataclass
class Repo:
    """A repository: revision -> path -> content; with `token`, nobody else may read it."""

    revisions: dict[str, dict[str, bytes]]
    token: str = ""
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The hash of a branch, tag or commit; None if there is no such thing."""
        for name, files in self.revisions.items():
            sha = hashlib.sha1(b"".join(files[path] for path in sorted(files))).hexdigest()
            if revision in (name, sha):
                return sha
        return None

    def files(self, revision: str) -> dict[str, bytes]:
        """The files of a revision that exists."""
        commit = self.commit(revision)
        return next(f for name, f in self.revisions.items() if self.commit(name) == commit)


@dataclass
class FakeHub:
    """Serves `repos` on 127.0.0.1 while the context lasts.

    status: answer everything with it. silence: seconds before each answer. cut: file -> bytes
    after which nothing more comes, once; `reached` is then set. broken: as cut, and the
    connection ends at once.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    status: int = 0
    silence: float = 0.0
    cut: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    reached: threading.Event = field(default_factory=threading.Event)
    closed: bool = False
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range

    def __enter__(self) -> FakeHub:
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away; may be called twice."""
        self.closed = True
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def fetched(self) -> list[str]:
        """Files whose content was asked for."""
        found = [RESOLVE.match(path) for method, path, _ in self.requests if method == "GET"]
        return [match[3] for match in found if match]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        if hub.closed:  # a connection from before
            self.close_connection = True
            return
        hub.requests.append((self.command, self.path, self.headers.get("range", "")))
        time.sleep(hub.silence)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.answer()

    def answer(self) -> None:
        hub = self.hub
        if hub.status:
            return self.refuse(hub.status, "", "out of order")
        api, resolve = API.fullmatch(self.path), RESOLVE.match(self.path)
        match = api or resolve
        repo = hub.repos.get(match[1]) if match else None
        authorized = f"Bearer {repo.token}" if repo else ""
        if match is None or repo is None:
            return self.refuse(401, "", "Invalid username or password.")
        if repo.token and self.headers.get("authorization") != authorized:
            if repo.gated and not api:  # the names of a gated repository's files are public
                return self.refuse(401, "GatedRepo", "Access to the model is restricted.")
            if not repo.gated:
                return self.refuse(401, "RepoNotFound", "Repository not found")
        revision = (api[3] if api else match[2]) or "main"
        commit = repo.commit(revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repo.files(revision)
        if api:
            return self.send_json(self.listing(api, commit, files))
        return self.send_file(match[3], files, commit)

    def listing(self, match: re.Match[str], commit: str, files: dict[str, bytes]) -> Any:
        rows = [(path, len(data), hashlib.sha1(data).hexdigest()) for path, data in files.items()]
        if match[2] == "tree":
            return [{"type": "file", "path": p, "size": s, "oid": oid} for p, s, oid in rows]
        siblings = [{"rfilename": p, "size": s, "blobId": oid} for p, s, oid in rows]
        return {"id": match[1], "sha": commit, "siblings": siblings}

    def send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, path: str, files: dict[str, bytes], commit: str) -> None:
        if path not in files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        data, start = files[path], 0
        if asked := re.match(r"bytes=(\d+)-", self.headers.get("range", "")):
            start = int(asked[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        stalls = path in self.hub.cut
        end = self.hub.cut.pop(path, self.hub.broken.pop(path, len(data)))
        self.wfile.write(data[start:end])
        if end < len(data):
            self.hub.reached.set()
            self.close_connection = True
        if stalls:
            self.rfile.read(1)  # until the other side has gone

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()
