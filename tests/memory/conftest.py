"""A memory in a temporary file, with the embedder that needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nanohydra.memory import Hit, Memory, Source, load_embedder


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path / "learning.db", load_embedder("hashing"))
    yield memory
    memory.close()


@pytest.fixture
def remember(memory: Memory) -> Callable[[str, str], list[Hit]]:
    """Add a text and search for it at once."""

    def run(text: str, query: str) -> list[Hit]:
        memory.add(Source(id="x", owner="me", title="", text=text))
        return memory.search(query, owner="me")

    return run
