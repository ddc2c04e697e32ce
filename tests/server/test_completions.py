"""The chat API in process: shapes, parameters, tools, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from nanohydra.testing import FakeChat

Make = Callable[..., TestClient]
PATH = "/v1/chat/completions"


def ask(client: TestClient, text: str = "hello", **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields}
    response = client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def stream(client: TestClient, text: str = "hello", **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed answer; the end marker is checked and left out."""
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "stream": True}
    response = client.post(PATH, json={**body, **fields})
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def error_of(client: TestClient, status: int, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "hello"}], **fields}
    response = client.post(PATH, json=body)
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_a_completion_has_the_shape_of_openai(client: TestClient) -> None:
    answer = ask(client)
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["model"] == "fake"
    assert isinstance(answer["created"], int)
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "You said: hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_a_stream_starts_with_the_role_and_ends_with_the_reason(client: TestClient) -> None:
    chunks = stream(client)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    first, *middle, last = (chunk["choices"][0] for chunk in chunks)
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert first["finish_reason"] is None
    assert "".join(each["delta"]["content"] for each in middle) == "You said: hello"
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert all("usage" not in chunk for chunk in chunks)


def test_a_stream_gives_usage_last_where_asked(client: TestClient) -> None:
    *chunks, last = stream(client, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_streamed_and_whole_say_the_same(client: TestClient) -> None:
    for text in ("hello", "37 * 24", "say a **b**\n\nc"):
        chunks = stream(client, text)
        streamed = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
        assert streamed == ask(client, text)["choices"][0]["message"]["content"]


def test_the_calculator_runs_and_is_shown(client: TestClient) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "calculator", "arguments": '{"expression": "37 * 24"}'},
    }
    result = {"tool_call_id": "call_1", "name": "calculator", "content": "888"}
    extras = [chunk["nanohydra"] for chunk in stream(client, "37 * 24") if "nanohydra" in chunk]
    assert extras[:2] == [{"tool_call": call}, {"tool_result": result}]
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "888", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "The answer is 888."},
    ]
    assert extras[2]["messages"] == messages
    assert set(extras[2]["timings"]) == {"ttft_s", "total_s", "tokens_per_s"}
    assert extras[2]["context"] == {"tokens": 8, "length": 2048}
    whole = ask(client, "37 * 24")["nanohydra"]["choices"]
    assert whole[0]["messages"] == messages


def test_tool_turns_can_be_sent_back(client: TestClient, chat: FakeChat) -> None:
    before = ask(client, "37 * 24")["nanohydra"]["choices"][0]["messages"]
    history = [{"role": "user", "content": "37 * 24"}, *before]
    ask(client, messages=[*history, {"role": "user", "content": "thanks"}])
    seen = chat.seen[-1][0]
    assert [message.role for message in seen] == ["user", "assistant", "tool", "assistant", "user"]
    assert seen[1].tool_calls[0].arguments == {"expression": "37 * 24"}
    assert seen[2].tool_call_id == "call_1"


def test_tools_can_be_named_or_left_out(client: TestClient, chat: FakeChat) -> None:
    function = {"type": "function", "function": {"name": "calculator", "parameters": {}}}
    for tools in ("auto", ["calculator"], [function]):
        assert "888" in ask(client, "37 * 24", tools=tools)["choices"][0]["message"]["content"]
    for fields in ({"tools": "none"}, {"tools": []}, {"tool_choice": "none"}):
        said = ask(client, "37 * 24", **fields)["choices"][0]["message"]["content"]
        assert said == "You said: 37 * 24"
    foreign = {"type": "function", "function": {"name": "weather"}}
    assert error_of(client, 400, tools=[foreign])["param"] == "tools"
    assert "both" in error_of(client, 400, tools=[foreign, "calculator"])["message"]
    assert "calculator" in error_of(client, 400, tools=["calculater"])["message"]


def test_sampling_parameters_reach_the_model(client: TestClient, chat: FakeChat) -> None:
    sent = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": 7}
    ask(client, **sent, max_tokens=5, stop="x")
    params = chat.seen[-1][1]
    assert {name: getattr(params, name) for name in sent} == sent
    assert (params.max_tokens, params.stop) == (5, ("x",))
    ask(client, max_completion_tokens=6, max_tokens=5, stop=["x", "y"])
    params = chat.seen[-1][1]
    assert (params.max_tokens, params.stop) == (6, ("x", "y"))


def test_the_servers_defaults_hold_where_nothing_is_said(make_client: Make) -> None:
    chat = FakeChat()
    given = {"temperature": 0.3, "top_p": 0.8, "top_k": 20, "min_p": 0.1, "max_tokens": 9}
    client = make_client(with_chat=chat, **given)
    client.post(PATH, json={"messages": [{"role": "user", "content": "x"}]})
    params = chat.seen[-1][1]
    assert {name: getattr(params, name) for name in given} == given


def test_length_and_stop_strings_end_an_answer(client: TestClient) -> None:
    cut = ask(client, "count to 50", max_tokens=3)
    assert cut["choices"][0]["message"]["content"] == "1 2 3"
    assert cut["choices"][0]["finish_reason"] == "length"
    stopped = ask(client, "count to 9", stop=[" 5"])["choices"][0]
    assert stopped["message"]["content"] == "1 2 3 4"
    assert stopped["finish_reason"] == "stop"


