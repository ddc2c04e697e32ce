"""A model that says what a test tells it to, behind the real engine and the real tokenizer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from nanohydra.chat import ChatEvent, ChatModel, Done, TextDelta
from nanohydra.checkpoint import Loaded
from nanohydra.engine import Engine, EngineConfig, EngineThread
from nanohydra.model import ModelConfig
from nanohydra.tokenizer import SPECIAL_TOKENS, Tokenizer

MARKERS = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
Script = Callable[[str], str]  # the prompt as text, markers included -> the whole answer


class ScriptedPages:
    """Stands in for PagedState: the ids that every block has taken in."""

    bytes_per_block = 1

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self.num_bytes = num_blocks
        self.ids = torch.zeros(num_blocks, block_size, dtype=torch.int64)

    def copy_block(self, source: int, target: int) -> None:
        self.ids[target] = self.ids[source]

    def view(self, table_BM: Any, lengths_B: Any, **bounds: int) -> ScriptedView:
        return ScriptedView(self, table_BM, lengths_B)


class ScriptedView:
    """Stands in for PagedView: what each sequence of a call has read."""

    def __init__(self, pages: ScriptedPages, table_BM: Any, lengths_B: Any) -> None:
        self.pages, self.table_BM, self.lengths_B = pages, table_BM, lengths_B

    def extend(self, ids_BT: Any) -> list[list[int]]:
        """Take new ids in; all ids of each sequence."""
        size, read = self.pages.block_size, []
        for table_M, held, ids_T in zip(
            self.table_BM, self.lengths_B.tolist(), ids_BT, strict=True
        ):
            places = held + torch.arange(len(ids_T))
            self.pages.ids[table_M[places // size], places % size] = ids_T
            read.append(self.pages.ids[table_M].flatten()[: held + len(ids_T)].tolist())
        return read


class ScriptedDecoder:
    """Stands in for Decoder: after the last assistant marker it continues the script's answer."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: Tokenizer, script: Script, max_seq_len: int) -> None:
        self.tokenizer = tokenizer
        self.script = script
        self.config = ModelConfig(
            vocab_size=tokenizer.vocab_size, hidden_size=24, num_layers=1, max_seq_len=max_seq_len
        )
        self.prompts: list[str] = []  # every prompt that was read, in order
        self.script_ids: dict[tuple[int, ...], list[int]] = {}

    def eval(self) -> ScriptedDecoder:
        return self

    def parameters(self) -> Iterator[torch.Tensor]:
        return iter(())

    def init_pages(self, num_blocks: int, block_size: int, **rest: Any) -> ScriptedPages:
        return ScriptedPages(num_blocks, block_size)

    def hidden(self, ids_BT: Any, *, state: ScriptedView) -> Any:
        following = [self.next_id(ids) for ids in state.extend(ids_BT)]
        return torch.tensor(following)[:, None, None].expand(-1, ids_BT.shape[1], 1)

    def unembed(self, x_BD: Any) -> Any:
        return torch.nn.functional.one_hot(x_BD[:, 0], self.config.vocab_size) * 50.0

    def next_id(self, ids: list[int]) -> int:
        marker = self.tokenizer.special_id("<|assistant|>")
        if marker not in ids:
            return self.tokenizer.end_id  # only a piece of a long prompt so far
        start = len(ids) - ids[::-1].index(marker)
        prompt = tuple(ids[:start])
        if prompt not in self.script_ids:
            text = self.tokenizer.decode(prompt, skip_special=False)
            self.prompts.append(text)
            self.script_ids[prompt] = encode_markers(self.tokenizer, self.script(text))
        answer = self.script_ids[prompt]
        said = len(ids) - start
        return answer[said] if said < len(answer) else self.tokenizer.end_id


def encode_markers(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text in which markers are markers."""
    ids: list[int] = []
    for piece in MARKERS.split(text):
        ids += [tokenizer.special_id(piece)] if piece in SPECIAL_TOKENS else tokenizer.encode(piece)
    return ids


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(
        ["the calculator says that 3 + 4 is 7. hello there, hello."], vocab_size=300
    )


@pytest.fixture
def scripted(tokenizer: Tokenizer) -> Callable[..., Loaded]:
    """scripted(script, max_seq_len=...) -> a loaded model that follows the script."""

    def make(script: Script | str, *, max_seq_len: int = 400) -> Loaded:
        said = script if callable(script) else lambda _: script
        model = ScriptedDecoder(tokenizer, said, max_seq_len)
        return Loaded(
            model=model,  # type: ignore[arg-type]
            tokenizer=tokenizer,
            config=model.config,
            manifest={},
        )

    return make


@pytest.fixture
def chat(scripted: Callable[..., Loaded]) -> Iterator[Callable[..., ChatModel]]:
    """chat(script, ...) -> a ChatModel over a running engine thread."""
    threads: list[EngineThread] = []

    def make(
        script: Script | str, *, max_seq_len: int = 400, max_rows: int = 4, **rest: Any
    ) -> ChatModel:
        loaded = scripted(script, max_seq_len=max_seq_len)
        threads.append(EngineThread(Engine(loaded.model, EngineConfig(max_rows=max_rows))))
        return ChatModel(loaded, threads[-1], **rest)

    yield make
    for thread in threads:
        thread.close()


@pytest.fixture
def talk() -> Callable[..., tuple[str, Done, list[ChatEvent]]]:
    """talk(chat, messages, params, ...) -> all text, the end, and all events of one reply."""

    async def collect(chat: ChatModel, *args: Any, **rest: Any) -> list[ChatEvent]:
        return [event async for event in chat.stream(*args, **rest)]

    def run(chat: ChatModel, *args: Any, **rest: Any) -> tuple[str, Done, list[ChatEvent]]:
        events = asyncio.run(collect(chat, *args, **rest))
        last = events.pop()
        assert isinstance(last, Done) and not any(isinstance(event, Done) for event in events)
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        return text, last, events

    return run


@pytest.fixture
def calculating() -> Script:
    """Calls the calculator, then says what it answered."""

    def script(prompt: str) -> str:
        if prompt.endswith("<|tool|>888<|end|><|assistant|>"):
            return "It is 888.<|end|>"
        return 'Let me see.<|call|>calculator {"expression": "37 * 24"}<|end|>'

    return script
