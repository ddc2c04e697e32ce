"""The application: routes, checks and error shapes around a chat model and a journal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from nanohydra import __version__
from nanohydra.chat import Journal
from nanohydra.server import completions, conversations, errors, health, page
from nanohydra.server.config import ServerConfig
from nanohydra.server.envelope import Envelope
from nanohydra.server.guard import Guard
from nanohydra.server.service import ChatLike, Loader, Service


def create_app(
    chat: ChatLike | Loader, journal: Journal, settings: ServerConfig | None = None
) -> FastAPI:
    """An ASGI application that answers chats.

    chat: the model, or a function that loads it: then the page is up at once, and /ready and the
        chat say 503 until it is there. The application closes the model's engine at its end;
        the journal is its owner's to close.
    """
    config = settings or ServerConfig()
    service = Service(chat, journal, config)

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
    )
    app.state.service = service
    errors.install(app)
    app.include_router(completions.router)
    app.include_router(conversations.router)
    app.include_router(health.router)
    page.install(app)
    app.add_middleware(Guard, config=config)
    app.add_middleware(Envelope)  # the last one added is the outermost
    return app
