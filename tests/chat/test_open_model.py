"""A model that transformers wrote: loaded, taught a little, chatted with, served and saved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from nanohydra import load
from nanohydra.chat import ChatModel, ChatParams, Done, Journal, TextDelta, ToolCalled, answer_all
from nanohydra.chat.context import make_prompt
from nanohydra.checkpoint import Loaded, save
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.data.notes import with_notes
from nanohydra.engine import Engine, EngineConfig, EngineThread, SamplingParams, generate
from nanohydra.learn.replies import reply_to_all
from nanohydra.learn.samples import encode
from nanohydra.server import ServerConfig, create_app
from nanohydra.tools import load_tools
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.foreign import byte_level, write

transformers = pytest.importorskip("transformers")

HELLO = (Message(role="user", content="Hello"),)
SUM = (Message(role="user", content="37 * 24?"),)
CALL = ToolCall(id="call_1", name="calculator", arguments={"expression": "37 * 24"})
RESULT = Message(role="tool", content="888", tool_call_id="call_1")
PADDING = 13
GREEDY = ChatParams(temperature=0, max_tokens=60)


def write_model(folder: Path, vocab_size: int, eos: list[int]) -> None:
    """A small random Qwen3 with more ids than its tokenizer."""
    config = transformers.Qwen3Config(
        vocab_size=vocab_size + PADDING, hidden_size=64, intermediate_size=96,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        max_position_embeddings=1024, eos_token_id=eos, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.Qwen3ForCausalLM(config)
    model.generation_config.update(eos_token_id=eos, temperature=0.6, top_k=20, do_sample=True)
    model.save_pretrained(folder)


def teach(loaded: Loaded) -> None:
    """Learn one greeting, one call and what follows it by heart, from the masks alone."""
    chat, tools = loaded.tokenizer.chat, [load_tools()["calculator"].schema()]
    called = Message(role="assistant", tool_calls=(CALL,))
    say = lambda text: Message(role="assistant", content=text)  # noqa: E731
    lessons = [
        chat.render_reply(HELLO, say("Hello there!")),
        chat.render_reply(SUM, called, tools=tools),
        chat.render_reply((*SUM, called, RESULT), say("It is 888."), tools=tools),
    ]
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=3e-3)
    for _ in range(80):
        for lesson in lessons:
            logits = loaded.model(torch.tensor([lesson.ids[:-1]]))[0]
            mask = torch.tensor(lesson.mask[1:])
            loss = torch.nn.functional.cross_entropy(
                logits[mask], torch.tensor(lesson.ids[1:])[mask]
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "open"
    FAMILIES["qwen3"].write(folder)
    about = transformers.AutoTokenizer.from_pretrained(folder)
    ends = about.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    write_model(folder, len(about), ends)
    return folder


@pytest.fixture(scope="module")
def taught(source: Path) -> Loaded:
    loaded = load(source)
    teach(loaded)
    return loaded


@pytest.fixture(scope="module")
def chat(taught: Loaded) -> Iterator[ChatModel]:
    engine = Engine(taught.model, EngineConfig(max_rows=2, num_ids=taught.tokenizer.vocab_size))
    with EngineThread(engine) as thread:
        yield ChatModel(taught, thread)


def talk(chat: ChatModel, messages: Any, **rest: Any) -> tuple[list[Any], Done]:
    async def collect() -> list[Any]:
        return [event async for event in chat.stream(messages, GREEDY, **rest)]

    *events, done = asyncio.run(collect())
    return events, done


def test_it_greets_and_stops_at_its_end(chat: ChatModel) -> None:
    events, done = talk(chat, HELLO)
    assert "".join(event.text for event in events) == "Hello there!"
    assert done.finish_reason == "stop"
    assert done.messages == (Message(role="assistant", content="Hello there!"),)
    assert done.usage.prompt_tokens == chat.count_tokens(HELLO)


def test_it_calls_a_tool_that_it_was_offered(chat: ChatModel) -> None:
    events, done = talk(chat, SUM, tools=["calculator"])
    assert [event.call for event in events if isinstance(event, ToolCalled)] == [CALL]
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == "It is 888."
    assert done.messages[1] == RESULT and done.finish_reason == "stop"


def test_without_an_offer_there_is_no_call(chat: ChatModel) -> None:
    events, _ = talk(chat, SUM)
    assert not any(isinstance(event, ToolCalled) for event in events)


def test_many_at_once(taught: Loaded) -> None:
    tools = {"calculator": load_tools()["calculator"]}
    greeting = answer_all(taught, [HELLO])
    assert [m.content for m in greeting[0]] == ["Hello there!"]
    (sums,) = answer_all(taught, [SUM], tools=tools)
    assert [m.content for m in sums] == ["", "888", "It is 888."]


def test_the_learning_loop_asks_and_teaches_in_its_format(taught: Loaded) -> None:
    (reply,) = reply_to_all(taught.model, taught.tokenizer, [HELLO], max_new_tokens=30)
    assert (reply.text, reply.ended) == ("Hello there!", True)
    (cut,) = reply_to_all(taught.model, taught.tokenizer, [HELLO], max_new_tokens=2)
    assert not cut.ended and cut.text == ""
    sample = encode(taught.tokenizer, HELLO, "Hello there!", 500)
    prompt = taught.tokenizer.chat.render(HELLO, add_generation_prompt=True).ids
    assert list(sample.ids) == [*prompt, *reply.ids]
    assert sample.mask == (*[False] * len(prompt), *[True] * len(reply.ids))


def test_served_with_streaming(chat: ChatModel, tmp_path: Path) -> None:
    config = ServerConfig(model_name="open", temperature=0)
    with closing(Journal(tmp_path / "journal.db")) as journal:
        app = create_app(lambda: chat, journal, config)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            asked = [{"role": "user", "content": "Hello"}]
            body = {"model": "open", "messages": asked, "max_tokens": 30}
            said = client.post("/v1/chat/completions", json=body).json()["choices"][0]
            lines = client.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert said["message"]["content"] == "Hello there!" and said["finish_reason"] == "stop"
    chunks = [json.loads(line[6:]) for line in lines.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"].get("content") or "" for c in chunks for choice in c["choices"]]
    assert "".join(deltas) == "Hello there!"


def test_saved_it_is_what_transformers_reads(source: Path, taught: Loaded, tmp_path: Path) -> None:
    save(tmp_path / "copy", taught.model, taught.tokenizer, manifest={})
    names = ("generation_config.json", "tokenizer_config.json", "tokenizer.json")
    for name in names[1:]:
        texts = [json.loads((f / name).read_text()) for f in (source, tmp_path / "copy")]
        assert texts[0] == texts[1]
    kept = json.loads((tmp_path / "copy" / names[0]).read_text())
    given = json.loads((source / names[0]).read_text())
    assert given.items() <= kept.items() and len(kept["eos_token_id"]) == 2
    again = load(tmp_path / "copy")
    assert again.sampling == {"temperature": 0.6, "top_k": 20}
    assert again.tokenizer.chat.end_ids == taught.tokenizer.chat.end_ids
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "copy")
    about = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
    prompt = about.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_dict=True,
        return_tensors="pt", enable_thinking=False,
    )  # fmt: skip
    out = other.generate(**prompt, max_new_tokens=30, do_sample=False, temperature=None, top_k=None)
    new = out[0, prompt["input_ids"].shape[1] :].tolist()
    assert taught.tokenizer.chat.parse(new).content == "Hello there!"
    assert new[-1] in taught.tokenizer.chat.end_ids


def test_ids_that_only_pad_the_vocabulary_are_never_chosen(source: Path) -> None:
    loaded = load(source)
    size = loaded.tokenizer.vocab_size
    assert loaded.config.vocab_size == size + PADDING
    params = [SamplingParams(temperature=9.0, max_tokens=200, seed=n) for n in range(2)]
    for known, expected in ((size, False), (0, True)):
        config = EngineConfig(max_rows=2, num_ids=known)
        done = [generate(Engine(loaded.model, config), [[1, 2]], p)[0] for p in params]
        assert any(id >= size for completion in done for id in completion.ids) is expected


def test_old_turns_are_left_out_whole(taught: Loaded) -> None:
    answer = Message(role="assistant", content="It is so.")
    turns = [[Message(role="user", content=f"Question {n}?"), answer] for n in range(5)]
    system = Message(role="system", content="Be kind.")
    messages = [system, *(m for turn in turns for m in turn), *HELLO]
    chat = taught.tokenizer.chat
    kept = chat.render([system, *turns[4], *HELLO], add_generation_prompt=True).ids
    prompt = make_prompt(taught.tokenizer, messages, max_length=len(kept) + 20, reserve=20)
    assert (list(prompt.ids), prompt.dropped_turns) == (kept, 4)


def test_a_base_model_chats_by_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nanohydra.commands.serve import load_chat
    from nanohydra.recipe import Recipe

    backend = byte_level(["<|endoftext|>"])
    write(tmp_path, backend, {"eos_token": "<|endoftext|>"})
    write_model(tmp_path, backend.get_vocab_size(), [backend.token_to_id("<|endoftext|>")])
    chat = load_chat(tmp_path, Recipe(name="base"), EngineConfig(max_rows=1), max_waiting=1)
    assert "no chat template" in capsys.readouterr().err
    loaded = chat.loaded
    format = loaded.tokenizer.chat
    prompt = format.render([*HELLO, Message(role="assistant", content="Hi."), *SUM]).ids
    assert loaded.tokenizer.decode(prompt) == "User: Hello\nAssistant: Hi.\nUser: 37 * 24?\n"
    reply = format.render_reply(HELLO, Message(role="assistant", content="Hi."))
    learned = [id for id, loss in zip(reply.ids, reply.mask, strict=True) if loss]
    assert loaded.tokenizer.decode(learned, skip_special=False) == " Hi.<|endoftext|>"
    said = loaded.tokenizer.encode(" Hi.\nUser: more")
    assert format.parse(said).content == "Hi." and format.ended(said)
    assert not format.ended(said[:2]) and format.ended(learned)
    with chat.engine:
        _, done = talk(chat, HELLO)
    assert done.finish_reason in ("stop", "length")


def test_notes_come_with_the_question_where_there_is_no_system_turn(tmp_path: Path) -> None:
    from nanohydra.tokenizer import Tokenizer

    gemma = Tokenizer.load(FAMILIES["gemma"].write(tmp_path)).chat
    noted = with_notes(HELLO, ["The cat is red."], system=gemma.takes_system)
    assert not gemma.takes_system and [m.role for m in noted] == ["user"]
    assert "The cat is red." in noted[0].content and noted[0].content.endswith("\n\nHello")
    gemma.render(noted)
    with pytest.raises(UserError, match="System role not supported"):
        gemma.render(with_notes(HELLO, ["The cat is red."]))
