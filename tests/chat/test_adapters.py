"""Replies by an adapter: it is named at the end, and stays loaded through all rounds."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, base_hash
from nanohydra.adapters.batch import ReadyAdapter
from nanohydra.chat import ChatEvent, ChatModel, ChatParams, Done, answer_all
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig, EngineThread, residents
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer
from nanohydra.tools import Tool

GREEDY = ChatParams(temperature=0, max_tokens=12)
HELLO = [Message(role="user", content="hello")]

Make = Callable[..., ChatModel]
Talk = Callable[..., tuple[str, Done, list[ChatEvent]]]


@pytest.fixture
def loaded(tokenizer: Tokenizer) -> Loaded:
    """A small decoder whose tokens depend on all before."""
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=2,
        max_seq_len=128,
    )
    torch.manual_seed(3)
    model = Decoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.35)
    return Loaded(model=model, tokenizer=tokenizer, config=config, manifest={})


def adapter_of(model: Decoder) -> AdapterWeights:
    pairs = {
        f"blocks.{n}.mixer.q_proj": Pair(a_RI=torch.randn(4, 32), b_OR=torch.randn(32, 4))
        for n in range(2)
    }
    return AdapterWeights(config=LoraConfig(rank=4), base=base_hash(model), pairs=pairs)


def test_a_reply_by_an_adapter(loaded: Loaded, talk: Talk) -> None:
    weights = adapter_of(loaded.model)
    with EngineThread(Engine(loaded.model)) as thread:
        chat = ChatModel(loaded, thread)
        text, base, _ = talk(chat, HELLO, GREEDY)
        id = thread.load(weights)
        other, done, _ = talk(chat, HELLO, GREEDY, adapter=id)
        assert (base.adapter, done.adapter) == (None, id) and text != other
        assert asyncio.run(chat.answer(HELLO, GREEDY, adapter=id)).messages == done.messages
        assert talk(chat, HELLO, GREEDY)[0] == text
        with pytest.raises(UserError, match="'latest' is not loaded"):
            chat.stream(HELLO, GREEDY, adapter="latest")


def fold(loaded: Loaded, weights: AdapterWeights) -> Loaded:
    """The model with an adapter in its weights."""
    changed = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for name, pair in weights.pairs.items():
            linear = changed.get_submodule(name)
            linear.weight += weights.config.scale * pair.b_OR @ pair.a_RI  # type: ignore[operator]
    return Loaded(model=changed, tokenizer=loaded.tokenizer, config=loaded.config, manifest={})


def test_texts_are_rated_and_embedded_by_an_adapter(loaded: Loaded, talk: Talk) -> None:
    weights = adapter_of(loaded.model)
    folded = fold(loaded, weights)
    ids = loaded.tokenizer.encode("hello there, hello")
    with EngineThread(Engine(folded.model)) as thread:
        chat = ChatModel(folded, thread)
        wanted = asyncio.run(chat.embed(ids))
        rated = [token.logprob for token in asyncio.run(chat.score(ids))]
    with EngineThread(Engine(loaded.model, EngineConfig(prefill_tokens=4))) as thread:
        chat = ChatModel(loaded, thread)
        id = thread.load(weights)
        base, text = asyncio.run(chat.embed(ids)), talk(chat, HELLO, GREEDY)[0]
        assert asyncio.run(chat.embed(ids, adapter=id)) == pytest.approx(wanted, abs=1e-5)
        found = [token.logprob for token in asyncio.run(chat.score(ids, adapter=id))]
        assert found[1:] == pytest.approx(rated[1:], abs=1e-4)
        # The model itself is as it was, and nothing holds the adapter any more.
        assert asyncio.run(chat.embed(ids)) == base != pytest.approx(wanted, abs=1e-2)
        assert talk(chat, HELLO, GREEDY)[0] == text
        assert thread.unload(id, timeout_s=5.0)
        with pytest.raises(UserError, match="not loaded"):
            asyncio.run(chat.embed(ids, adapter=id))


def test_answer_all_by_an_adapter(loaded: Loaded) -> None:
    weights = adapter_of(loaded.model)
    folded = fold(loaded, weights)
    asked = [HELLO, [Message(role="user", content="there 3 + 4")]]
    base = answer_all(loaded, asked, max_tokens=12)
    adapted = answer_all(loaded, asked, max_tokens=12, adapter=weights)
    assert adapted == answer_all(folded, asked, max_tokens=12) != base


def test_an_adapter_stays_through_the_rounds_of_a_reply(
    chat: Make, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unloaded while a tool runs, when no request holds it."""
    monkeypatch.setattr(residents, "base_hash", lambda model: "base")
    monkeypatch.setattr(
        residents, "make_ready", lambda model, weights, base, id: ReadyAdapter(id="", factors={})
    )
    weights = AdapterWeights(config=LoraConfig(), base="base", pairs={})
    seen: list[Any] = []

    def swap(now: str) -> str:
        """Swap the adapter."""
        thread = model.engine
        seen.append(thread.unload(weights.id, 0.05))
        seen.append(thread.stats().adapters)
        return "done"

    script = 'on<|call|>swap {"now": "yes"}<|end|>'
    model = chat(
        lambda prompt: "it is so<|end|>" if "<|tool|>" in prompt else script,
        tools={"swap": Tool.from_function(swap)},
    )
    id = model.engine.load(weights)
    text, done, _ = talk(model, HELLO, ChatParams(temperature=0), adapter=id)
    assert text == "onit is so" and done.finish_reason == "stop" and done.adapter == id
    assert seen == [False, ()]
    assert model.engine.engine.adapters.wait_until_gone(id, 10)


def test_a_reply_that_is_never_read_gives_its_adapter_back(loaded: Loaded) -> None:
    with EngineThread(Engine(loaded.model)) as thread:
        chat = ChatModel(loaded, thread)
        id = thread.load(adapter_of(loaded.model))

        async def forget() -> None:
            chat.stream(HELLO, GREEDY, adapter=id)
            gc.collect()

        asyncio.run(forget())
        assert thread.unload(id, 10)


def test_a_chat_does_not_read_its_history_again(chat: Make, talk: Talk) -> None:
    model = chat("Hello there, hello there.<|end|>")
    history = [Message(role="user", content="hello there, hello there. " * 4)]
    for _ in range(3):
        _, done, _ = talk(model, history, ChatParams(temperature=0))
        history += [*done.messages, Message(role="user", content="hello there")]
    stats = model.engine.stats()
    assert stats.cached_tokens > stats.prompt_tokens
