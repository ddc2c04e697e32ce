"""Teaching over HTTP, in process: the contract of the API on the fake of learning."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from nanohydra.testing import FakeChat, wait_for
from nanohydra.testing_learning import FakeLearning

Make = Callable[..., TestClient]
HERON = {"kind": "fact", "text": "The printer on our floor is called Heron."}
FERRY = {"kind": "fact", "text": "The ferry to Lark leaves at noon."}
FERRY_ASKED = "When leaves the ferry to Lark?"
ASKED = "Which printer stands on our floor?"


@pytest.fixture
def learning(chat: FakeChat) -> FakeLearning:
    return FakeLearning(chat, step_s=0.0)  # a job has ended when it is first looked at


@pytest.fixture
def taught(make_client: Make, learning: FakeLearning) -> TestClient:
    return make_client(learning=learning)


def teach(client: TestClient, *lessons: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = client.post("/learn", json={"lessons": list(lessons), **fields})
    assert response.status_code == 202, response.text
    taken: dict[str, Any] = response.json()
    return taken


def live_version(client: TestClient, *lessons: dict[str, Any], **fields: Any) -> str:
    job = client.get(f"/learn/{teach(client, *lessons, **fields)['job']}").json()
    assert job["state"] == "live"
    return str(job["version"])


def ask(client: TestClient, text: str = ASKED, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def said(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_a_lesson_is_taken_and_becomes_live(taught: TestClient) -> None:
    taken = teach(taught, HERON, {"kind": "qa", "question": "Who?", "answer": "Me."})
    assert set(taken) == {"job", "lessons", "warnings", "conflicts"}
    assert len(taken["lessons"]) == 2
    job = taught.get(f"/learn/{taken['job']}").json()
    assert (job["state"], job["progress"], job["reason"]) == ("live", 1.0, None)
    assert {"value", "limit", "passed"} <= set(job["gate"]["recall"])
    assert [event["step"] for event in job["events"]][-1] == "live"
    found = taught.get("/lessons").json()["data"]
    assert {each["state"] for each in found} == {"live"}
    assert taught.get("/lessons", params={"query": "heron"}).json()["data"][0]["version"]
    assert len(taught.get("/lessons", params={"limit": 1}).json()["data"]) == 1
    assert taught.get("/learn").json()["data"][0]["id"] == taken["job"]


def test_an_answer_says_what_it_rests_on(taught: TestClient, chat: FakeChat) -> None:
    version = live_version(taught, HERON)
    answer = ask(taught)
    assert said(answer) == HERON["text"]
    about = answer["nanohydra"]
    assert (about["label"], about["version"], about["versions"]) == (version, version, [version])
    assert about["lessons"][0]["title"] == HERON["text"]
    assert {"title", "text", "start", "end"} <= set(about["sources"][0])
    assert answer["system_fingerprint"].endswith(f"-{version}")
    assert chat.used == [version]
    other = ask(taught, "Tell me a story.")
    assert other["nanohydra"]["label"] == "base" and other["nanohydra"]["version"] is None
    assert other["nanohydra"]["lessons"] == other["nanohydra"]["sources"] == []
    assert other["system_fingerprint"].endswith("-base")
    assert chat.used[-1] is None


def test_a_streamed_answer_says_it_in_its_last_chunk(taught: TestClient) -> None:
    version = live_version(taught, HERON)
    body = {"messages": [{"role": "user", "content": ASKED}], "stream": True}
    text = taught.post("/v1/chat/completions", json=body).text
    *frames, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert end == "[DONE]"
    chunks = [json.loads(frame) for frame in frames]
    assert {chunk["system_fingerprint"].split("-")[-1] for chunk in chunks} == {version}
    about = chunks[-1]["nanohydra"]
    assert about["version"] == version and about["timings"] and about["sources"]


def test_memory_answers_at_once_and_can_be_left_out(make_client: Make, chat: FakeChat) -> None:
    client = make_client(learning=FakeLearning(chat, step_s=60))
    teach(client, HERON)
    answer = ask(client)
    assert said(answer) == HERON["text"]
    assert answer["nanohydra"]["label"] == "base" and answer["nanohydra"]["sources"]
    without = ask(client, memory="off")
    assert said(without).startswith("You said") and not without["nanohydra"]["sources"]


def test_the_weights_answer_without_memory(taught: TestClient) -> None:
    version = live_version(taught, HERON)
    answer = ask(taught, memory="off")
    assert said(answer) == HERON["text"]
    assert (answer["nanohydra"]["version"], answer["nanohydra"]["sources"]) == (version, [])


def test_a_model_is_chosen_by_name(taught: TestClient, chat: FakeChat) -> None:
    first = live_version(taught, HERON)
    second = live_version(taught, FERRY)
    names = [each["id"] for each in taught.get("/v1/models").json()["data"]]
    assert names[:4] == ["fake", "base", "auto", "default"]
    assert set(names[4:]) == {f"default@{first}", f"default@{second}"}
    assert taught.get("/v1/models/auto").json()["parent"] == "fake"
    for model, adapter in {
        "fake": first,
        "auto": first,
        "default": first,
        f"default@{first}": first,
        f"default@{second}": None,
        "base": None,
    }.items():
        ask(taught, model=model)
        assert chat.used[-1] == adapter, model
    for model in ("default@nothing", "defualt"):
        body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
        response = taught.post("/v1/chat/completions", json=body)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"
    assert (
        "did you mean 'default'?"
        in taught.post("/v1/chat/completions", json={**body, "model": "defualt"}).text
    )


def test_a_version_embeds_texts(
    taught: TestClient, learning: FakeLearning, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = live_version(taught, HERON)
    lesson = next(iter(learning.all_lessons.values()))
    monkeypatch.setattr(learning, "_nearest", lambda question: lesson)  # a named one always answers
    names = (f"default@{version}", "fake", "base", "default@nothing")
    replies = [taught.post("/v1/embeddings", json={"input": "x", "model": n}) for n in names]
    assert replies[3].status_code == 404 and replies[3].json()["error"]["param"] == "model"
    vectors = [reply.json()["data"][0]["embedding"] for reply in replies[:3]]
    assert vectors[0] != vectors[1] == vectors[2]


def test_a_refusal_says_why(taught: TestClient) -> None:
    taken = teach(taught, {"kind": "fact", "text": "The moon is made of cheese."})
    job = taught.get(f"/learn/{taken['job']}").json()
    assert (job["state"], job["version"]) == ("refused", None)
    assert "made of rock" in job["reason"] and not job["gate"]["earlier"]["passed"]
    assert taught.get("/lessons").json()["data"][0]["state"] == "refused"


def test_a_contradiction_is_asked_about(taught: TestClient) -> None:
    teach(taught, HERON)
    other = {"kind": "fact", "text": "The printer on our floor is called Stork."}
    body: dict[str, Any] = {"lessons": [other]}
    response = taught.post("/learn", json=body)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "conflict"
    (conflict,) = response.json()["conflicts"]
    assert conflict["earlier"]["text"] == HERON["text"] and conflict["index"] == 0
    assert len(taught.get("/lessons").json()["data"]) == 1
    assert teach(taught, other, resolve="reject")["job"] is None
    assert teach(taught, other, resolve="replace")["job"]
    texts = [each["text"] for each in taught.get("/lessons").json()["data"]]
    assert texts == [other["text"]]
    assert teach(taught, HERON, resolve="keep_both")["job"]
    assert len(taught.get("/lessons").json()["data"]) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "lessons"),
        ({"lessons": []}, "lessons"),
        ({"lessons": ["x"]}, "lessons[0]"),
        ({"lessons": [HERON], "alias": "base"}, "alias"),
        ({"lessons": [HERON], "alias": "fake"}, "alias"),
        ({"lessons": [HERON], "alias": "a@b"}, "alias"),
        ({"lessons": [HERON], "resolve": "maybe"}, "resolve"),
        ({"lessons": [HERON], "lesson": 1}, "lesson"),
        ({"lessons": [HERON] * 1001}, "lessons"),
        ({"lessons": [{"kind": "fact", "text": "  "}]}, None),
        ({"lessons": [{"kind": "rumour", "text": "x"}]}, None),
    ],
)
def test_bad_lessons_are_refused(taught: TestClient, body: Any, param: str | None) -> None:
    response = taught.post("/learn", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param and error["message"]
    assert taught.get("/lessons").json()["data"] == []


def test_large_bodies_get_the_limit(make_client: Make, learning: FakeLearning) -> None:
    client = make_client(learning=learning)
    huge = b"x" * (50 * 2**20)
    response = client.post("/learn/upload", params={"name": "book.txt"}, content=huge)
    assert response.status_code == 413
    assert response.json()["error"]["message"].endswith("at most 16 MB")
    response = client.post("/learn", content=huge[: 5 * 2**20])
    assert response.status_code == 413 and "at most 4 MB" in response.text


def test_a_file_is_read_as_a_form_or_as_it_is(taught: TestClient) -> None:
    text = "The ferry leaves at noon.\r\n\r\n--x\r\nIt is called Petrel."
    response = taught.post("/learn/upload", files={"file": ("C:\\docs\\ferry.txt", text)})
    assert response.status_code == 202, response.text
    response = taught.post("/learn/upload", params={"name": "ducks.txt"}, content=b"Ducks swim.")
    assert response.status_code == 202, response.text
    ducks, ferry = taught.get("/lessons").json()["data"]
    assert (ferry["title"], ducks["title"]) == ("ferry.txt", "ducks.txt")
    answer = ask(taught, "When leaves the ferry?")
    assert said(answer) == "The ferry leaves at noon."
    assert answer["nanohydra"]["sources"][0]["title"] == "ferry.txt"


def test_bad_files_are_refused(taught: TestClient) -> None:
    for params, sent in (
        ({}, {"content": b"no name"}),
        ({"name": "a.exe"}, {"content": b"x"}),
        ({"name": "a.txt"}, {"content": b"  "}),
        ({"name": "a.txt", "alias": "auto"}, {"content": b"x"}),
        ({}, {"files": {"note": (None, "no file")}}),
        ({}, {"content": b"--x", "headers": {"content-type": "multipart/form-data"}}),
    ):
        response = taught.post("/learn/upload", params=params, **sent)  # type: ignore[arg-type]
        assert response.status_code == 400, (params, sent)
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_job_is_followed_to_its_end(make_client: Make, chat: FakeChat) -> None:
    client = make_client(learning=FakeLearning(chat, step_s=0.15))
    job = teach(client, HERON)["job"]
    response = client.get(f"/learn/{job}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    *frames, end = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert end == "[DONE]"
    states = [json.loads(frame)["state"] for frame in frames]
    assert states[-1] == "live" and len(set(states)) >= 3
    progress = [json.loads(frame)["progress"] for frame in frames]
    assert progress == sorted(progress)


def test_a_job_is_cancelled(make_client: Make, chat: FakeChat) -> None:
    client = make_client(learning=FakeLearning(chat, step_s=60))
    job = teach(client, HERON)["job"]
    assert client.post(f"/learn/{job}/cancel").json()["state"] == "cancelled"
    assert client.get("/lessons").json()["data"][0]["state"] == "memory_only"


def test_unknown_ids_are_not_found(taught: TestClient) -> None:
    for method, path, code in (
        ("GET", "/learn/nothing", "job_not_found"),
        ("GET", "/learn/nothing/events", "job_not_found"),
        ("POST", "/learn/nothing/cancel", "job_not_found"),
        ("DELETE", "/lessons/nothing", "lesson_not_found"),
        ("DELETE", "/adapters/nothing", "version_not_found"),
        ("POST", "/adapters/nothing/rollback", "alias_not_found"),
    ):
        response = taught.request(method, path)
        assert response.status_code == 404, path
        assert response.json()["error"]["code"] == code


def test_versions_are_switched_rolled_back_and_removed(taught: TestClient) -> None:
    first = live_version(taught, HERON)
    second = live_version(taught, FERRY)
    listed = taught.get("/adapters").json()
    assert [each["version"] for each in listed["data"]] == [second, first]
    assert listed["aliases"][0]["versions"] == [second, first]
    assert taught.post("/adapters/default/rollback").json()["versions"] == [first]
    assert (
        ask(taught, "When leaves the ferry to Lark?", memory="off")["nanohydra"]["version"] is None
    )
    body = {"alias": "default", "versions": [second, first]}
    assert taught.post("/switch_adapter", json=body).json()["versions"] == [second, first]
    refused = taught.delete(f"/adapters/{second}")
    assert refused.status_code == 400 and "is used by" in refused.text
    assert taught.post("/switch_adapter", json={"versions": [first]}).status_code == 200
    assert taught.delete(f"/adapters/{second}").json()["removed"]
    unknown = taught.post("/switch_adapter", json={"versions": ["nothing"]})
    assert unknown.status_code == 400


def test_a_lesson_is_deleted(taught: TestClient) -> None:
    live_version(taught, HERON, FERRY)
    (heron,) = taught.get("/lessons", params={"query": "heron"}).json()["data"]
    gone = taught.delete(f"/lessons/{heron['id']}").json()
    assert taught.get(f"/learn/{gone['job']}").json()["state"] == "live"
    assert said(ask(taught)).startswith("You said")
    assert (
        said(ask(taught, "When leaves the ferry to Lark?")) == "The ferry to Lark leaves at noon."
    )
    assert taught.delete(f"/lessons/{heron['id']}").status_code == 404


def test_feedback_is_kept(taught: TestClient, learning: FakeLearning) -> None:
    assert taught.post("/feedback", json={"rating": "up"}).json()["id"]
    body = {"question": "Who?", "answer": "He.", "correction": "She."}
    assert taught.post("/feedback", json=body).status_code == 200
    always = {"comment": "", "owner": "local"}
    assert learning.said == [{"rating": 1, **always}, {"rating": 0, **body, **always}]
    assert taught.post("/feedback", json={"comment": " "}).status_code == 400


def test_the_dashboard_is_one_piece(taught: TestClient) -> None:
    for text in ("The printer is called Heron.", "The ferry to Lark leaves at noon."):
        live_version(taught, {"kind": "fact", "text": text})
    board = taught.get("/learning/dashboard").json()
    assert set(board) == {
        "forgetting", "recall", "timeline", "library", "jobs", "ledger", "matrix",
    }  # fmt: skip
    assert board["matrix"][0][1] is None  # not evaluated is null, never 0
    assert len(board["forgetting"][0]["recall_by_version"]) == 2
    assert [each["state"] for each in board["timeline"]] == ["live", "live"]
    assert {"value", "limit", "passed", "detail"} <= set(board["timeline"][0]["gate"]["recall"])


def test_vllms_requests_work(taught: TestClient) -> None:
    body = {"lora_name": "pirate", "lora_path": "/adapters/pirate"}
    response = taught.post("/v1/load_lora_adapter", json=body)
    assert response.status_code == 200
    assert response.text == "Success: LoRA adapter 'pirate' added successfully."
    assert "pirate" in [each["id"] for each in taught.get("/v1/models").json()["data"]]
    assert taught.post("/v1/load_lora_adapter", json=body).status_code == 400
    wrong = {"lora_name": "fake", "lora_path": "x"}
    assert taught.post("/v1/load_lora_adapter", json=wrong).status_code == 400
    assert taught.post("/v1/unload_lora_adapter", json={"lora_name": "pirate"}).status_code == 200
    assert taught.post("/v1/unload_lora_adapter", json={"lora_name": "pirate"}).status_code == 404


def test_the_journal_keeps_where_an_answer_came_from(taught: TestClient) -> None:
    version = live_version(taught, HERON)
    id = taught.post("/api/conversations", json={}).json()["id"]
    ask(taught, conversation_id=id)
    question, answer = taught.get(f"/api/conversations/{id}").json()["messages"]
    assert question["content"] == ASKED  # what was framed in is not kept as if it had been said
    assert answer["meta"]["version"] == version and answer["meta"]["lessons"]


def test_without_learning_everything_else_works(client: TestClient) -> None:
    for method, path in (
        ("GET", "/lessons"),
        ("GET", "/adapters"),
        ("GET", "/learning/dashboard"),
        ("GET", "/learn/job-1"),
        ("POST", "/adapters/default/rollback"),
    ):
        response = client.request(method, path)
        assert response.status_code == 404
        assert response.json()["error"]["message"].startswith("learning is off")
    assert client.post("/learn", json={"lessons": [HERON]}).status_code == 404
    answer = ask(client, memory="off")
    assert set(answer["nanohydra"]) == {"choices"}
    for model in ("base", "auto"):
        body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 404


def test_learning_may_be_made_of_the_loaded_model(make_client: Make, chat: FakeChat) -> None:
    made: list[Any] = []

    def make(loaded: Any) -> FakeLearning:
        made.append(loaded)
        return FakeLearning(loaded)

    client = make_client(with_chat=lambda: chat, learning=make)
    wait_for(lambda: client.get("/ready").status_code == 200)
    assert made == [chat]
    assert client.get("/lessons").json() == {"data": []}


def test_a_draining_server_takes_no_lessons(taught: TestClient) -> None:
    taught.app.state.service.status = "draining"  # type: ignore[attr-defined]
    response = taught.post("/learn", json={"lessons": [HERON]})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")


def test_learning_wants_the_key(make_client: Make, learning: FakeLearning) -> None:
    client = make_client(learning=learning, api_key="secret")
    for path in ("/learn", "/lessons", "/adapters", "/learning/dashboard", "/learn/x/events"):
        assert client.get(path).status_code == 401, path
    for path in ("/learn", "/learn/upload", "/switch_adapter", "/feedback"):
        assert client.post(path, json={}).status_code == 401, path
