"""The application: routes, checks and error shapes around a chat model and a journal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from nanohydra import __version__
from nanohydra.chat import Journal
from nanohydra.server import (
    adapters,
    completions,
    conversations,
    embeddings,
    errors,
    health,
    lessons,
    metrics,
    models,
    page,
    texts,
    tokens,
)
from nanohydra.server.config import ServerConfig
from nanohydra.server.envelope import Envelope
from nanohydra.server.guard import Guard
from nanohydra.server.learning import SharedLearning
from nanohydra.server.service import ChatLike, Loader, Service, Teacher


def create_app(
    chat: ChatLike | Loader,
    journal: Journal,
    settings: ServerConfig | None = None,
    *,
    learning: SharedLearning | Teacher | None = None,
) -> FastAPI:
    """An ASGI application that answers chats.

    chat: the model, or a function that loads it: then the page is up at once, and /ready and the
        chat say 503 until it is there. The application closes the model's engine at its end;
        the journal and the learning are their owner's to close.
    learning: what teaches the model, or a function that makes it once the model is loaded;
        without it the server answers chats alone.
    """
    config = settings or ServerConfig()
    service = Service(chat, journal, config, learning)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = service.spawn(service.load())
        if not callable(chat):
            await loading
        yield
        await service.close()

    app = FastAPI(
        title="nanohydra",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere, which our policy forbids
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses=errors.REFUSALS,
    )
    app.state.service = service
    errors.install(app)
    app.include_router(models.router)
    for each in (completions, texts, embeddings, tokens):
        app.include_router(each.router)
    app.include_router(conversations.router)
    app.include_router(lessons.router)
    app.include_router(adapters.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    page.install(app)
    app.add_middleware(Guard, config=config)
    if config.allow_origins:
        app.add_middleware(
            CORSMiddleware,  # before the guard, as a preflight carries no key
            allow_origins=config.allow_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    app.add_middleware(Envelope, metrics=service.metrics)  # the last one added is the outermost
    return app
