"""`AsyncLLM` gives what `LLM` gives, in pieces, to many at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from nanohydra import LLM, AsyncLLM, SamplingParams
from nanohydra.core.errors import UserError
from nanohydra.engine import QueueFull
from nanohydra.llm import Output
from nanohydra.testing import wait_for

LONG = SamplingParams(temperature=0.0, max_tokens=30, ignore_eos=True)
PROMPTS = ["What is the printer called?", "I don't know.", "Heron"]


async def read(llm: AsyncLLM, prompt: str, **options: Any) -> list[Output]:
    return [piece async for piece in llm.generate(prompt, LONG, **options)]


def test_streams_at_once_give_what_batches_give(folder: Path, adapter: Path) -> None:
    expected = LLM(folder).generate(PROMPTS, LONG, adapter=[None, adapter, None])

    async def ask() -> list[list[Output]]:
        async with AsyncLLM(folder, max_rows=2) as llm:
            return await asyncio.gather(
                read(llm, PROMPTS[0]), read(llm, PROMPTS[1], adapter=adapter), read(llm, PROMPTS[2])
            )

    for pieces, whole in zip(asyncio.run(ask()), expected, strict=True):
        assert "".join(piece.delta for piece in pieces) == pieces[-1].text == whole.text
        assert pieces[-1].token_ids == whole.token_ids and pieces[-1].adapter == whole.adapter
        assert pieces[-1].finished and not any(piece.finished for piece in pieces[:-1])


def test_chat_and_embeddings_as_offline(folder: Path) -> None:
    turns = [{"role": "user", "content": "Hello"}]
    offline = LLM(folder)
    params = SamplingParams(temperature=0.0, max_tokens=8)

    async def ask() -> tuple[list[Output], list[list[float]]]:
        async with AsyncLLM(folder) as llm:
            return [p async for p in llm.chat(turns, params)], await llm.embed(PROMPTS)

    pieces, vectors = asyncio.run(ask())
    assert pieces[-1].message == offline.chat(turns, params)[0].message
    assert vectors == offline.embed(PROMPTS)


def test_a_closed_stream_ends_its_request(folder: Path) -> None:
    async def ask() -> None:
        async with AsyncLLM(folder) as llm:
            stream = llm.generate("Heron", SamplingParams(max_tokens=200, ignore_eos=True))
            await anext(stream)
            await stream.aclose()
            await asyncio.to_thread(wait_for, lambda: llm.engine.stats().finished["abort"] == 1)
            assert llm.engine.num_open == 0

    asyncio.run(ask())


def test_a_stop_string_ends_the_stream_and_the_request(folder: Path) -> None:
    (whole,) = LLM(folder).generate("Heron", LONG)
    stop = whole.text[4:6]

    async def ask() -> list[Output]:
        async with AsyncLLM(folder) as llm:
            found = await read(llm, "Heron", stop=[stop])
            await asyncio.to_thread(wait_for, lambda: llm.engine.stats().num_active == 0)
            return found

    pieces = asyncio.run(ask())
    assert pieces[-1].text == whole.text.partition(stop)[0]
    assert pieces[-1].finish_reason == "stop"


def test_refusals(folder: Path) -> None:
    async def ask() -> None:
        async with AsyncLLM(folder, max_rows=1, max_waiting=0) as llm:
            with pytest.raises(UserError, match="of one prompt, not of 2"):
                llm.generate([[5], [6]])  # type: ignore[list-item]
            with pytest.raises(UserError, match="there is no adapter"):
                await anext(llm.generate("x", adapter="nowhere"))
            first = llm.generate("x", SamplingParams(max_tokens=200, ignore_eos=True))
            await anext(first)
            with pytest.raises(QueueFull):
                await anext(llm.generate("x"))
            await first.aclose()

    asyncio.run(ask())
