"""Completions, embeddings and tokens by the official client and by hand, and their refusals."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
import torch

from nanohydra.chat import ChatModel

Post = Callable[..., Any]


@pytest.fixture(scope="module")
def post(open_url: str) -> Post:
    """post(path, status=200, **fields) -> the reply, or its error."""

    def send(path: str, status: int = 200, **fields: Any) -> Any:
        reply = httpx.post(open_url + path, json=fields, timeout=60)
        assert reply.status_code == status, reply.text
        return reply.json() if status == 200 else reply.json()["error"]

    return send


def complete(official: openai.OpenAI, prompt: Any = "Once upon", **fields: Any) -> Any:
    return official.completions.create(model="wee", prompt=prompt, **fields)


def test_a_text_goes_on(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    found = complete(official)
    assert (found.object, found.id[:5]) == ("text_completion", "cmpl-")
    assert found.usage.completion_tokens == 16 and found.choices[0].finish_reason == "length"
    ids = open_chat_model.encode("Once upon")
    assert complete(official, ids).choices[0].text == found.choices[0].text
    chunks = list(complete(official, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage == found.usage
    assert "".join(c.choices[0].text for c in chunks[:-1]) == found.choices[0].text
    assert [c.choices[0].finish_reason for c in chunks[-2:-1]] == ["length"]


def test_many_prompts_and_choices(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    texts = ["Once upon", "Hello there"]
    found = complete(official, texts, n=2, max_tokens=5)
    alone = [complete(official, text, max_tokens=5).choices[0].text for text in texts]
    assert [choice.text for choice in found.choices] == [alone[0]] * 2 + [alone[1]] * 2
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    ids = [open_chat_model.encode(text) for text in texts]
    assert found.usage.prompt_tokens == sum(map(len, ids))
    assert [c.text for c in complete(official, ids, max_tokens=5).choices] == alone


def test_probabilities_with_the_prompt(official: openai.OpenAI, open_chat_model: ChatModel) -> None:
    text = "Once upon a time"
    found = complete(official, text, echo=True, logprobs=2, max_tokens=3).choices[0]
    table = found.logprobs
    assert found.text.startswith(text) and "".join(table.tokens[:-3]) == text
    assert table.token_logprobs[0] is None and table.top_logprobs[0] is None
    ids = open_chat_model.encode(text)
    model = open_chat_model.loaded.model
    known = open_chat_model.tokenizer.vocab_size
    with torch.no_grad():
        logprobs = model(torch.tensor([ids]))[0, :, :known].float().log_softmax(-1)
    wanted = [float(logprobs[n, id]) for n, id in enumerate(ids[1:])]
    assert table.token_logprobs[1 : len(ids)] == pytest.approx(wanted, abs=1e-4)
    for token, offset in zip(table.tokens, table.text_offset, strict=True):
        assert "\ufffd" in token or found.text[offset:].startswith(token)
    for token, rivals in zip(table.tokens[1:], table.top_logprobs[1:], strict=True):
        assert token in rivals and 2 <= len(rivals) <= 3
    rated = complete(official, text, echo=True, logprobs=0, max_tokens=0).choices[0]
    assert rated.text == text and len(rated.logprobs.tokens) == len(ids)
    plain = complete(official, text, echo=True, max_tokens=3)
    assert plain.choices[0].text == found.text and plain.choices[0].logprobs is None
    streamed = list(complete(official, text, echo=True, max_tokens=3, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == found.text


def test_the_likeliest_of_several_are_given(official: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "max_tokens": 8, "temperature": 1.5, "seed": 5, "extra_body": {"ignore_eos": True},
    }  # fmt: skip
    prompts = ["Once upon", "Hello there"]
    every = complete(official, prompts, n=4, logprobs=0, **asked)
    best = complete(official, prompts, n=2, best_of=4, **asked)
    wanted = []
    for group in (every.choices[:4], every.choices[4:]):
        sums = {choice.text: sum(choice.logprobs.token_logprobs) for choice in group}
        assert len(sums) == 4
        wanted += sorted(sums, key=lambda text: -sums[text])[:2]
    assert [choice.text for choice in best.choices] == wanted
    assert [choice.index for choice in best.choices] == [0, 1, 2, 3]
    assert best.usage == every.usage and best.choices[0].logprobs is None
    again = complete(official, prompts[0], best_of=4, logprobs=1, **asked).choices
    assert [choice.text for choice in again] == wanted[:1]
    assert len(again[0].logprobs.tokens) == 8


def test_usage_so_far_comes_with_every_piece(official: openai.OpenAI) -> None:
    options = {"continuous_usage_stats": True}
    asked: dict[str, Any] = {"max_tokens": 6, "n": 2, "stream": True, "logprobs": 0}
    chunks = list(complete(official, stream_options=options, **asked))
    whole = complete(official, max_tokens=6, n=2).usage
    for index in (0, 1):
        mine = [chunk for chunk in chunks if chunk.choices[0].index == index]
        pieces = [len(c.choices[0].logprobs.tokens) for c in mine if c.choices[0].logprobs]
        counts = [chunk.usage.completion_tokens for chunk in mine]
        assert counts[0] >= 1 and counts == sorted(counts) and counts[-1] == 6 == sum(pieces)
        assert {chunk.usage.prompt_tokens for chunk in mine} == {whole.prompt_tokens}
    *chunks, last = complete(official, stream_options={**options, "include_usage": True}, **asked)
    assert last.usage == whole and all(chunk.usage is not None for chunk in chunks)


def test_what_a_completion_cannot_do_is_refused(official: openai.OpenAI) -> None:
    for fields, param in (
        ({"suffix": "the end"}, "suffix"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 9}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [2**30]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "x " * 2000}, "prompt"),
        ({"prompt": ["a"] * 9}, "prompt"),
        ({"n": 9}, "n"),
        ({"logprobs": 21}, "logprobs"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            complete(official, **{"prompt": "x", **fields})
        assert error.value.param == param, fields
    with pytest.raises(openai.NotFoundError):
        official.completions.create(model="other", prompt="x")


def test_embeddings(official: openai.OpenAI, open_chat_model: ChatModel, post: Post) -> None:
    texts = ["Hello there", "Once upon a time " * 50]  # the second one is read in slices
    found = official.embeddings.create(model="wee", input=texts)  # base64, which the client reads
    model = open_chat_model.loaded.model
    for text, each in zip(texts, found.data, strict=True):
        ids = open_chat_model.encode(text)
        with torch.no_grad():
            mean = model.hidden(torch.tensor([ids]))[0].float().mean(0)
        wanted = torch.nn.functional.normalize(mean, dim=0).tolist()
        assert each.embedding == pytest.approx(wanted, abs=1e-5)
    assert found.usage.prompt_tokens == sum(len(open_chat_model.encode(text)) for text in texts)
    plain = post("/v1/embeddings", input=open_chat_model.encode(texts[0]), dimensions=32)
    (vector,) = [each["embedding"] for each in plain["data"]]
    assert math.hypot(*vector) == pytest.approx(1) and vector == pytest.approx(
        found.data[0].embedding
    )
    coded = post("/v1/embeddings", input=texts[0], encoding_format="base64")
    data = base64.b64decode(coded["data"][0]["embedding"])
    assert struct.unpack("<32f", data) == pytest.approx(vector, abs=1e-6)
    for fields, param in (
        ({"input": "x", "dimensions": 8}, "dimensions"),
        ({"input": ["x", ""]}, "input"),
        ({"input": ["x"] * 300}, "input"),
    ):
        assert post("/v1/embeddings", 400, **fields)["param"] == param
    assert post("/v1/embeddings", 404, input="x", model="other")["param"] == "model"


def test_embeddings_do_not_hold_up_answers(open_url: str) -> None:
    async def both() -> None:
        async with openai.AsyncOpenAI(base_url=f"{open_url}/v1", api_key="x") as client:
            found, answer = await asyncio.gather(
                client.embeddings.create(model="wee", input=["word " * 100] * 20),
                client.completions.create(model="wee", prompt="Once", max_tokens=40),
            )
            assert len(found.data) == 20 and answer.usage is not None
            assert answer.usage.completion_tokens == 40

    asyncio.run(both())


def test_texts_to_tokens_and_back(open_chat_model: ChatModel, post: Post) -> None:
    text = "Hello, wörld! <|im_end|>"
    found = post("/tokenize", prompt=text, return_token_strs=True, model="wee")
    assert found["tokens"] == open_chat_model.encode(text)
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"])
    assert found["max_model_len"] == open_chat_model.context_length
    assert post("/detokenize", tokens=found["tokens"])["prompt"] == text
    messages = [{"role": "user", "content": "Hello"}]
    asked = post("/tokenize", messages=messages)
    usage = post("/v1/chat/completions", messages=messages, max_tokens=1)["usage"]
    assert asked["count"] == usage["prompt_tokens"]
    tool = {"type": "function", "function": {"name": "now"}}
    assert post("/tokenize", messages=messages, tools=[tool])["count"] > asked["count"]
    bare = post("/tokenize", messages=messages, add_generation_prompt=False)
    assert asked["tokens"][: bare["count"]] == bare["tokens"] and bare["count"] < asked["count"]
    assert post("/tokenize", 400)["param"] == "prompt"
    assert post("/tokenize", 400, prompt="x", messages=messages)["param"] == "prompt"
    assert post("/detokenize", 400, tokens=[2**30])["param"] == "tokens"
