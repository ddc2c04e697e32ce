"""A small random model with a chat template that lists tools, behind a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nanohydra.chat import ChatModel, Journal
from nanohydra.checkpoint import Loaded
from nanohydra.engine import Engine, EngineConfig, EngineThread
from nanohydra.model import Decoder, ModelConfig
from nanohydra.server import ServerConfig, create_app
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.table import token_table
from tests.tokenizer.families import FAMILIES

CONTEXT = 1024


def open_model(folder: Path, family: str = "qwen3") -> Loaded:
    """Random weights behind the tokenizer and template of an open family."""
    tokenizer = Tokenizer.load(FAMILIES[family].write(folder))
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size + 5, hidden_size=32, num_layers=2, num_heads=2,
        num_kv_heads=1, max_seq_len=CONTEXT,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Decoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    model.requires_grad_(False)
    return Loaded(model=model, tokenizer=tokenizer, config=config, manifest={})


@contextmanager
def open_chat(
    loaded: Loaded, *, max_waiting: int = 32, max_waiting_tokens: int = 0
) -> Iterator[ChatModel]:
    """The model with its engine running, ready for grammars."""
    config = EngineConfig(max_rows=4, num_ids=loaded.tokenizer.vocab_size)
    made = Engine(loaded.model, config, vocabulary=token_table(loaded.tokenizer))
    limits = {"max_waiting": max_waiting, "max_waiting_tokens": max_waiting_tokens}
    with EngineThread(made, **limits) as thread:
        yield ChatModel(loaded, thread)


def open_app(
    chat: Any, folder: Path, *, learning: Any = None, **settings: Any
) -> tuple[Any, Journal, ServerConfig]:
    """An application over it; greedy unless a request says otherwise."""
    config = ServerConfig(model_name="wee", port=0, temperature=0.0, **settings)
    journal = Journal(folder / "journal.db")
    return create_app(chat, journal, config, learning=learning), journal, config
