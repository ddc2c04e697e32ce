"""The official client against a live server and a real, random model: the whole surface."""

from __future__ import annotations

import asyncio
import json
import math
from enum import Enum
from typing import Any

import openai
from openai.lib.streaming.chat import ContentDoneEvent
from pydantic import BaseModel, Field

from nanohydra.chat import ChatModel

Json = dict[str, Any]
HELLO: Any = [{"role": "user", "content": "Hello"}]


def function(name: str, **properties: Json) -> Json:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = function("weather", city={"enum": ["Paris", "Rome"]}, days={"enum": [1, 2]})
CLOCK = function("clock")
TOOLS: Any = [WEATHER, CLOCK]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Car(BaseModel):
    colour: Colour
    doors: int = Field(ge=2, le=5)


def chat(client: openai.OpenAI, messages: Any = HELLO, **fields: Any) -> Any:
    fields = {"max_completion_tokens": 12, **fields}
    return client.chat.completions.create(model="wee", messages=messages, **fields)


def text_of(chunks: list[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_streamed_whole_and_async_say_the_same(official: openai.OpenAI, open_url: str) -> None:
    whole = chat(official)
    assert text_of(list(chat(official, stream=True))) == whole.choices[0].message.content

    async def ask() -> tuple[Any, list[Any]]:
        async with openai.AsyncOpenAI(base_url=f"{open_url}/v1", api_key="x") as asyn:
            client: Any = asyn
            both = await asyncio.gather(chat(client), chat(client, stream=True))
            return both[0], [chunk async for chunk in both[1]]

    found, chunks = asyncio.run(ask())
    assert found.choices == whole.choices
    assert text_of(chunks) == whole.choices[0].message.content


def test_usage_comes_last_where_asked(official: openai.OpenAI) -> None:
    *chunks, last = chat(official, stream=True, stream_options={"include_usage": True})
    whole = chat(official).usage
    assert last.usage == whole and last.choices == []
    assert all(chunk.usage is None for chunk in chunks)
    assert whole.total_tokens == whole.prompt_tokens + whole.completion_tokens


def test_usage_so_far_comes_with_every_chunk(official: openai.OpenAI) -> None:
    options = {"continuous_usage_stats": True, "include_usage": True}
    *chunks, last = chat(
        official, n=2, seed=5, temperature=1.5, stream=True, stream_options=options
    )
    assert last.choices == []
    ends = []
    for index in (0, 1):
        mine = [chunk for chunk in chunks if chunk.choices[0].index == index]
        counts = [chunk.usage.completion_tokens for chunk in mine]
        assert counts[0] == 0 < counts[1] and counts == sorted(counts)
        assert {chunk.usage.prompt_tokens for chunk in mine} == {last.usage.prompt_tokens}
        ends.append(counts[-1])
    assert sum(ends) == last.usage.completion_tokens
    options = {"continuous_usage_stats": True}
    found = list(chat(official, stream=True, stream_options=options))
    assert found[-1].choices[0].finish_reason and found[-1].usage.completion_tokens > 0


def test_choices_have_seeds_of_their_own(official: openai.OpenAI) -> None:
    three = chat(official, n=3, seed=5, temperature=1.5)
    said = [choice.message.content for choice in three.choices]
    assert [choice.index for choice in three.choices] == [0, 1, 2] and len(set(said)) > 1
    assert said == [c.message.content for c in chat(official, n=3, seed=5, temperature=1.5).choices]
    alone = [chat(official, seed=5 + n, temperature=1.5).choices[0].message.content for n in (0, 1)]
    assert said[:2] == alone


def test_probabilities_of_a_chat(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    whole = chat(official, logprobs=True, top_logprobs=3).choices[0]
    content = whole.logprobs.content
    data = b"".join(bytes(token.bytes) for token in content)
    assert data.decode("utf-8", "replace") == whole.message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
        assert token.top_logprobs[0].logprob == token.logprob <= 0
        assert sum(math.exp(each.logprob) for each in token.top_logprobs) <= 1.0001
    streamed = [
        token
        for chunk in chat(official, logprobs=True, top_logprobs=3, stream=True)
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert streamed == content
    assert chat(official, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []
    assert chat(official).choices[0].logprobs is None


def test_biases_penalties_and_ends(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    token = open_chat_model.tokenizer.encode("x")[0]
    forced = chat(official, logit_bias={str(token): 100}, max_completion_tokens=4)
    assert forced.choices[0].message.content == "xxxx"
    assert forced.choices[0].finish_reason == "length"
    mixed = chat(
        official, logit_bias={str(token): 100}, frequency_penalty=2, presence_penalty=2,
        max_completion_tokens=90,
    ).choices[0].message.content  # fmt: skip
    assert mixed.startswith("x" * 20) and set(mixed) != {"x"}
    stopped = chat(official, logit_bias={token: 100}, extra_body={"stop_token_ids": [token]})
    assert stopped.choices[0].message.content == ""
    assert (stopped.choices[0].finish_reason, stopped.usage.completion_tokens) == ("stop", 1)
    end = open_chat_model.tokenizer.chat.end_ids[0]
    bias = {str(end): 100}
    assert chat(official, logit_bias=bias).usage.completion_tokens == 1
    later = chat(official, logit_bias=bias, extra_body={"min_tokens": 5})
    assert later.usage.completion_tokens == 6 and later.choices[0].finish_reason == "stop"
    never = chat(official, logit_bias=bias, extra_body={"ignore_eos": True})
    assert never.usage.completion_tokens == 12 and never.choices[0].finish_reason == "length"


def test_stop_strings_are_never_shown(official: openai.OpenAI) -> None:
    text = chat(official, max_completion_tokens=30).choices[0].message.content
    stop = text[8:11]
    for stream in (False, True):
        found = chat(official, max_completion_tokens=30, stop=[stop], stream=stream)
        said = text_of(list(found)) if stream else found.choices[0].message.content
        assert said == text[: text.index(stop)]


def test_answers_obey_a_schema(official: openai.OpenAI) -> None:
    parsed = official.chat.completions.parse(
        model="wee", messages=HELLO, response_format=Car, max_completion_tokens=200
    )
    car = parsed.choices[0].message.parsed
    assert isinstance(car, Car) and 2 <= car.doors <= 5
    with official.chat.completions.stream(
        model="wee", messages=HELLO, response_format=Car, max_completion_tokens=200
    ) as stream:
        ends = [event for event in stream if isinstance(event, ContentDoneEvent)]
    assert [type(event.parsed) for event in ends] == [Car]
    form: Any = {"type": "json_object"}
    said = chat(official, response_format=form, max_completion_tokens=300, temperature=1, seed=2)
    if said.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(said.choices[0].message.content), dict)
    for extra, wanted in (
        ({"guided_choice": ["yes", "no"]}, ("yes", "no")),
        ({"structured_outputs": {"regex": "a{3}b"}}, ("aaab",)),
        ({"guided_grammar": 'start: "one" | "two"'}, ("one", "two")),
        ({"guided_json": {"const": 7}}, ("7",)),
    ):
        assert chat(official, extra_body=extra).choices[0].message.content in wanted


def test_tools_that_must_be_called(official: openai.OpenAI) -> None:
    fields: Json = {"tools": TOOLS, "max_completion_tokens": 400, "parallel_tool_calls": False}
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        answer = chat(official, tool_choice=choice, **fields).choices[0]
        assert answer.finish_reason == "tool_calls" and answer.message.content is None
        (call,) = answer.message.tool_calls
        given = json.loads(call.function.arguments)
        assert call.id == "call_1" and call.function.name in ("weather", "clock")
        assert set(given) == ({"city", "days"} if call.function.name == "weather" else set())
        chunks = list(chat(official, tool_choice=choice, stream=True, **fields))
        deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
        assert (deltas[0].id, deltas[0].type) == ("call_1", "function")
        assert deltas[0].function.name == call.function.name
        assert all(each.id is None and each.function.name is None for each in deltas[1:])
        assert "".join(d.function.arguments for d in deltas) == call.function.arguments
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        assert text_of(chunks) == ""


def test_several_calls_at_once(official: openai.OpenAI) -> None:
    for seed in range(8):
        fields: Json = {"temperature": 1.5, "seed": seed, "max_completion_tokens": 300}
        required: Json = {"tools": TOOLS, "tool_choice": "required", **fields}
        answer = chat(official, **required).choices[0]
        calls = answer.message.tool_calls
        if len(calls) > 1:
            break
    assert len(calls) > 1
    with official.chat.completions.stream(model="wee", messages=HELLO, **required) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in final or ()] == [
        (c.id, c.function.name, c.function.arguments) for c in calls
    ]
    assert [call.id for call in calls] == [f"call_{n + 1}" for n in range(len(calls))]


def test_results_of_tools_go_back_in(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    required: Json = {"tools": TOOLS, "max_completion_tokens": 400}
    named: Any = {"type": "function", "function": {"name": "weather"}}
    first = chat(official, tool_choice=named, **required).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in first.tool_calls
    ]
    messages = [*HELLO, first.model_dump(exclude_none=True), *results]
    again = chat(official, messages, tools=TOOLS, max_completion_tokens=5)
    assert again.usage.prompt_tokens > chat(official, tools=TOOLS).usage.prompt_tokens
    second = chat(official, messages, tool_choice=named, **required).choices[0].message
    assert second.tool_calls[0].id == f"call_{len(first.tool_calls) + 1}"


def test_tools_as_pydantic_models(official: openai.OpenAI) -> None:
    answer = official.chat.completions.parse(
        model="wee", messages=HELLO, tools=[openai.pydantic_function_tool(Car, name="car")],
        tool_choice="required", max_completion_tokens=300, parallel_tool_calls=False,
    )  # fmt: skip
    (call,) = answer.choices[0].message.tool_calls or ()
    assert isinstance(call.function.parsed_arguments, Car)


def test_a_model_may_leave_the_tools_alone(official: openai.OpenAI) -> None:
    free = chat(official, tools=TOOLS)
    assert free.choices[0].message.tool_calls is None and free.choices[0].message.content
    without = chat(official, tools=TOOLS, tool_choice="none")
    assert without.usage.prompt_tokens < free.usage.prompt_tokens
    strict = json.loads(json.dumps(TOOLS))
    strict[0]["function"]["strict"] = True
    kind = chat(official, tools=strict).choices[0]
    assert kind.finish_reason in ("length", "stop", "tool_calls")
