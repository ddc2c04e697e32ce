"""Teaching over HTTP: lessons in, jobs and what became of them out, feedback, the dashboard.

Reads bodies and words refusals; what a lesson is and how it is learned is the learning's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response

from nanohydra.server import wire
from nanohydra.server.disconnect import EventStream
from nanohydra.server.errors import ApiError, ErrorReply
from nanohydra.server.learning import (
    AUTO,
    BASE,
    FINAL,
    Json,
    Learning,
    Resolve,
    Taught,
    check_open,
    look_up,
)
from nanohydra.server.multipart import read_file
from nanohydra.server.service import Here, Service

router = APIRouter()
MAX_LIST = 1000
Replies = dict[int | str, dict[str, Any]]
CONFLICT: Replies = {409: {"model": ErrorReply, "description": "It contradicts what was learned."}}
EVENTS: Replies = {200: {"content": {"text/event-stream": {}}}}
POLL_SECONDS = 0.2  # between two looks at a job that somebody follows


def check_alias(name: str) -> str:
    """Refuse the names under which the base and the router answer."""
    if name in (BASE, AUTO):
        raise ValueError(f"{name!r} is taken by the server itself; choose another name")
    return name


Alias = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"), AfterValidator(check_alias)
]


class Teach(BaseModel):
    """Body of POST /learn."""

    model_config = ConfigDict(extra="forbid")
    lessons: Annotated[list[dict[str, Any]], Field(min_length=1)]
    alias: Alias = "default"
    resolve: Resolve = "ask"


class Feedback(BaseModel):
    """Body of POST /feedback: what a person thought of one answer, and what would be right."""

    model_config = ConfigDict(extra="forbid")
    completion_id: str | None = None
    conversation_id: str | None = None
    rating: Literal["up", "down"] | None = None
    comment: str = ""
    question: str | None = None
    answer: str | None = None
    correction: str | None = None
    version: str | None = None

    @model_validator(mode="after")
    def check_says_something(self) -> Feedback:
        """An empty form is a mistake of the client."""
        if self.rating is None and not self.comment.strip() and not (self.correction or "").strip():
            raise ValueError("give a rating, a comment or a correction")
        return self


@router.post("/learn", status_code=202, responses=CONFLICT)
async def learn(service: Here, learning: Taught, body: Teach) -> JSONResponse:
    """Take lessons: usable from memory at once, in the weights once their job is live."""
    return await submit(service, learning, body.lessons, body.alias, body.resolve)


@router.post("/learn/upload", status_code=202, responses=CONFLICT)
async def upload(
    service: Here,
    learning: Taught,
    request: Request,
    name: str = "",
    alias: Annotated[Alias, Query()] = "default",
    resolve: Resolve = "ask",
) -> JSONResponse:
    """Take a file: a form with one file, or its bytes as the body and `name` in the address."""
    body = await request.body()
    file = read_file(request.headers.get("content-type", ""), body, name)
    lessons = await asyncio.to_thread(learning.upload, file.name, file.content)
    return await submit(service, learning, lessons, alias, resolve)


async def submit(
    service: Service, learning: Learning, lessons: list[Json], alias: str, resolve: Resolve
) -> JSONResponse:
    """202 with the job; 409 with the conflicts where a person has to choose first."""
    check_open(service)
    config = service.config
    if alias == config.model_name:
        message = f"alias {alias!r} is the name of the model itself; choose another"
        raise ApiError(400, message, param="alias", code="invalid_value")
    if len(lessons) > config.max_lessons:
        message = f"lessons: at most {config.max_lessons} in one request, not {len(lessons)}"
        raise ApiError(400, f"{message}; send them in parts", param="lessons", code="too_many")
    taken = await learning.submit(lessons, alias=alias, resolve=resolve)
    if taken.get("job") is None and taken.get("conflicts"):
        message = (
            "this contradicts an earlier lesson; send it again with resolve "
            "'keep_both', 'replace' or 'reject'"
        )
        refusal = ApiError(409, message, param="resolve", code="conflict").body()
        return JSONResponse({**refusal, "conflicts": taken["conflicts"]}, 409)
    return JSONResponse(taken, 202)


@router.get("/learn")
async def jobs(learning: Taught) -> Json:
    """All jobs, the latest first."""
    return {"data": await asyncio.to_thread(learning.jobs)}


@router.get("/learn/{job}")
async def job(learning: Taught, job: str) -> Json:
    """How far a job is."""
    return await look_up("job", learning.job, job)


@router.get("/learn/{job}/events", responses=EVENTS, response_class=Response)
async def events(service: Here, learning: Taught, job: str) -> Response:
    """The same as server-sent events: the job whenever it has changed, until it has ended."""
    first = await look_up("job", learning.job, job)
    config = service.config
    frames = job_frames(service, learning, first)
    return EventStream(frames, config.stall_seconds, config.ping_seconds)


@router.post("/learn/{job}/cancel")
async def cancel(learning: Taught, job: str) -> Json:
    """End a job. What was learned from it so far is dropped; its lessons stay in memory."""
    return await look_up("job", learning.cancel, job)


@router.get("/lessons")
async def lessons(
    learning: Taught,
    query: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIST)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Json:
    """The lessons, the latest first; with a query those that hold its words."""

    def find() -> list[Json]:
        return learning.lessons(query=query, limit=limit, offset=offset)

    return {"data": await asyncio.to_thread(find)}


@router.delete("/lessons/{id}")
async def delete(service: Here, learning: Taught, id: str) -> Json:
    """Forget a lesson: at once in memory; versions that saw it are retrained or dropped."""
    check_open(service)
    return await look_up("lesson", learning.delete_lesson, id)


@router.post("/feedback")
async def feedback(learning: Taught, body: Feedback) -> Json:
    """Keep what a person said of an answer."""
    given = body.model_dump(exclude_none=True)
    given["rating"] = {"up": 1, "down": -1}.get(body.rating or "", 0)
    return {"id": await asyncio.to_thread(learning.feedback, given)}


@router.get("/learning/dashboard")
async def dashboard(learning: Taught) -> Json:
    """Everything the page shows of learning, in one piece."""
    return await asyncio.to_thread(learning.dashboard)


async def job_frames(service: Service, learning: Learning, job: Json) -> AsyncGenerator[bytes]:
    """A job's states as they come. Ends with the job, or when the server ends."""
    yield wire.frame(job)
    while job["state"] not in FINAL and service.status != "draining":
        await asyncio.sleep(POLL_SECONDS)
        now = await asyncio.to_thread(learning.job, job["id"])
        if now != job:
            job = now
            yield wire.frame(job)
    yield wire.DONE_FRAME
