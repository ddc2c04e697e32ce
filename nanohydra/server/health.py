"""Whether the server lives and whether it takes requests, for process managers and the page."""

from __future__ import annotations

import math

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse

from nanohydra.server.service import Here


class Status(BaseModel):
    """In a word, how the server is."""

    status: str


router = APIRouter(responses={503: {"model": Status, "description": "Not now."}})


@router.get("/health")
async def health(service: Here) -> JSONResponse:
    """200 while the process does its work; 503 when the engine is stuck or dead, or none came."""
    if service.status == "failed":
        return JSONResponse({"status": "failed"}, 503)
    if service.is_stuck:
        stats = service.engine_stats()
        dead = stats is not None and math.isinf(stats.last_step_age)
        return JSONResponse({"status": "dead" if dead else "stuck"}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/ready")
async def ready(service: Here) -> JSONResponse:
    """200 when a chat request would be taken; 503 while the model loads or the server drains."""
    return JSONResponse({"status": service.status}, 200 if service.status == "ready" else 503)
