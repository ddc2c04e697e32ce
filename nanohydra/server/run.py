"""Runs the application until a signal asks it to stop: drain first, then leave with 0."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from nanohydra.core.errors import UserError
from nanohydra.core.scheduling import react_quickly
from nanohydra.server.config import ServerConfig
from nanohydra.server.service import Service

logger = logging.getLogger("nanohydra.server")
CLOSE_SECONDS = 3


class DrainingServer(uvicorn.Server):
    """Keeps listening while it drains, so that new requests get 503 and not a refused connection.

    The first signal drains, the second one ends the wait. uvicorn's own server stops listening at
    once, and then dies of the signal that it caught.
    """

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,  # the envelope logs requests
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            lifespan="on",
        )
        super().__init__(config)
        self.service: Service = app.state.service
        self.num_signals = 0
        self.draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the interpreter on SIGINT and SIGTERM."""
        self.num_signals += 1
        self.force_exit = self.num_signals > 1

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to leave."""
        leave = await super().on_tick(counter)
        if self.service.status == "failed" or self.force_exit:
            return True
        if self.num_signals and self.draining is None:
            self.draining = asyncio.ensure_future(self.service.drain())
        return leave or (self.draining is not None and self.draining.done())


def serve(app: FastAPI, *, on_start: Callable[[str], Any] | None = None) -> None:
    """Listen and answer until SIGINT or SIGTERM; blocks. `on_start` gets the page's address.

    Raises UserError if the address cannot be used, and whatever the loading of the model raised.
    """
    service: Service = app.state.service
    config = service.config
    listening = listen(config)
    if on_start is not None:
        on_start(config.url_at(listening.getsockname()[1]))
    react_quickly()  # this thread passes every token on
    try:
        DrainingServer(app).run(sockets=[listening])
    finally:
        listening.close()
    if service.failure is not None:
        raise service.failure


def listen(config: ServerConfig) -> socket.socket:
    """The bound socket. Binding here turns a taken port into a plain sentence."""
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio sends small packets at once; else a reply's body waits
        # up to 40 ms for the reader to acknowledge its head.
        listening = socket.socket(*family[:3])
    except OSError as error:
        raise UserError(f"host {config.host!r} is not an address: {error.strerror}") from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(family[4])
        listening.listen(128)
    except OSError as error:
        listening.close()
        where = f"{config.host}:{config.port}"
        hint = "choose another with --port"
        raise UserError(f"cannot listen on {where}: {error.strerror}; {hint}") from None
    return listening
