"""Two owners on one server with a real model: neither meets anything of the other, on any route."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from nanohydra.chat import ChatModel, Journal
from nanohydra.core.config import load_config
from nanohydra.engine import Engine, EngineConfig, EngineThread
from nanohydra.learn import learner
from nanohydra.learn.config import LearnConfig
from nanohydra.server import ServerConfig, create_app
from nanohydra.server.guard import is_open
from nanohydra.server.service import owner_of
from nanohydra.testing import FakeChat, wait_for
from nanohydra.testing_models import LOOSE, SMALL, random_model
from nanohydra.tokenizer.table import token_table
from tests.learn.learning import PRINTER, GateHere, World
from tests.server.conftest import Live

ROBIN = {"kind": "fact", "text": "The printer on our floor is called Robin."}
ASKED = "What is the printer called?"
KEYS = {"ana": "key-of-ana", "ben": "key-of-ben", "local": "key-of-none"}
FREE = {  # the same for everyone
    ("GET", "/"), ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"),
    ("POST", "/tokenize"), ("POST", "/detokenize"),
}  # fmt: skip
CHAT = {"messages": [{"role": "user", "content": ASKED}], "temperature": 0, "max_tokens": 8}
TOLD = [{"role": "user", "content": "The heron is mine."}]
# What names something: with an id of another owner's, and with one that nobody has.
NAMING: list[tuple[str, str, Any]] = [
    ("GET", "/learn/{job}", None),
    ("GET", "/learn/{job}/events", None),
    ("POST", "/learn/{job}/cancel", None),
    ("DELETE", "/lessons/{lesson}", None),
    ("DELETE", "/adapters/{version}", None),
    ("POST", "/adapters/{alias}/rollback", None),
    ("POST", "/adapters/{alias}/consolidate", None),
    ("POST", "/switch_adapter", {"alias": "default", "versions": ["{version}"]}),
    ("POST", "/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "{folder}"}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": "{alias}"}),
    ("GET", "/v1/models/{alias}", None),
    ("GET", "/v1/models/default@{version}", None),
    ("POST", "/v1/chat/completions", {**CHAT, "model": "{alias}"}),
    ("POST", "/v1/chat/completions", {**CHAT, "model": "default@{version}"}),
    ("POST", "/v1/chat/completions", {**CHAT, "conversation_id": "{conversation}"}),
    ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 2, "model": "{alias}"}),
    ("POST", "/v1/embeddings", {"input": "a", "model": "{alias}"}),
    ("GET", "/api/conversations/{conversation}", None),
    ("PATCH", "/api/conversations/{conversation}", {"title": "mine"}),
    ("PUT", "/api/conversations/{conversation}/messages", {"messages": TOLD}),
    ("DELETE", "/api/conversations/{conversation}", None),
    ("GET", "/api/conversations/export?id={conversation}", None),
]


class Place:
    """The server, with a client for each owner."""

    def __init__(self, app: Any, world: World, thread: EngineThread) -> None:
        self.app, self.world, self.thread = app, world, thread
        self.client = TestClient(app, base_url="http://127.0.0.1:8000")

    def ask(self, owner: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {KEYS[owner]}"}
        return self.client.request(method, path, json=body, headers=headers, **options)

    def chat(self, owner: str, **fields: Any) -> Any:
        reply = self.ask(owner, "POST", "/v1/chat/completions", {**CHAT, **fields})
        assert reply.status_code == 200, reply.text
        return reply.json()

    def teach(self, owner: str, lesson: Any, **fields: Any) -> Any:
        reply = self.ask(owner, "POST", "/learn", {"lessons": [lesson], **fields})
        assert reply.status_code == 202, reply.text
        self.world.work()
        job = self.ask(owner, "GET", f"/learn/{reply.json()['job']}").json()
        assert job["state"] == "live", job
        return job

    def sees(self, owner: str) -> dict[str, Any]:
        """All that an owner can read without naming anything."""
        found = {}
        for route in owned(self.app):
            if "GET" in route.methods and "{" not in route.path:
                reply = self.ask(owner, "GET", route.path)
                assert reply.status_code == 200, reply.text
                found[route.path] = reply.json()
        return found


def uses(dependant: Any, call: Any) -> bool:
    return any(each.call is call or uses(each, call) for each in dependant.dependencies)


def all_routes(router: Any) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):  # as newer releases include a router
            yield from all_routes(route.original_router)


def owned(app: Any) -> list[APIRoute]:
    return [route for route in all_routes(app) if uses(route.dependant, owner_of)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("owners")
    loaded = random_model(folder / "model")
    table = token_table(loaded.tokenizer)
    engine = Engine(loaded.model, EngineConfig(max_rows=4), vocabulary=table)
    keys = f"ana:{KEYS['ana']}, ben:{KEYS['ben']},{KEYS['local']}"
    config = ServerConfig(model_name="wee", api_key=keys)
    settings = load_config(LearnConfig, None, [*SMALL, *LOOSE])
    with pytest.MonkeyPatch.context() as patch, EngineThread(engine) as thread:
        patch.setattr(learner, "GateProcess", GateHere)
        world = World(folder / "learning", folder / "model", loaded, settings, engine)
        journal = Journal(folder / "journal.db")
        app = create_app(ChatModel(loaded, thread), journal, config, learning=world.service)
        place = Place(app, world, thread)
        with place.client:
            yield place
        world.service.close()
        journal.close()


@pytest.fixture(scope="module")
def known(place: Place) -> dict[str, str]:
    """What is ana's: taught under a name of her own, after the default one."""
    place.teach("ana", PRINTER)
    dana = {"kind": "fact", "text": "Dana Brook plays the cello."}
    job = place.teach("ana", dana, alias="workshop")
    conversation = place.ask("ana", "POST", "/api/conversations", {}).json()["id"]
    place.chat("ana", conversation_id=conversation)
    return {
        "job": job["id"], "lesson": job["lessons"][0], "version": job["version"],
        "alias": "workshop",
        "conversation": conversation,
        "folder": str(place.world.service.bank.of("ana").path(job["version"])),
    }  # fmt: skip


