"""Small trained tokenizers for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanohydra.tokenizer import Tokenizer

TEXTS = [
    "The cat sat on the mat. The dog sat on the cat, and the cat didn't like it at all.",
    "user assistant system <|user|> <|assistant|> <|end|> <|assistant|> tool call bos pad end",
    '{"expression": "12 * 34"} {"query": "cats"} {"city": "Łódź"}',
    "Zażółć gęślą jaźń. 敏捷的棕色狐狸。 The year 2026, the year 1984; 3.14159",
    "def f(x):\n    return x + 1\n\n\nprint(f(2))\r\n\t\tdone  ",
]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """What the tokenizers below are made from; markers as plain text among them."""
    return TEXTS


@pytest.fixture(scope="session")
def bpe() -> Tokenizer:
    """Byte-level, 400 tokens."""
    return Tokenizer.train(TEXTS * 4, vocab_size=400)


@pytest.fixture(scope="session")
def letters() -> Tokenizer:
    """Character level, over the characters of TEXTS."""
    return Tokenizer.characters(TEXTS)


@pytest.fixture(params=["bpe", "characters"])
def tokenizer(request: pytest.FixtureRequest, bpe: Tokenizer, letters: Tokenizer) -> Tokenizer:
    """Either kind."""
    return bpe if request.param == "bpe" else letters


@pytest.fixture(scope="session")
def bpe_folder(bpe: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The byte-level tokenizer, saved."""
    folder = tmp_path_factory.mktemp("tokenizer")
    bpe.save(folder)
    return folder
