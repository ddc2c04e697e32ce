"""A fake of learning for tests: lessons in memory, jobs that advance by time, versions by name.

Keeps the contract of `nanohydra.server.learning`; nothing is trained. Give it a `FakeChat`, and
that answers from the lessons: from a note in its prompt first, from a version later.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.core.types import Message
from nanohydra.testing import NOTE, FakeChat
from nanohydra.testing_lessons import (
    ENDED,
    REFUSED,
    SHOWN,
    STAGES,
    WHAT_WAS_DONE,
    FakeAlias,
    FakeOwners,
    FakePlan,
    Json,
    answer_of,
    entry,
    gate_of,
    grow,
    lessons_in,
    text_of,
    words_of,
)


class FakeLearning(FakeOwners):
    """Learning by the clock: each stage of a job takes `step_s` seconds.

    Each owner has one of its own. refuse: a word -> the reason for which a lesson with it is
    refused.
    """

    def __init__(
        self,
        chat: FakeChat | None = None,
        *,
        step_s: float = 0.05,
        refuse: Mapping[str, str] | None = None,
        owner: str = OWNER,
    ) -> None:
        super().__init__(owner)
        self.chat = chat
        self.step_s = step_s
        self.refuse = dict(REFUSED if refuse is None else refuse)
        self.all_lessons, self.all_jobs = dict[str, Json](), dict[str, Json]()
        self.versions: dict[str, Json] = {}
        self.names = {"default": FakeAlias("default")}
        self.ledger, self.timeline, self.said = list[Json](), list[Json](), list[Json]()
        self.matrix: list[list[float | None]] = []
        self._lock = threading.RLock()

    def another(self, owner: str) -> FakeLearning:
        """The same for another owner, who has taught nothing."""
        return FakeLearning(self.chat, step_s=self.step_s, refuse=self.refuse, owner=owner)

    async def submit(self, lessons: list[Json], *, alias: str, resolve: str) -> Json:
        """Take lessons, unless they are empty or contradict earlier ones and nobody chose."""
        with self._lock:
            texts = [text_of(lesson, place) for place, lesson in enumerate(lessons)]
            found = [self._conflict(place, text) for place, text in enumerate(texts)]
            conflicts = [conflict for conflict in found if conflict]
            if conflicts and resolve == "ask":
                return {"job": None, "lessons": [], "warnings": [], "conflicts": conflicts}
            rejected = {c["index"] for c in conflicts} if resolve == "reject" else set()
            for conflict in conflicts:
                if resolve == "replace":
                    self.delete_lesson(conflict["earlier"]["id"])
            ids = [
                self._add(lesson, texts[place], alias)
                for place, lesson in enumerate(lessons)
                if place not in rejected
            ]
            job = self._start(ids, alias) if ids else None
            warnings = ["Nothing was taken: all of it was rejected."] if not ids else []
            return {"job": job, "lessons": ids, "warnings": warnings, "conflicts": []}

    def job(self, id: str) -> Json:
        """One job, as far as it is by now."""
        with self._lock:
            self._advance()
            if id not in self.all_jobs:
                raise UserError(f"there is no job {id!r}")
            job = self.all_jobs[id]
            events = [dict(event) for event in job["events"]]
            return {k: v for k, v in job.items() if not k.startswith("_")} | {"events": events}

    def jobs(self) -> list[Json]:
        """All jobs, the latest first."""
        return [self.job(id) for id in reversed(self.all_jobs)]

    def cancel(self, id: str) -> Json:
        """End a job; its lessons stay in memory."""
        with self._lock:
            if self.job(id)["state"] not in ENDED:
                self._end(self.all_jobs[id], "cancelled", "memory_only", "It was cancelled.")
            return self.job(id)

    def lessons(self, *, query: str = "", limit: int, offset: int = 0) -> list[Json]:
        """The lessons, the latest first."""
        with self._lock:
            self._advance()
            wanted = query.casefold().split()
            found = [
                {k: v for k, v in lesson.items() if k != "body"}
                for lesson in reversed(self.all_lessons.values())
                if lesson["state"] != "deleted"
                if all(word in lesson["text"].casefold() for word in wanted)
            ]
            return found[offset : offset + limit]

    def delete_lesson(self, id: str) -> Json:
        """Forget a lesson; versions that saw it are dropped, and the rest is taught again."""
        with self._lock:
            self._advance()
            lesson = self.all_lessons.get(id)
            if lesson is None or lesson["state"] == "deleted":
                raise UserError(f"there is no lesson {id!r}")
            lesson["state"] = "deleted"
            self._note("deleted", f"{lesson['text']}")
            version = self.versions.get(lesson["version"] or "")
            rest = [i for i in version["lessons"] if i != id] if version else []
            if version:
                alias = self.names[version["alias"]]
                alias.move([v for v in alias.versions if v != version["version"]])
                del self.versions[version["version"]]
                self._mark()
            return {"lesson": id, "job": self._start(rest, lesson["alias"]) if rest else None}

    def adapters(self) -> list[Json]:
        """The versions, the latest first."""
        with self._lock:
            self._advance()
            return [dict(version) for version in reversed(self.versions.values())]

    def aliases(self) -> list[Json]:
        """The aliases."""
        return [
            {"name": each.name, "versions": list(each.versions), "history": list(each.history)}
            for each in self.names.values()
        ]

    async def switch(self, alias: str, versions: Sequence[str]) -> Json:
        """Let an alias mean these versions."""
        with self._lock:
            self._alias(alias).move([self._version(version) for version in versions])
            self._note("switched", f"{alias} means {', '.join(versions) or 'the base'}")
            self._mark()
            return {"alias": alias, "versions": list(self._alias(alias).versions)}

    async def rollback(self, alias: str) -> Json:
        """Let an alias mean what it meant before."""
        with self._lock:
            name = self._alias(alias)
            name.back()
            self._note("rolled back", f"{alias} means {', '.join(name.versions) or 'the base'}")
            self._mark()
            return {"alias": alias, "versions": list(name.versions)}

    async def consolidate(self, alias: str) -> Json:
        """Teach all live lessons of an alias again, as one version."""
        live = [id for id, lesson in self.all_lessons.items() if lesson["version"]]
        return self.job(self._start(live, alias))

    async def remove(self, version: str) -> Json:
        """Delete a version that no alias uses."""
        with self._lock:
            id = self._version(version)
            users = [name for name, alias in self.names.items() if id in alias.versions]
            if users:
                raise UserError(f"version {id} is used by {users[0]!r}; switch that first")
            del self.versions[id]
            return {"version": id, "removed": True}

    async def load(self, path: str, name: str) -> Json:
        """Take a version from elsewhere under a name."""
        with self._lock:
            if name in self.names:
                raise UserError(f"the name {name!r} is taken")
            if "nowhere" in path:
                raise UserError(f"there is no adapter in {path}")
            id = hashlib.sha256(f"{self.owner} {path}".encode()).hexdigest()[:12]
            self._publish(id, name, [])
            return {"version": id, "alias": name}

    async def unload(self, name: str) -> Json:
        """Let a name go."""
        with self._lock:
            if name == "default":
                raise UserError("'default' stays; roll it back instead")
            self._alias(name)
            del self.names[name]
            return {"alias": name}

    def feedback(self, feedback: Json) -> str:
        """Keep what a person said."""
        self.said.append({**feedback, "owner": self.owner})
        return self._named("feedback", len(self.said))

    def upload(self, name: str, content: bytes) -> list[Json]:
        """One document for a text, one lesson a line for .jsonl."""
        return lessons_in(name, content)

    def dashboard(self) -> Json:
        """What the page shows."""
        with self._lock:
            self._advance()
            live = [v for v in self.all_lessons.values() if v["version"]]
            columns = zip(*self.matrix, strict=True) if self.matrix else ()
            return {
                "forgetting": [
                    {"lesson": lesson["id"], "title": lesson["text"], "recall_by_version": list(c)}
                    for lesson, c in zip(live, columns, strict=False)
                ],
                "recall": [{"lesson": v["id"], "recall": v["recall"]} for v in live],
                "timeline": [dict(entry) for entry in reversed(self.timeline)],
                "library": self.adapters(),
                "jobs": self.jobs(),
                "ledger": list(reversed(self.ledger)),
                "matrix": self.matrix,
            }

    async def plan(self, messages: Sequence[Message], *, model: str, memory: str) -> FakePlan:
        """The nearest lesson decides; nothing near means the base, unchanged."""
        with self._lock:
            self._advance()
            allowed = self._allowed(model)
            question = next((m.content for m in reversed(messages) if m.role == "user"), "")
            lesson = self._nearest(question) if model != "base" else None
            if lesson is None:
                return FakePlan(messages=messages)
            version = lesson["version"] if lesson["version"] in allowed else None
            told = {k: lesson[k] for k in ("id", "title", "kind", "created")}
            sources: tuple[Json, ...] = ()
            if memory == "auto":
                text = answer_of(lesson, question)
                start = max(0, lesson["body"].find(text))
                sources = (
                    {"lesson": lesson["id"], "title": lesson["title"], "text": text,
                     "start": start, "end": start + len(text), "from": "memory"},
                )  # fmt: skip
                note = Message(role="system", content=NOTE + text)
                messages = [*messages[:-1], note, messages[-1]]
            elif version is None:
                return FakePlan(messages=messages)
            return FakePlan(
                messages=messages,
                adapter=version if self.chat is not None else None,
                versions=(version,) if version else (),
                lessons=(told,),
                sources=sources,
                label=version or "base",
            )

    def _allowed(self, model: str) -> list[str]:
        name, _, version = model.partition("@")
        if name == "base":
            return []
        alias = self._alias("default" if name == "auto" else name)
        return [self._version(version)] if version else alias.versions

    def _alias(self, name: str) -> FakeAlias:
        if name not in self.names:
            raise UserError(f"there is no alias {name!r}; known: {', '.join(self.names)}")
        return self.names[name]

    def _version(self, start: str) -> str:
        found = [id for id in self.versions if id.startswith(start)]
        if len(found) != 1:
            raise UserError(f"there is no version {start!r}")
        return found[0]

    def _add(self, lesson: Json, text: str, alias: str) -> str:
        id = self._named("lesson", len(self.all_lessons) + 1)
        body = str(lesson.get("text") or lesson.get("answer") or text)
        self.all_lessons[id] = {
            "id": id, "kind": lesson["kind"], "title": str(lesson.get("title") or text),
            "text": text, "body": body, "state": "remembered", "version": None, "recall": None,
            "job": None, "created": time.time(), "reason": None, "alias": alias,
        }  # fmt: skip
        self._note("remembered", text)
        return id

    def _start(self, ids: list[str], alias: str) -> str:
        id = self._named("job", len(self.all_jobs) + 1)
        self.names.setdefault(alias, FakeAlias(alias))
        now = time.time()
        self.all_jobs[id] = {
            "id": id, "alias": alias, "state": "queued", "progress": 0.0, "version": None,
            "versions": [], "gate": {}, "reason": None, "created": now, "_began": time.monotonic(),
            "events": [{"time": now, "step": "queued", "text": WHAT_WAS_DONE["queued"]}],
            "lessons": ids,
        }  # fmt: skip
        for lesson in ids:
            self.all_lessons[lesson] |= {"job": id, "state": "remembered", "version": None}
        return id

    def _advance(self) -> None:
        for job in self.all_jobs.values():
            if job["state"] in ENDED:
                continue
            stage = (time.monotonic() - job["_began"]) / self.step_s if self.step_s else 4.0
            job["progress"] = round(min(1.0, stage / len(STAGES)), 3)
            for name in STAGES[STAGES.index(job["state"]) + 1 : int(stage) + 1]:
                job["state"] = name
                text = WHAT_WAS_DONE[name]
                job["events"].append({"time": time.time(), "step": name, "text": text})
            for id in job["lessons"]:
                if self.all_lessons[id]["state"] != "deleted":
                    self.all_lessons[id]["state"] = SHOWN.get(job["state"], "studying")
            if stage >= len(STAGES):
                self._finish(job)

    def _finish(self, job: Json) -> None:
        ids = [id for id in job["lessons"] if self.all_lessons[id]["state"] != "deleted"]
        text = " ".join(self.all_lessons[id]["text"].casefold() for id in ids)
        reason = next((reason for word, reason in self.refuse.items() if word in text), None)
        job["gate"] = gate_of(reason is None)
        version = hashlib.sha256(f"{job['id']} {ids}".encode()).hexdigest()[:12]
        if reason is not None:
            self._end(job, "refused", "refused", reason)
            self.timeline.append(entry(version, job, "refused"))
            return
        for id in ids:
            self.all_lessons[id] |= {"version": version, "recall": 1.0}
        self._publish(version, job["alias"], ids, job)
        self._end(job, "live", "live", None, version)

    def _publish(self, version: str, alias: str, ids: list[str], job: Json | None = None) -> None:
        name = self.names.setdefault(alias, FakeAlias(alias))
        name.move([version, *(v for v in name.versions if v != version)])
        self.versions[version] = {
            "version": version, "alias": alias, "live": True, "created": time.time(),
            "bytes": 148_000 + 1000 * len(ids), "lessons": ids, "parents": name.versions[1:2],
            "gate": job["gate"] if job else {},
        }  # fmt: skip
        if job is not None:
            self.timeline.append(entry(version, job, "live"))
        if self.chat is not None:
            self.chat.adapters[version] = lambda question: self._recall(question, ids)
        learned = sum(1 for v in self.all_lessons.values() if v["version"])
        grow(self.matrix, learned)

    def _end(
        self, job: Json, state: str, lesson_state: str, reason: str | None, version: Any = None
    ) -> None:
        job |= {"state": state, "reason": reason, "version": version, "progress": 1.0}
        job["versions"] = [version] if version else []
        job["events"].append({"time": time.time(), "step": state, "text": reason or state})
        for id in job["lessons"]:
            if self.all_lessons[id]["state"] != "deleted":
                self.all_lessons[id] |= {"state": lesson_state, "reason": reason}
        self._note(state, reason or f"version {version}")
        self._mark()

    def _mark(self) -> None:
        """Say of every version whether an alias means it."""
        live = {version for alias in self.names.values() for version in alias.versions}
        for version in self.versions.values():
            version["live"] = version["version"] in live

    def _note(self, event: str, text: str) -> None:
        self.ledger.append({"time": time.time(), "event": event, "text": text})

    def _conflict(self, place: int, text: str) -> Json | None:
        subject, says, _ = text.partition(" is ")
        for lesson in self.all_lessons.values():
            same = lesson["state"] != "deleted"
            known, _, _ = lesson["text"].partition(" is ")
            if same and says and known == subject and (told := lesson["text"]) != text:
                return {"index": place, "text": text, "earlier": {"id": lesson["id"], "text": told}}
        return None

    def _nearest(self, question: str, among: Sequence[str] = ()) -> Json | None:
        words = words_of(question)
        best, most = None, 1
        for lesson in self.all_lessons.values():
            there = lesson["state"] != "deleted"
            shared = len(words & words_of(f"{lesson['text']} {lesson['body']}"))
            if there and shared > most and (not among or lesson["id"] in among):
                best, most = lesson, shared
        return best

    def _recall(self, question: str, ids: Sequence[str]) -> str | None:
        lesson = self._nearest(question, ids)
        return None if lesson is None else answer_of(lesson, question)
