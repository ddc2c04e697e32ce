"""How the commands reach what a model has learned: a running server by HTTP, or its folder.

Both answer with the JSON of the API. Knows nothing of options or of how things are shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER

if TYPE_CHECKING:
    from nanohydra.learn.service import LearningService

Json = dict[str, Any]
Resolve = Literal["ask", "keep_both", "replace", "reject"]
SECONDS = 60.0


class Learned(Protocol):
    """What the commands ask for. Methods raise UserError in words for the terminal."""

    def teach(self, lessons: list[Json], alias: str, resolve: Resolve) -> Json:
        """Take lessons; `conflicts` says where a choice is needed first."""

    def upload(self, file: Path, alias: str, resolve: Resolve) -> Json:
        """Take the lessons of a file."""

    def job(self, id: str) -> Json:
        """One job."""

    def lessons(self, query: str, limit: int) -> list[Json]:
        """Lessons, the latest first."""

    def forget(self, id: str) -> Json:
        """Delete a lesson."""

    def adapters(self) -> Json:
        """`data`, the versions, and `aliases`."""

    def activate(self, alias: str, versions: Sequence[str]) -> Json:
        """Let an alias mean these versions."""

    def rollback(self, alias: str) -> Json:
        """Let an alias mean what it meant before."""

    def consolidate(self, alias: str) -> Json:
        """Queue the training of one version in the place of many; the job."""

    def remove(self, version: str) -> Json:
        """Delete an archived version."""


@contextlib.contextmanager
def reach(server: str, model: str | Path | None, api_key: str) -> Iterator[Learned]:
    """A server's learning, or that of a model where one is given."""
    if model is None:
        yield Remote(server, api_key)
        return
    folder = Folder(model)
    try:
        yield folder
    finally:
        folder.close()


