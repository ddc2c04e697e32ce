"""On real text, where it is at hand: sizes as expected, and every text comes back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from nanohydra.tokenizer import Tokenizer, inspect

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"


def read(name: str, characters: int) -> str:
    """The beginning of a text."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        if ".jsonl" not in name:
            return file.read(characters)
        text = ""
        for line in file:
            text += json.loads(line)["text"] + "\n"
            if len(text) > characters:
                break
        return text


def test_stories() -> None:
    text = read("tinystories_train.jsonl.gz", 600_000)
    tokenizer = Tokenizer.train([text[:500_000]], vocab_size=2048)
    domains = {"stories": text[500_000:], "code": read("python_peps.jsonl.gz", 100_000)}
    stories, code = inspect(tokenizer, domains)
    assert stories.round_trips and code.round_trips
    assert stories.bytes_per_token > 3.5 > code.bytes_per_token > 1.5


def test_shakespeare_has_65_characters() -> None:
    text = read("tinyshakespeare.txt.gz", 2_000_000)
    tokenizer = Tokenizer.characters([text])
    assert tokenizer.vocab_size == 8 + 65
    assert tokenizer.decode(tokenizer.encode(text)) == text
