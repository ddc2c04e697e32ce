"""GET /metrics, read by prometheus_client's own parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.testclient import TestClient

from nanohydra.testing import FakeChat, wait_for
from nanohydra.testing_learning import FakeLearning
from tests.server.models import open_app, open_chat, open_model

VLLM = """
num_requests_running num_requests_waiting kv_cache_usage_perc prefix_cache_queries
prefix_cache_hits num_preemptions prompt_tokens generation_tokens request_success
time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds
spec_decode_num_drafts spec_decode_num_draft_tokens spec_decode_num_accepted_tokens
request_queue_time_seconds request_prompt_tokens request_generation_tokens iteration_tokens_total
""".split()
OURS = """
kv_blocks adapters_resident http_replies client_disconnects rss_bytes waiting_prompt_tokens
""".split()


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name of the sample, and by the labels but the model's."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse(text):
        for sample in family.samples:
            labels = tuple(v for k, v in sample.labels.items() if k != "model_name")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_every_number_adds_up(tmp_path: Path) -> None:
    with open_chat(open_model(tmp_path)) as chat:
        app, journal, _ = open_app(chat, tmp_path)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            body = {"messages": [{"role": "user", "content": "Hello " * 30}], "max_tokens": 9}
            usages = []
            for n in (1, 2):
                usages.append(client.post("/v1/chat/completions", json={**body, "n": n}).json())
            client.post("/v1/chat/completions", json={**body, "stream": True})
            client.post("/v1/chat/completions", json={**body, "temperature": 9})
            reply = client.get("/metrics")
        journal.close()
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name for family in parse(reply.text)}
    assert {f"vllm:{name}" for name in VLLM} <= families
    assert {f"nanohydra:{name}" for name in OURS} <= families
    found = read(reply.text)
    written = sum(found["vllm:request_generation_tokens_sum"].values())
    assert written == found["vllm:generation_tokens_total"][()] == 4 * 9
    assert found["vllm:request_success_total"] == {
        ("length",): 4, ("stop",): 0, ("abort",): 0, ("error",): 0,
    }  # fmt: skip
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert found[f"vllm:{name}_count"][()] == 4 and found[f"vllm:{name}_sum"][()] > 0
    assert found["vllm:inter_token_latency_seconds_count"][()] == 4 * 8
    assert found["vllm:request_queue_time_seconds_count"][()] == 3  # two choices share one
    prompt = usages[0]["usage"]["prompt_tokens"]
    assert found["vllm:prefix_cache_queries_total"][()] == 3 * prompt
    hits = found["vllm:prefix_cache_hits_total"][()]
    assert hits > 0 and hits + found["vllm:prompt_tokens_total"][()] >= 3 * prompt
    blocks = found["nanohydra:kv_blocks"]
    assert blocks[("active",)] == 0 < blocks[("cached",)] and blocks[("free",)] > 0
    steps = found["nanohydra:engine_steps_total"][()]
    assert found["vllm:iteration_tokens_total_count"][()] == steps
    assert found["nanohydra:http_replies_total"] == {("200",): 3, ("400",): 1}
    assert found["nanohydra:rss_bytes"][()] > 2**20


def test_learning_is_counted(make_client: Callable[..., TestClient], chat: FakeChat) -> None:
    client = make_client(learning=FakeLearning(chat, step_s=0.0))
    before = read(client.get("/metrics").text)
    assert sum(before["nanohydra:learn_jobs"].values()) == 0
    lessons = [{"kind": "fact", "text": "The printer on floor 3 is called Heron."}]
    assert client.post("/learn", json={"lessons": lessons}).status_code == 202
    wait_for(lambda: client.get("/learn").json()["data"][0]["state"] == "live")
    after = read(client.get("/metrics").text)
    assert after["nanohydra:learn_jobs"][("live",)] == 1
    assert after["nanohydra:learn_gate_total"] == {("passed",): 1, ("refused",): 0}
    assert after["nanohydra:adapter_swaps_total"][()] >= 1


def test_clients_that_leave_are_counted(start_server: Any) -> None:
    live = start_server(FakeChat(delay_s=0.02))
    body = {"messages": [{"role": "user", "content": "count to 1000"}], "stream": True}
    with httpx.stream("POST", f"{live.url}/v1/chat/completions", json=body) as reply:
        next(reply.iter_raw())
    wait_for(lambda: live.service.metrics.disconnects == 1)
    found = read(httpx.get(f"{live.url}/metrics").text)
    assert found["nanohydra:client_disconnects_total"][()] == 1
    assert found["vllm:request_success_total"][("abort",)] == 1


def test_names_are_vllms_and_help_is_there(official: openai.OpenAI, open_url: str) -> None:
    official.completions.create(model="wee", prompt="x", max_tokens=1)
    text = httpx.get(f"{open_url}/metrics").text
    assert all(family.documentation for family in parse(text))
    assert not re.search(r"^(?!#|vllm:|nanohydra:|process_)(?=.)", text, re.MULTILINE)


def test_the_key_guards_it(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_key="k")
    assert client.get("/metrics").status_code == 401
    headers = {"authorization": "Bearer k"}
    assert client.get("/metrics", headers=headers).status_code == 200
