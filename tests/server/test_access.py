"""Several keys, pages from elsewhere, log lines, stalled readers, health, limits of the queue."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from nanohydra.commands.serve import ServeOptions, keys_of
from nanohydra.core.errors import UserError
from nanohydra.server import ServerConfig
from nanohydra.server.disconnect import EventStream
from nanohydra.server.logs import JsonLines
from nanohydra.testing import FakeChat
from tests.server.models import open_app, open_chat, open_model

Make = Callable[..., TestClient]
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
PAGE = "https://page.example:8443"


def test_any_of_several_keys_will_do(make_client: Make) -> None:
    client = make_client(api_key="one, two")
    for key, status in (("one", 200), ("two", 200), ("one, two", 401), ("", 401)):
        headers = {"authorization": f"Bearer {key}"}
        assert client.get("/v1/models", headers=headers).status_code == status, key


def test_a_page_from_elsewhere_needs_to_be_allowed(make_client: Make) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "x"}
    shut, open_ = make_client(), make_client(allow_origins=(PAGE,), api_key="k")
    reply = shut.post(CHAT, json=HELLO, headers={"origin": PAGE})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in shut.options(CHAT, headers={"origin": PAGE}).headers
    allowed = open_.options(CHAT, headers={"origin": PAGE, **ask})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    headers = {"origin": PAGE, "authorization": "Bearer k"}
    reply = open_.post(CHAT, json=HELLO, headers=headers)
    assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in reply.headers["access-control-expose-headers"]
    for other in ("https://other.example", "https://[broken", "null"):
        headers["origin"] = other
        assert open_.post(CHAT, json=HELLO, headers=headers).status_code == 403
    with pytest.raises(UserError, match="not an origin"):
        ServerConfig(allow_origins=("page.example",))


def test_log_lines_are_json(make_client: Make) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    write = lambda record: lines.append(JsonLines().format(record))  # noqa: E731
    handler.emit = write  # type: ignore[method-assign]
    logger = logging.getLogger("nanohydra")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        make_client().post(CHAT, json=HELLO, headers={"x-request-id": "mine-1"})
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("nanohydra.server").exception("it failed")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    access, failure = (json.loads(line) for line in lines)
    assert access["id"] == "mine-1" and access["status"] == 200 and access["path"] == CHAT
    assert access["level"] == "info" and access["finish"] == ["stop"]
    assert failure["message"] == "it failed" and "ValueError: two\nlines" in failure["exception"]
    assert {"time", "level", "logger"} <= access.keys() & failure.keys()
    assert not any("\n" in line for line in lines)


def test_a_reader_that_stalls_is_let_go() -> None:
    ended: list[bool] = []

    async def frames() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"data: x\n\n"
        finally:
            ended.append(True)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.sleep(60)

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope: dict[str, Any] = {"type": "http"}
    asyncio.run(EventStream(frames(), 0.05)(scope, receive, send))
    assert ended == [True] and len(sent) == 4
    assert scope["state"]["log"]["client_gone"] is True


def test_health_is_red_when_the_engine_is_stuck_or_dead(make_client: Make, chat: FakeChat) -> None:
    client = make_client()
    for age, status, word in ((0.0, 200, "ok"), (31.0, 503, "stuck"), (math.inf, 503, "dead")):
        chat.engine.step_age = age
        reply = client.get("/health")
        assert (reply.status_code, reply.json()) == (status, {"status": word})


def test_prompt_tokens_fill_the_queue(tmp_path: Path) -> None:
    with open_chat(open_model(tmp_path), max_waiting_tokens=300) as chat:
        app, journal, _ = open_app(chat, tmp_path)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            many = {"prompt": ["word " * 100] * 8, "max_tokens": 2}  # each more than 200 tokens
            reply = client.post("/v1/completions", json=many)
            assert reply.status_code == 429 and int(reply.headers["retry-after"]) > 0
            assert reply.json()["error"]["type"] == "rate_limit_error"
            alone = client.post("/v1/completions", json={**many, "prompt": "word " * 100})
            assert alone.status_code == 200
            assert chat.engine.num_open == 0
        journal.close()


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text("ana:one\nben:two\n\nthree\n", encoding="utf-8")
    options = ServeOptions(api_key_file=file, api_key="cyd:four")
    owners = {"one": "ana", "two": "ben", "three": "local", "four": "cyd"}
    assert ServerConfig(api_key=keys_of(options)).owner_of_key == owners
    file.write_text("ana: one", encoding="utf-8")
    with pytest.raises(UserError, match="key 1 lacks its key; write it as OWNER:KEY"):
        ServerConfig(api_key=keys_of(ServeOptions(api_key_file=file)))
    for text, problem in ((" \n", "there is no key in"), (None, "cannot read the keys in")):
        file.unlink() if text is None else file.write_text(text)
        with pytest.raises(UserError, match=problem):
            keys_of(ServeOptions(api_key_file=file))
