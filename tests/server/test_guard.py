"""Who gets in: host, origin, key, body size; and what every reply carries."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from nanohydra.core.errors import UserError
from nanohydra.server import ServerConfig
from nanohydra.server.guard import Guard, host_name
from nanohydra.testing import FakeChat

Make = Callable[..., TestClient]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000"])
def test_the_servers_own_names_pass(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[", "a b"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/health", "/v1/models", "/static/js/main.js"):
        response = client.get(path, headers={"host": host})
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "unknown_host"


def test_a_name_can_be_allowed(make_client: Make) -> None:
    client = make_client(allowed_hosts=("chat.home",))
    assert client.get("/health", headers={"host": "chat.home:8000"}).status_code == 200
    assert client.get("/health", headers={"host": "other.home"}).status_code == 403


def test_an_open_address_with_a_key_takes_any_name(make_client: Make) -> None:
    client = make_client(host="0.0.0.0", api_key="k")
    assert client.get("/health", headers={"host": "anything.example"}).status_code == 200


def test_host_names_are_read_without_their_port() -> None:
    assert host_name("Example.org:80") == "example.org"
    assert host_name("[::1]:80") == "::1"
    assert host_name("[") == ""


def test_pages_elsewhere_cannot_post(client: TestClient) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        response = client.post("/v1/chat/completions", json=HELLO, headers={"origin": origin})
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "foreign_origin"
    own = {"origin": "http://127.0.0.1:8000"}
    assert client.post("/v1/chat/completions", json=HELLO, headers=own).status_code == 200


def test_there_is_no_cors(client: TestClient) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for response in (
        client.options("/v1/chat/completions", headers=asked),
        client.get("/v1/models", headers=asked),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_key_is_asked_for_under_the_apis(make_client: Make) -> None:
    client = make_client(api_key="secret")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
        for path in ("/v1/models", "/api/conversations"):
            response = client.get(path, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["type"] == "authentication_error"
    assert client.get("/v1/models", headers={"authorization": "bearer secret"}).status_code == 200
    for path in ("/", "/health", "/ready", "/static/js/main.js"):
        assert client.get(path).status_code == 200


def test_another_host_needs_a_key() -> None:
    with pytest.raises(UserError, match="--api-key"):
        ServerConfig(host="0.0.0.0")
    with pytest.raises(UserError, match="--api-key"):
        ServerConfig(host="my.machine")
    for host in ("localhost", "127.0.0.2", "::1"):
        ServerConfig(host=host)
    ServerConfig(host="0.0.0.0", api_key="k")
    with pytest.raises(UserError, match="70000"):
        ServerConfig(port=70000)


def test_a_body_of_unknown_length_is_counted(make_client: Make) -> None:
    client = make_client(max_body_bytes=1000, max_import_bytes=5000)

    def body() -> Iterator[bytes]:
        yield b'{"messages": "'
        for _ in range(20):
            yield b"x" * 100
        yield b'"}'

    headers = {"content-type": "application/json"}
    response = client.post("/v1/chat/completions", content=body(), headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["message"].endswith("at most 1000 bytes")
    response = client.post("/api/conversations/import", content=body(), headers=headers)
    assert response.status_code == 400  # read to its end, and no export
    response = client.post("/api/conversations/import", content=b" " * 6000, headers=headers)
    assert response.status_code == 413


def test_every_reply_carries_the_security_headers(make_client: Make) -> None:
    client = make_client(api_key="k")
    for path in ("/", "/static/js/main.js", "/health", "/v1/models", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def log_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.message) for r in caplog.records if r.name == "nanohydra.access"]


def test_requests_have_ids_and_log_lines(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nanohydra.access")
    made = client.post("/v1/chat/completions", json=HELLO).headers["x-request-id"]
    own = client.get("/v1/models", headers={"x-request-id": "mine-1"}).headers["x-request-id"]
    bad = client.get("/health", headers={"x-request-id": "a b\tc"}).headers["x-request-id"]
    assert made.startswith("req_")
    assert own == "mine-1"
    assert bad.startswith("req_")
    first, second, _ = log_lines(caplog)
    assert (first["id"], first["status"], first["path"]) == (made, 200, "/v1/chat/completions")
    assert (first["prompt_tokens"], first["finish"]) == (2, ["stop"])
    assert first["ms"] > 0
    assert second["id"] == "mine-1"
    assert "hello" not in caplog.text  # what is said stays out of the log


def test_refusals_are_logged_too(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nanohydra.access")
    client.get("/health", headers={"host": "evil.example"})
    assert log_lines(caplog)[0]["status"] == 403


def test_a_failure_is_a_500_without_its_reason(
    make_client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeChat):
        def stream(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("secret path")

    client = make_client(with_chat=Broken())
    response = client.post("/v1/chat/completions", json=HELLO)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in response.json()["error"]["message"]
    assert "content-security-policy" in response.headers
    assert "secret path" in caplog.text


def test_a_failure_in_the_middle_of_a_stream_is_said_in_it(make_client: Make) -> None:
    class Breaks(FakeChat):
        async def stream(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
            raise RuntimeError("secret path")
            yield

    client = make_client(with_chat=Breaks())
    text = client.post("/v1/chat/completions", json={**HELLO, "stream": True}).text
    *_, last = [line for line in text.split("\n\n") if line]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "secret" not in text


@pytest.mark.parametrize(
    ("keys", "owners"),
    [
        ("one, two", {"one": "local", "two": "local"}),
        ("ana:one,ben:two,three", {"one": "ana", "two": "ben", "three": "local"}),
        ("ana:one,ana:two", {"one": "ana", "two": "ana"}),
        (" ana : one ,", {"one": "ana"}),
        ("ana:one:two", {"one:two": "ana"}),  # up to the first colon
        ("", {}),
    ],
)
def test_keys_have_owners(keys: str, owners: dict[str, str]) -> None:
    assert ServerConfig(api_key=keys).owner_of_key == owners


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("s3cret,ana:s3cret", "keys 1 and 2 are the same"),
        ("a:x,b:s3cret,b:s3cret", "keys 2 and 3 are the same"),
        (":s3cret", "key 1 lacks its owner; write it as OWNER:KEY"),
        ("s3cret,ana:", "key 2 lacks its key; write it as OWNER:KEY, or as KEY alone"),
        ("Ana:s3cret", "'Ana' cannot be an owner: small letters"),
        ("a/../b:s3cret", "'a/../b' cannot be an owner"),
        ("ana:\u00e4s3cret", "key 1 of 'ana' has other signs than ASCII"),
    ],
)
def test_keys_that_are_not_understood_are_not_shown(keys: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as raised:
        ServerConfig(api_key=keys)
    assert "s3cret" not in str(raised.value)


def test_the_guard_says_whose_request_it_is() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope.get("state", {}).get("owner"))

    def ask(config: ServerConfig, key: str, path: str = "/learn") -> Any:
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
        replies: list[Any] = []

        async def send(message: Any) -> None:
            replies.append(message)

        seen.clear()
        asyncio.run(Guard(app, config)(scope, None, send))  # type: ignore[arg-type]
        return seen[0] if seen else replies[0]["status"]

    config = ServerConfig(api_key="ana:one,ben:two,three", owner="team")
    assert [ask(config, key) for key in ("one", "two", "three")] == ["ana", "ben", "team"]
    # What the server's operator writes before a key is no part of it.
    assert [ask(config, key) for key in ("ana:one", "ana", "", "ONE")] == [401] * 4
    assert ask(config, "wrong", "/health") is None, "where no key is asked for, nobody asks"
    assert ask(ServerConfig(), "whatever") == "local"