MADE_UP = {
    "job": "a" * 12, "lesson": "b" * 12, "version": "c" * 16, "alias": "playground",
    "conversation": "d" * 32, "folder": "/nowhere/at/all",
}  # fmt: skip


def named(routes: list[APIRoute]) -> set[tuple[str, str]]:
    return {(method, route.path) for route in routes for method in route.methods}


def test_every_route_is_the_same_for_all_or_asks_whose_it_is(place: Place) -> None:
    routes = list(all_routes(place.app))
    assert {route.path_format for route in routes} >= set(place.app.openapi()["paths"])
    of_owners = owned(place.app)
    assert {("GET", "/learn"), ("POST", "/v1/completions")} <= named(of_owners)
    for route in routes:
        for method in route.methods:
            free = (method, route.path) in FREE
            assert free != (route in of_owners), f"{method} {route.path}: whose is it?"
    assert not [route.path for route in of_owners if is_open(route.path)], "none without the key"


def test_every_route_with_a_name_in_it_is_tried_below(place: Place) -> None:
    def plain(path: str) -> str:
        return "/".join("*" if "{" in part else part for part in path.partition("?")[0].split("/"))

    tried = {(method, plain(path)) for method, path, _ in NAMING}
    wanted = {
        (method, plain(route.path))
        for route in owned(place.app)
        for method in route.methods
        if "{" in route.path
    }
    assert wanted <= tried


