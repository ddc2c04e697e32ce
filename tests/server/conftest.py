"""Servers: of the fake model in this process or on a port, and any in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from nanohydra.chat import ChatModel, Journal
from nanohydra.server import ServerConfig, create_app
from nanohydra.server.run import DrainingServer, listen
from nanohydra.server.service import Service
from nanohydra.testing import FakeChat, wait_for
from tests.server.models import open_app, open_chat, open_model


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def chat() -> FakeChat:
    return FakeChat()


@pytest.fixture
def make_client(journal: Journal, chat: FakeChat) -> Iterator[Callable[..., TestClient]]:
    """Clients of apps with settings of the test's own."""
    opened: list[TestClient] = []

    def make(*, with_chat: Any = chat, learning: Any = None, **settings: Any) -> TestClient:
        config = ServerConfig(**{"model_name": "fake", **settings})
        app = create_app(with_chat, journal, config, learning=learning)
        client = TestClient(app, base_url="http://127.0.0.1:8000")
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@dataclass
class Live:
    """A running server. `chat.engine` counts what runs and what was aborted."""

    url: str
    chat: FakeChat
    journal: Journal
    server: DrainingServer

    @property
    def service(self) -> Service:
        return self.server.service


@pytest.fixture
def start_server(journal: Journal) -> Iterator[Callable[..., Live]]:
    """Servers on free ports, each in a thread; ended and waited for after the test."""
    running: list[tuple[DrainingServer, threading.Thread]] = []

    def start(chat: FakeChat, *, learning: Any = None, **settings: Any) -> Live:
        config = ServerConfig(model_name="fake", port=0, drain_seconds=1.0, **settings)
        app: FastAPI = create_app(chat, journal, config, learning=learning)
        listening = listen(config)
        server = DrainingServer(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        wait_for(lambda: server.started)
        return Live(config.url_at(listening.getsockname()[1]), chat, journal, server)

    yield start
    for server, thread in running:
        server.handle_exit(2, None)
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def open_chat_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatModel]:
    with open_chat(open_model(tmp_path_factory.mktemp("model"))) as chat:
        yield chat


@pytest.fixture(scope="session")
def open_url(open_chat_model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    app, journal, config = open_app(open_chat_model, tmp_path_factory.mktemp("server"))
    listening = listen(config)
    server = DrainingServer(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    wait_for(lambda: server.started)
    yield config.url_at(listening.getsockname()[1])
    server.handle_exit(2, None)
    thread.join(20)
    journal.close()


@pytest.fixture(scope="session")
def official(open_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{open_url}/v1", api_key="any", max_retries=0) as client:
        yield client


class Process:
    """A server in a process of its own, and what it printed."""

    def __init__(self, words: list[str], folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.popen = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stdout is not None
        first = self.popen.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, first + self.popen.communicate()[1]
        self.url = found[0]
        self.netloc = urlsplit(self.url).netloc

    def open(
        self, method: str, path: str, body: object = None, key: str = ""
    ) -> http.client.HTTPConnection:
        """A connection with a request on its way."""
        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection

    def ask(self, *words: Any, **fields: Any) -> tuple[int, Any]:
        """Status and JSON of the reply."""
        with contextlib.closing(self.open(*words, **fields)) as connection:
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def is_ready(self) -> bool:
        return self.ask("GET", "/ready")[0] == 200

    def end(self, sig: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.popen.send_signal(sig)
        out, err = self.popen.communicate(timeout=60)
        return self.popen.returncode, out, err


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Servers in processes of their own, killed after the test."""
    processes: list[Process] = []

    def start(*words: str) -> Process:
        processes.append(Process([sys.executable, *words], tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.popen.kill()
        process.popen.communicate()


CHROMIUM_ARGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")  # while it is open, an event loop runs in the main thread
def browser() -> Iterator[Any]:
    """A headless Chromium; tests that need it are skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(
    browser: Any, start_server: Callable[..., Live]
) -> Iterator[Callable[..., tuple[Any, Live]]]:
    """Pages on servers of their own. A script error, or a breach of the policy, fails the test."""
    contexts: list[Any] = []
    problems: list[str] = []

    def listen_to(page: Any) -> None:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text) if "Content Security" in message.text else None
            ),
        )

    def make(
        chat: FakeChat | None = None, *, context: dict[str, Any] | None = None, **settings: Any
    ) -> tuple[Any, Live]:
        live = start_server(chat or FakeChat(delay_s=0.01), **settings)
        contexts.append(
            browser.new_context(viewport={"width": 1200, "height": 800}, **context or {})
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        listen_to(page)
        page.goto(live.url)
        page.wait_for_selector("#input")
        return page, live

    yield make
    for each in contexts:
        each.close()
    assert problems == []
