"""/api/conversations, and answers that are saved while they are written."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from nanohydra.chat import Journal
from nanohydra.core.errors import UserError

API = "/api/conversations"


def new(client: TestClient, **body: Any) -> str:
    made: str = client.post(API, json=body).json()["id"]
    return made


def get(client: TestClient, id: str) -> dict[str, Any]:
    response = client.get(f"{API}/{id}")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def titles(client: TestClient, query: str = "") -> list[str]:
    return [each["title"] for each in client.get(API, params={"query": query}).json()["data"]]


def say(client: TestClient, id: str, text: str, **fields: Any) -> list[dict[str, Any]]:
    """Send a question after what the conversation holds; returns all its messages then."""
    before = [{k: v for k, v in m.items() if k != "meta"} for m in get(client, id)["messages"]]
    messages = [*before, {"role": "user", "content": text}]
    body = {"messages": messages, "conversation_id": id, "temperature": 0, **fields}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    saved: list[dict[str, Any]] = get(client, id)["messages"]
    return saved


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_saved_with_its_question(client: TestClient, stream: bool) -> None:
    id = new(client)
    question, answer = say(client, id, "hello", stream=stream)
    assert (question["role"], question["content"]) == ("user", "hello")
    assert (answer["role"], answer["content"]) == ("assistant", "You said: hello")
    meta = answer["meta"]
    assert (meta["model"], meta["finish_reason"]) == ("fake", "stop")
    assert meta["context"]["length"] == 2048
    assert meta["timings"]["total_s"] > 0
    assert get(client, id)["title"] == "hello"


def test_tool_turns_are_saved(client: TestClient) -> None:
    id = new(client)
    messages = say(client, id, "37 * 24")
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "calculator"
    assert messages[2]["content"] == "888"
    assert len(say(client, id, "thanks")) == 6


def test_earlier_figures_stay_when_a_conversation_goes_on(client: TestClient) -> None:
    id = new(client)
    first = say(client, id, "37 * 24")
    second = say(client, id, "and on")
    assert second[:4] == first
    assert second[3]["meta"]["timings"] == first[3]["meta"]["timings"]


def test_an_edited_question_replaces_what_came_after(client: TestClient) -> None:
    id = new(client)
    say(client, id, "one")
    say(client, id, "two")
    body = {"messages": [{"role": "user", "content": "three"}], "conversation_id": id}
    client.post("/v1/chat/completions", json={**body, "temperature": 0})
    texts = [message["content"] for message in get(client, id)["messages"]]
    assert texts == ["three", "You said: three"]


def test_only_the_first_of_several_choices_is_saved(client: TestClient) -> None:
    id = new(client)
    messages = say(client, id, "hello", n=3)
    assert len(messages) == 2


def test_an_unknown_conversation_is_not_found(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "conversation_id": "nope"}
    responses = [
        client.post("/v1/chat/completions", json=body),
        client.get(f"{API}/nope"),
        client.patch(f"{API}/nope", json={"title": "x"}),
        client.put(f"{API}/nope/messages", json={"messages": []}),
        client.delete(f"{API}/nope"),
        client.get(f"{API}/export", params={"id": "nope"}),
    ]
    for response in responses:
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "conversation_not_found"


def test_a_question_is_kept_when_the_model_refuses_it(client: TestClient) -> None:
    id = new(client)
    body = {"messages": [{"role": "user", "content": "x " * 3000}], "conversation_id": id}
    assert client.post("/v1/chat/completions", json=body).status_code == 400
    assert len(get(client, id)["messages"]) == 1


def test_an_answer_that_cannot_be_saved_says_so(
    client: TestClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = new(client)
    put = journal.replace_from
    broken = 1  # the answer's place; then the question's

    def full_disk(id: str, position: int | None, messages: Any) -> None:
        if position == broken:
            raise UserError("cannot use the journal: disk full")
        put(id, position, messages)

    monkeypatch.setattr(journal, "replace_from", full_disk)
    body = {"messages": [{"role": "user", "content": "x"}], "conversation_id": id}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["nanohydra"]["choices"][0]["saved"] is False
    broken = 0
    body = {**body, "messages": [{"role": "user", "content": "y"}], "stream": True}
    text = client.post("/v1/chat/completions", json=body).text
    assert '"content": " y' in text
    assert '"saved": false' in text


def test_the_list_is_searched_and_sorted(client: TestClient) -> None:
    for text in ("the printer upstairs", "boxes and apples"):
        say(client, new(client), text)
    assert titles(client) == ["boxes and apples", "the printer upstairs"]
    assert titles(client, "UPSTAIRS printer") == ["the printer upstairs"]
    assert titles(client, "nothing of this") == []
    (found,) = client.get(API, params={"query": "apples"}).json()["data"]
    assert found["num_messages"] == 2
    assert "apples" in found["snippet"]
    assert len(client.get(API, params={"limit": 1}).json()["data"]) == 1
    assert client.get(API, params={"limit": 0}).status_code == 400


def test_rename_and_delete(client: TestClient) -> None:
    id = new(client, title="old")
    assert client.patch(f"{API}/{id}", json={"title": "new"}).status_code == 200
    assert titles(client) == ["new"]
    for title in ("", "x" * 300):
        response = client.patch(f"{API}/{id}", json={"title": title})
        assert response.json()["error"]["param"] == "title"
    assert client.delete(f"{API}/{id}").json() == {"id": id, "deleted": True}
    assert titles(client) == []


def test_messages_can_be_put_back(client: TestClient) -> None:
    id = new(client)
    before = say(client, id, "37 * 24")
    say(client, id, "more")
    response = client.put(f"{API}/{id}/messages", json={"messages": before})
    assert response.json() == {"id": id, "num_messages": 4}
    assert get(client, id)["messages"] == before


def test_export_and_import_are_inverse(client: TestClient) -> None:
    ids = [new(client), new(client)]
    for id in ids:
        say(client, id, "37 * 24")
    one = client.get(f"{API}/export", params={"id": ids[0]}).json()
    everything = client.get(f"{API}/export").json()
    assert [len(each["conversations"]) for each in (one, everything)] == [1, 2]
    before = {id: get(client, id) for id in ids}
    for id in ids:
        client.delete(f"{API}/{id}")
    assert client.post(f"{API}/import", json=everything).json()["imported"] == 2
    assert {id: get(client, id) for id in ids} == before
    # Ids that are taken are given anew.
    again = client.post(f"{API}/import", json=one).json()
    assert again["ids"] != [ids[0]]
    assert len(titles(client)) == 3


def test_an_import_of_something_else_is_refused(client: TestClient) -> None:
    for content in (b"{}", b"[]", b"{", b'{"format": "nanohydra-conversations", "version": 99}'):
        response = client.post(f"{API}/import", content=content)
        assert response.status_code == 400
        assert response.json()["error"]["message"]
    assert titles(client) == []