@pytest.mark.parametrize(("method", "path", "body"), NAMING, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("owner", ["ben", "local"])
def test_what_is_anothers_is_as_if_it_were_not(
    place: Place, known: dict[str, str], owner: str, method: str, path: str, body: Any
) -> None:
    before = place.sees("ana")
    answers = []
    for names in (known, MADE_UP):
        text = json.dumps(body)
        address = path
        for name, value in names.items():
            address = address.replace(f"{{{name}}}", value)
            text = text.replace(f"{{{name}}}", value)
        reply = place.ask(owner, method, address, json.loads(text))
        said = reply.text
        for value in sorted(names.values(), key=len, reverse=True):
            said = said.replace(value, "ID")
        answers.append((reply.status_code, said))
    assert answers[0] == answers[1]
    refused = 400 if "switch" in path or "/load_lora" in path else 404
    assert answers[0][0] == refused, answers[0]
    assert place.sees("ana") == before


def test_lists_and_dashboards_show_nothing_of_others(place: Place, known: dict[str, str]) -> None:
    seen = {owner: place.sees(owner) for owner in KEYS}
    assert {"/learn", "/lessons", "/adapters", "/learning/dashboard", "/v1/models"} <= set(
        seen["ana"]
    )
    for owner in ("ben", "local"):
        text = json.dumps(seen[owner])
        assert not [value for value in (*known.values(), "Heron", "Dana") if f'"{value}"' in text]
    assert seen["ben"] == seen["local"]
    mine = json.dumps(seen["ana"])
    assert not [name for name, value in known.items() if name != "folder" and value not in mine]


def answer(reply: Any) -> Any:
    """A reply without what differs each time."""
    (choice,) = reply["choices"]
    return choice["message"], choice["finish_reason"], choice["logprobs"]


@pytest.mark.parametrize("memory", ["auto", "off"])
def test_what_one_teaches_leaves_anothers_answers_as_they_were(
    place: Place, known: dict[str, str], memory: str
) -> None:
    fields = {"logprobs": True, "top_logprobs": 5, "memory": memory}
    base = place.chat("ben", model="base", **fields)
    mine, ours = place.chat("ana", **fields), place.chat("ben", **fields)
    assert mine["nanohydra"]["version"] and mine["nanohydra"]["lessons"]
    assert answer(mine) != answer(base)
    for each in (ours, place.chat("local", **fields)):
        assert answer(each) == answer(base), "bit for bit"
        about = each["nanohydra"]
        assert about["label"] == "base" and about["lessons"] == about["sources"] == []


def test_both_teach_the_contrary_under_one_name(place: Place, known: dict[str, str]) -> None:
    before = place.sees("ana"), answer(place.chat("ana", logprobs=True))
    job = place.teach("ben", ROBIN)
    assert (place.sees("ana"), answer(place.chat("ana", logprobs=True))) == before
    titles = {}
    for owner in ("ana", "ben"):
        for model in ("auto", "default", "wee"):
            about = place.chat(owner, model=model)["nanohydra"]
            titles[owner] = [lesson["title"] for lesson in about["lessons"]]
            assert len(about["versions"]) == 1
            assert (about["version"] == job["version"]) == (owner == "ben")
    assert titles == {"ana": [PRINTER["text"]], "ben": [ROBIN["text"]]}
    forced = f"default@{job['version'][:6]}"
    assert place.chat("ben", model=forced)["nanohydra"]["version"] == job["version"]
    refused = place.ask("ana", "POST", "/v1/chat/completions", {**CHAT, "model": forced})
    assert refused.status_code == 404 and job["version"] not in refused.text
    taken = place.ask("ben", "POST", "/learn", {"lessons": [PRINTER]})
    assert taken.status_code == 409, "with one's own lessons it is a contradiction"
    assert [each["earlier"]["id"] for each in taken.json()["conflicts"]] == job["lessons"]


def test_a_prompt_of_another_is_read_anew(place: Place) -> None:
    def cached() -> int:
        return int(place.thread.stats().cached_tokens)

    long = {"messages": [{"role": "user", "content": "Count the herons. " * 8}], "model": "base"}
    text = {"prompt": "The printer is called Heron. " * 6, "max_tokens": 1}

    def read(owner: str, **fields: Any) -> int:
        before = cached()
        place.chat(owner, **long, **fields)
        reply = place.ask(owner, "POST", "/v1/completions", {**text, **fields})
        assert reply.status_code == 200, reply.text
        return cached() - before

    assert read("ana") == 0
    assert read("ana") > 150, "of both prompts nearly all"
    assert read("ben") == read("local") == 0
    assert read("local", cache_salt="ana:") == 0, "and no salt makes one another"
    assert read("ben") > 150


def test_metrics_count_for_all(place: Place, known: dict[str, str]) -> None:
    texts = [place.ask(owner, "GET", "/metrics").text for owner in ("ana", "local")]
    for text in texts:
        assert 'nanohydra:learn_jobs{model_name="wee",state="live"}' in text
        assert not [value for value in (*known.values(), "ana") if value in text]
    assert place.client.get("/metrics").status_code == 401
    assert place.client.get("/health").status_code == 200


def test_without_keys_all_is_the_default_owners(
    make_client: Callable[..., TestClient], journal: Journal, tmp_path: Path
) -> None:
    id = journal.create().id
    for settings in ({}, {"api_key": "k"}, {"api_key": "local:k"}):
        client = make_client(**settings)
        headers = {"authorization": "Bearer k"}
        assert client.get(f"/api/conversations/{id}", headers=headers).status_code == 200
    other = make_client(api_key="ana:k")
    assert other.get(f"/api/conversations/{id}", headers=headers).status_code == 404


def test_an_answer_is_saved_whatever_others_ask(start_server: Callable[..., Live]) -> None:
    chat = FakeChat(delay_s=0.02)
    live = start_server(chat, api_key="ana:one,ben:two")
    journal = live.journal.of("ana")
    id = journal.create().id
    address, path = live.url.removeprefix("http://"), f"/api/conversations/{id}"

    def ask(key: str, method: str, path: str, body: Any = None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(address, timeout=10)
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request(method, path, json.dumps(body), headers)
        return connection

    def length() -> int:
        messages = journal.get(id).messages
        return len(messages[1].message.content) if len(messages) > 1 else 0

    asked = [{"role": "user", "content": "count to 1000"}]
    body = {"messages": asked, "stream": True, "conversation_id": id}
    stream = ask("one", "POST", "/v1/chat/completions", body)
    wait_for(lambda: length() > 0)
    told = {"messages": TOLD}
    tried = [("PUT", f"{path}/messages", told), ("DELETE", path, None)]
    tried.append(("POST", "/v1/chat/completions", {**told, "conversation_id": id}))
    for method, place, words in tried:
        other = ask("two", method, place, words)
        assert other.getresponse().status == 404
        other.close()
    before = length()
    wait_for(lambda: length() > before)
    stream.close()