class Remote:
    """The learning of a running server."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self.url = url.rstrip("/")
        self.headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    def teach(self, lessons: list[Json], alias: str, resolve: Resolve) -> Json:
        """POST /learn."""
        body = {"lessons": lessons, "alias": alias, "resolve": resolve}
        return self._ask("POST", "/learn", body)

    def upload(self, file: Path, alias: str, resolve: Resolve) -> Json:
        """POST /learn/upload."""
        query = urllib.parse.urlencode({"name": file.name, "alias": alias, "resolve": resolve})
        return self._ask("POST", f"/learn/upload?{query}", file.read_bytes())

    def job(self, id: str) -> Json:
        """GET /learn/{job}."""
        return self._ask("GET", f"/learn/{quoted(id)}")

    def lessons(self, query: str, limit: int) -> list[Json]:
        """GET /lessons."""
        asked = urllib.parse.urlencode({"query": query, "limit": limit})
        return list(self._ask("GET", f"/lessons?{asked}")["data"])

    def forget(self, id: str) -> Json:
        """DELETE /lessons/{id}."""
        return self._ask("DELETE", f"/lessons/{quoted(id)}")

    def adapters(self) -> Json:
        """GET /adapters."""
        return self._ask("GET", "/adapters")

    def activate(self, alias: str, versions: Sequence[str]) -> Json:
        """POST /switch_adapter."""
        return self._ask("POST", "/switch_adapter", {"alias": alias, "versions": list(versions)})

    def rollback(self, alias: str) -> Json:
        """POST /adapters/{alias}/rollback."""
        return self._ask("POST", f"/adapters/{quoted(alias)}/rollback")

    def consolidate(self, alias: str) -> Json:
        """POST /adapters/{alias}/consolidate."""
        return self._ask("POST", f"/adapters/{quoted(alias)}/consolidate")

    def remove(self, version: str) -> Json:
        """DELETE /adapters/{version}."""
        return self._ask("DELETE", f"/adapters/{quoted(version)}")

    def _ask(self, method: str, path: str, body: Json | bytes | None = None) -> Json:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = "application/json" if isinstance(body, dict) else "application/octet-stream"
        request = urllib.request.Request(
            self.url + path,
            data=content,
            method=method,
            headers={**self.headers, "content-type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(
                f"no server answers at {self.url} ({reason}); start one with `nanohydra serve`, "
                "name it with --server, or work on a folder with --model"
            ) from None

    def _refused(self, error: urllib.error.HTTPError) -> Json:
        try:
            body = json.load(error)
            message = str(body["error"]["message"])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self.url} is no nanohydra server: HTTP {error.code}") from None
        if "conflicts" in body:
            return {"job": None, "lessons": [], "warnings": [], "conflicts": body["conflicts"]}
        hint = "; give the key with --api-key" if error.code == 401 else ""
        raise UserError(message + hint)


class Folder:
    """The learning in a model's folder, without a server.

    What needs no memory does not load its embeddings.
    """

    def __init__(self, model: str | Path) -> None:
        from nanohydra.adapters.bank import Bank
        from nanohydra.learn.home import Home
        from nanohydra.learn.store import LearningStore

        self.name = Path(model).name
        self.files = Home(taught(model))
        self.store = LearningStore(self.files.database)
        self.bank = Bank(self.files.bank)
        self._service: LearningService | None = None

    def close(self) -> None:
        """Let go of the files."""
        if self._service is not None:
            self._service.memory.close()
        self.store.close()

    @property
    def service(self) -> LearningService:
        """All of it, with the memory, and no engine behind it."""
        from nanohydra.learn.planner import Planner
        from nanohydra.learn.router import Router
        from nanohydra.learn.service import LearningService
        from nanohydra.memory import Memory, load_embedder
        from nanohydra.model import ModelConfig

        if self._service is None:
            encoder, store, bank = load_embedder("auto"), self.store, self.bank
            memory = Memory(self.files.database, encoder)
            planner = Planner(
                store=store, bank=bank, memory=memory, router=Router(encoder.encode),
                host=NoEngine(), base="", name=self.name,
            )  # fmt: skip
            # The shapes are for adapters from elsewhere, which go through a server.
            shapes = ModelConfig(vocab_size=8)
            self._service = LearningService(
                store=store, bank=bank, memory=memory, planner=planner, config=shapes
            )
        return self._service

    def teach(self, lessons: list[Json], alias: str, resolve: Resolve) -> Json:
        """Remember and queue."""
        submit = self.service.submit(lessons, alias=alias, resolve=resolve)
        return asyncio.run(submit)

    def upload(self, file: Path, alias: str, resolve: Resolve) -> Json:
        """Remember and queue what a file holds."""
        return self.teach(self.service.upload(file.name, file.read_bytes()), alias, resolve)

    def job(self, id: str) -> Json:
        """One job."""
        from nanohydra.learn import views

        return views.job(self.store, self.store.job(id))

    def lessons(self, query: str, limit: int) -> list[Json]:
        """Lessons, the latest first."""
        from nanohydra.learn import views

        words = query.casefold().split()
        found = [
            lesson
            for lesson in reversed(self.store.lessons(owner=OWNER))
            if all(word in lesson.text.casefold() for word in words)
        ]
        return views.lessons(self.store, self.bank, found[:limit])

    def forget(self, id: str) -> Json:
        """Delete a lesson."""
        return self.service.delete_lesson(id)

    def adapters(self) -> Json:
        """Versions and aliases."""
        from nanohydra.learn import views

        aliases = [views.alias(self.bank.alias(name)) for name in self.bank.aliases()]
        return {"data": views.adapters(self.store, self.bank), "aliases": aliases}

    def activate(self, alias: str, versions: Sequence[str]) -> Json:
        """Let an alias mean these versions."""
        state = self.bank.activate(alias, versions)
        self.store.record("switched", alias=alias, versions=list(state.versions))
        return {"alias": alias, "versions": list(state.versions)}

    def rollback(self, alias: str) -> Json:
        """Let an alias mean what it meant before."""
        state = self.bank.rollback(alias)
        self.store.record("rolled back", alias=alias, versions=list(state.versions))
        return {"alias": alias, "versions": list(state.versions)}

    def consolidate(self, alias: str) -> Json:
        """Queue the training of one version in the place of many."""
        from nanohydra.learn.consolidate import consolidate

        return self.job(consolidate(alias, store=self.store, bank=self.bank))

    def remove(self, version: str) -> Json:
        """Delete an archived version."""
        self.bank.remove(version)
        self.store.record("removed", version=version)
        return {"version": version, "removed": True}


def taught(model: str | Path) -> Path:
    """The learning home of a model, which need not be fetched for it. Raises UserError."""
    from nanohydra.checkpoint.names import local_model, named
    from nanohydra.learn.home import LEARNING, home_of

    found = named(model)
    if isinstance(found, Path):
        return home_of(local_model(found))
    home = found.run / LEARNING
    if not home.is_dir():
        raise UserError(
            f"nothing was taught to {found} here: there is no {home}; `nanohydra learn "
            f"--model {found}` does"
        )
    return home


class NoEngine:
    """Stands where a server has its engine: nothing is answered here."""

    resident: tuple[str, ...] = ()

    def load(self, weights: object) -> str:
        """Refuse."""
        raise UserError("adapters run in a server; start one with `nanohydra serve`")


def quoted(part: str) -> str:
    """A part of a path, whatever it holds."""
    return urllib.parse.quote(part, safe="")