def test_several_choices_have_seeds_of_their_own(client: TestClient) -> None:
    fields = {"n": 3, "seed": 5, "temperature": 1}
    first, again = ask(client, **fields), ask(client, **fields)
    said = [choice["message"]["content"] for choice in first["choices"]]
    assert said == [choice["message"]["content"] for choice in again["choices"]]
    assert len(set(said)) > 1
    assert [choice["index"] for choice in first["choices"]] == [0, 1, 2]
    assert first["usage"]["prompt_tokens"] == 2
    assert first["usage"]["completion_tokens"] == sum(len(text.split()) for text in said)
    chunks = stream(client, **fields)
    texts = ["", "", ""]
    for chunk in chunks:
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == said
    assert sum(chunk["choices"][0]["finish_reason"] == "stop" for chunk in chunks) == 3


def test_text_parts_are_joined_and_developer_means_system(
    client: TestClient, chat: FakeChat
) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": parts}]
    assert ask(client, messages=messages)["choices"][0]["message"]["content"] == "You said: hello"
    assert [message.role for message in chat.seen[-1][0]] == ["system", "user"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"stream": "perhaps"}, "stream"),
        ({"tools": ["hammer"]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice"),
        ({"structured_outputs": {"xml": 1}}, "structured_outputs.xml"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logit_bias": {"1114112": 1}}, "logit_bias"),
        ({"stop_token_ids": [2**30]}, "stop_token_ids"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"suffix": "x"}, "suffix"),
        ({"audio": {}}, "audio"),
        (
            {"stream_options": {"continuous_usage_stats": "often"}},
            "stream_options.continuous_usage_stats",
        ),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_bad_input_is_refused_by_name(client: TestClient, fields: Any, param: str) -> None:
    error = error_of(client, 400, **fields)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param.split("[")[0] in error["message"]


def test_fields_that_ask_for_nothing_are_accepted(client: TestClient) -> None:
    ask(client, user="me", presence_penalty=0, logit_bias={}, response_format={"type": "text"})
    ask(client, store=False, metadata={"a": "b"}, parallel_tool_calls=True, logprobs=False)


def test_an_unknown_field_gets_a_suggestion(client: TestClient) -> None:
    assert "did you mean 'temperature'?" in error_of(client, 400, temprature=1)["message"]


def test_what_is_no_json_object_is_refused(client: TestClient) -> None:
    json_type = {"content-type": "application/json"}
    for content, headers in (
        (b"{", json_type),
        (b"[1]", json_type),
        (b"\xff\xfe", json_type),
        (b'{"messages": []}', {"content-type": "text/plain"}),
    ):
        response = client.post(PATH, content=content, headers=headers)
        assert response.status_code == 400, content
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: TestClient) -> None:
    assert ask(client, model="fake")["model"] == "fake"
    error = error_of(client, 404, model="fakir")
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "did you mean 'fake'?" in error["message"]


def test_a_large_body_is_refused(make_client: Make) -> None:
    client = make_client(max_body_bytes=1000)
    error = error_of(client, 413, messages=[{"role": "user", "content": "x" * 2000}])
    assert "too large" in error["message"]


def test_too_many_messages_are_refused(make_client: Make) -> None:
    client = make_client(max_messages=3)
    error = error_of(client, 400, messages=[{"role": "user", "content": "x"}] * 4)
    assert error["param"] == "messages"


def test_a_conversation_that_does_not_fit_is_refused(make_client: Make) -> None:
    client = make_client(with_chat=FakeChat(context_length=10))
    error = error_of(client, 400, messages=[{"role": "user", "content": "x " * 20}])
    assert "10 tokens" in error["message"]


def test_a_full_queue_says_when_to_come_back(make_client: Make) -> None:
    chat = FakeChat(max_requests=2)
    client = make_client(with_chat=chat, retry_seconds=3)
    body = {"messages": [{"role": "user", "content": "x"}], "n": 3}
    for streaming in (False, True):
        response = client.post(PATH, json={**body, "stream": streaming})
        assert response.status_code == 429
        assert response.headers["retry-after"] == "3"
        assert response.json()["error"]["type"] == "rate_limit_error"
    # The two choices that had a place gave it back.
    assert chat.engine.running == 0
    assert client.post(PATH, json={**body, "n": 2}).status_code == 200


def test_an_engine_that_has_stopped_is_said(make_client: Make) -> None:
    chat = FakeChat()
    client = make_client(with_chat=chat)
    chat.engine.stopped = True
    assert error_of(client, 503)["code"] == "engine_stopped"


def test_models_are_listed(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["object"], model["context_length"]) == ("fake", "model", 2048)
    assert model["tools"] == ["calculator"]
    assert client.get("/v1/models/fake").json() == model
    assert client.get("/v1/models/other").status_code == 404


@pytest.mark.parametrize("path", ["owner/small", "owner%2Fsmall"])
def test_a_model_of_the_hub_has_a_slash(make_client: Callable[..., TestClient], path: str) -> None:
    client = make_client(model_name="owner/small")
    assert client.get(f"/v1/models/{path}").json()["id"] == "owner/small"
    body = {"model": "owner/small", "messages": [{"role": "user", "content": "say hello"}]}
    assert client.post(PATH, json=body).json()["model"] == "owner/small"


def test_unknown_paths_and_methods_have_the_error_shape(client: TestClient) -> None:
    for response, status in ((client.get("/v1/nothing"), 404), (client.get(PATH), 405)):
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_the_schema_describes_the_request(client: TestClient) -> None:
    schema = client.get("/v1/openapi.json").json()
    fields = schema["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"messages", "temperature", "stream", "tools"} <= set(fields)
    assert PATH in schema["paths"]
