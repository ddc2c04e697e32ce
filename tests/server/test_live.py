"""A real uvicorn on a loopback port: the official client, clients that leave, shutdown."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from nanohydra.testing import FakeChat, wait_for

Start = Callable[..., Any]


@pytest.fixture
def make_openai() -> Iterator[Callable[..., openai.OpenAI]]:
    """The official client, closed after the test."""
    opened: list[openai.OpenAI] = []

    def make(url: str, key: str = "any") -> openai.OpenAI:
        opened.append(openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def post(url: str, body: dict[str, Any]) -> http.client.HTTPConnection:
    """Send a chat request and leave the connection open."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection


def get_status(url: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_the_official_client_chats(start_server: Start, make_openai: Any) -> None:
    client = make_openai(start_server(FakeChat()).url)
    assert [model.id for model in client.models.list()] == ["fake"]
    answer = client.chat.completions.create(
        model="fake", messages=user("count to 9"), max_tokens=4, stop=" 3", n=2, seed=1
    )
    assert [choice.message.content for choice in answer.choices] == ["1 2", "1 2"]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop"]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 4)
    same = [
        client.chat.completions.create(
            model="fake", messages=user("x"), seed=seed, temperature=1
        ).choices[0]
        for seed in (1, 1, 2)
    ]
    assert same[0].message.content == same[1].message.content != same[2].message.content


def test_the_official_client_streams(start_server: Start, make_openai: Any) -> None:
    client = make_openai(start_server(FakeChat()).url)
    chunks = list(
        client.chat.completions.create(
            model="fake",
            messages=user("37 * 24"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "The answer is 888."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 8
    with client.chat.completions.stream(model="fake", messages=user("hello")) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content.startswith("You said: hello")


def test_the_official_client_understands_refusals(start_server: Start, make_openai: Any) -> None:
    live = start_server(FakeChat(max_requests=1), api_key="secret")
    client = make_openai(live.url, "secret")
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="unknown model 'other'"):
        create(model="other", messages=user("x"))
    with pytest.raises(openai.BadRequestError) as bad:
        create(model="fake", messages=user("x"), temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.RateLimitError):
        create(model="fake", messages=user("x"), n=2)
    with pytest.raises(openai.AuthenticationError):
        make_openai(live.url, "wrong").models.list()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_aborts_its_request(start_server: Start, stream: bool) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat)
    connection = post(live.url, {"messages": user("count to 1000"), "stream": stream, "n": 2})
    wait_for(lambda: chat.engine.running == 2)
    if stream:
        connection.getresponse().read(200)
    connection.close()
    if stream:  # the response object may hold the socket open
        assert connection.sock is None
    wait_for(lambda: chat.engine.running == 0)
    assert chat.engine.aborted == 2
    assert chat.engine.finished == 0


def test_a_partial_answer_is_kept_when_the_tab_closes(start_server: Start) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat)
    id = live.journal.create().id
    body = {"messages": user("count to 1000"), "stream": True, "conversation_id": id}
    connection = post(live.url, body)
    response = connection.getresponse()
    while b" 12" not in response.read1(300):
        pass
    response.close()
    connection.close()
    wait_for(lambda: chat.engine.running == 0 and not live.service.recorders)
    question, answer = live.journal.get(id).messages
    assert question.message.content == "count to 1000"
    assert answer.message.content.startswith("1 2 3 4 5 6 7 8 9 10 11 12")
    assert answer.meta["finish_reason"] == "abort"


def test_a_growing_answer_is_saved_before_it_ends(start_server: Start) -> None:
    live = start_server(FakeChat(delay_s=0.02))
    id = live.journal.create().id
    body = {"messages": user("count to 1000"), "stream": True, "conversation_id": id}
    connection = post(live.url, body)
    wait_for(lambda: len(live.journal.get(id).messages) == 2)
    length = len(live.journal.get(id).messages[1].message.content)
    wait_for(lambda: len(live.journal.get(id).messages[1].message.content) > length)
    # A change by hand ends the saving first, so that it is not undone.
    http_put = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=10)
    headers = {"content-type": "application/json"}
    path = f"/api/conversations/{id}/messages"
    http_put.request("PUT", path, json.dumps({"messages": user("mine")}), headers)
    assert http_put.getresponse().status == 200
    http_put.close()
    time.sleep(0.7)
    assert [each.message.content for each in live.journal.get(id).messages] == ["mine"]
    connection.close()


def test_other_requests_are_answered_while_one_streams(start_server: Start) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat)
    connection = post(live.url, {"messages": user("count to 1000"), "stream": True})
    wait_for(lambda: chat.engine.running == 1)
    assert get_status(live.url, "/health") == (200, {"status": "ok"})
    other = post(live.url, {"messages": user("hello"), "temperature": 0})
    answer = json.loads(other.getresponse().read())
    assert answer["choices"][0]["message"]["content"] == "You said: hello"
    assert chat.engine.running == 1
    other.close()
    connection.close()


def test_a_silent_stream_is_kept_open(start_server: Start) -> None:
    live = start_server(FakeChat(delay_s=0.5), ping_seconds=0.05)
    connection = post(live.url, {"messages": user("say hi"), "stream": True})
    text = connection.getresponse().read().decode()
    connection.close()
    assert ": ping\n\n" in text
    assert text.endswith("data: [DONE]\n\n")


def test_a_client_that_never_reads_holds_up_nobody(start_server: Start) -> None:
    chat = FakeChat({"much": "x" * 4_000_000 + " end"})
    live = start_server(chat)
    body = json.dumps({"messages": user("much"), "stream": True}).encode()
    address = urlsplit(live.url)
    with socket.create_connection((address.hostname, address.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        lazy.sendall(head.encode() + body)
        wait_for(lambda: len(chat.seen) == 1)
        other = post(live.url, {"messages": user("hello")})
        assert other.getresponse().status == 200
        other.close()
    wait_for(lambda: chat.engine.running == 0)


def test_a_drain_finishes_what_runs_and_refuses_the_rest(start_server: Start) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat)
    texts: list[str] = []

    def read() -> None:
        connection = post(live.url, {"messages": user("count to 25"), "stream": True})
        texts.append(connection.getresponse().read().decode())
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: chat.engine.running == 1)
    live.server.handle_exit(15, None)
    wait_for(lambda: live.service.status == "draining")
    assert get_status(live.url, "/ready") == (503, {"status": "draining"})
    refused = post(live.url, {"messages": user("x")})
    response = refused.getresponse()
    assert (response.status, json.loads(response.read())["error"]["code"]) == (503, "draining")
    refused.close()
    reader.join(10)
    assert '"content": " 25"' in texts[0]
    assert texts[0].endswith("data: [DONE]\n\n")


def test_a_drain_that_takes_too_long_cuts_off(start_server: Start) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat)  # drains for one second
    connection = post(live.url, {"messages": user("count to 100000"), "stream": True})
    response = connection.getresponse()
    live.server.handle_exit(15, None)
    text = response.read().decode()
    connection.close()
    assert '"code": "draining"' in text
    assert "[DONE]" not in text
