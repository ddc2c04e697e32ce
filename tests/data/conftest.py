"""Shards made in memory's likeness: token ids say which record and place they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nanohydra.data import Shards, ShardWriter

VOCAB_SIZE = 1 << 20
PAD = VOCAB_SIZE - 1
MakeShards = Callable[..., Shards]


@pytest.fixture(scope="session")
def make_shards(tmp_path_factory: pytest.TempPathFactory) -> MakeShards:
    """Writes records of these lengths whose ids count up from `first` through all records.

    masks: one list of bools per record, None = as for documents. A hypothesis test may call it
    for each example.
    """

    def make(
        lengths: Sequence[int],
        masks: Sequence[Sequence[bool]] | None = None,
        *,
        first: int = 0,
        tokens_per_shard: int = 1 << 20,
        fingerprint: str = "tokenizer",
    ) -> Shards:
        folder = Path(tmp_path_factory.mktemp("shards")) / "made"
        with ShardWriter(
            folder,
            vocab_size=VOCAB_SIZE,
            pad_id=PAD,
            fingerprint=fingerprint,
            tokens_per_shard=tokens_per_shard,
        ) as writer:
            for number, length in enumerate(lengths):
                mask = masks[number] if masks else [False, *[True] * (length - 1)]
                writer.add(range(first, first + length), mask)
                first += length
        return Shards(folder)

    return make
