"""Loading, ready, stuck, draining: what /health and /ready say, and what is still taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from nanohydra.chat import Journal
from nanohydra.core.errors import UserError
from nanohydra.server import ServerConfig, create_app, serve
from nanohydra.server.run import listen
from nanohydra.testing import FakeChat, wait_for

Make = Callable[..., TestClient]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def status(client: TestClient, path: str) -> tuple[int, str]:
    response = client.get(path)
    return response.status_code, response.json()["status"]


def test_a_loaded_model_is_ready(client: TestClient) -> None:
    assert status(client, "/health") == (200, "ok")
    assert status(client, "/ready") == (200, "ready")


def test_the_page_is_up_while_the_model_loads(make_client: Make) -> None:
    go_on = threading.Event()

    def load() -> FakeChat:
        assert go_on.wait(10)
        return FakeChat()

    client = make_client(with_chat=load)
    assert status(client, "/ready") == (503, "loading")
    assert status(client, "/health") == (200, "ok")
    assert client.get("/").status_code == 200
    for response in (client.post("/v1/chat/completions", json=HELLO), client.get("/v1/models")):
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "loading"
        assert int(response.headers["retry-after"]) > 0
    go_on.set()
    wait_for(lambda: client.get("/ready").status_code == 200)
    assert client.post("/v1/chat/completions", json=HELLO).status_code == 200


def test_an_engine_without_progress_is_unhealthy(make_client: Make) -> None:
    chat = FakeChat()
    client = make_client(with_chat=chat, stuck_seconds=5)
    chat.engine.step_age = 4.0
    assert status(client, "/health") == (200, "ok")
    chat.engine.step_age = float("inf")
    assert status(client, "/health") == (503, "dead")


def test_a_load_that_fails_ends_the_server(journal: Journal) -> None:
    def load() -> FakeChat:
        raise UserError("there is no model here")

    with pytest.raises(UserError, match="no model here"):
        serve(create_app(load, journal, ServerConfig(port=0)))


def test_small_packets_are_not_held_back() -> None:
    with listen(ServerConfig(port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # what asyncio goes by


def test_a_taken_port_is_a_plain_sentence(journal: Journal) -> None:
    with listen(ServerConfig(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}.*--port"):
            serve(create_app(FakeChat(), journal, ServerConfig(port=port)))
    with pytest.raises(UserError, match="not an address"):
        listen(ServerConfig(host="no such host", api_key="k"))
