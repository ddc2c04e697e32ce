"""A tiny decoder and an endless loader whose place can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch

from nanohydra.core.runtime import Runtime
from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder, ModelConfig

VOCAB, ROWS, LENGTH = 23, 6, 12


class CountingLoader:
    """Sums of two tokens modulo the vocabulary; some labels are masked, rows differ in how many."""

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.place = seed, 0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self.place += 1
            yield self.batch(self.place)

    def batch(self, place: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 * self.seed + place)
        ids = torch.randint(0, VOCAB, (ROWS, LENGTH + 1), generator=generator)
        for t in range(2, LENGTH + 1):
            ids[:, t] = (ids[:, t - 1] + ids[:, t - 2]) % VOCAB
        labels = ids[:, 1:].clone()
        lengths = torch.randint(1, LENGTH, (ROWS, 1), generator=generator)
        labels[torch.arange(LENGTH) >= lengths] = IGNORE
        return Batch(
            ids_BT=ids[:, :-1],
            labels_BT=labels,
            positions_BT=torch.arange(LENGTH).expand(ROWS, LENGTH),
            segments_BT=torch.zeros(ROWS, LENGTH, dtype=torch.int64),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.place = state["place"]


@pytest.fixture
def make_loader() -> Callable[..., CountingLoader]:
    return CountingLoader


@pytest.fixture
def make_model() -> Callable[..., Decoder]:
    def make(**changes: Any) -> Decoder:
        torch.manual_seed(7)
        shape: dict[str, Any] = {
            "vocab_size": VOCAB,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "num_kv_heads": 1,
            "max_seq_len": 64,
        }
        return Decoder(ModelConfig(**{**shape, **changes}))

    return make


@pytest.fixture
def float32() -> Runtime:
    return Runtime(device="cpu", dtype=torch.float32, threads=1)


@pytest.fixture
def bfloat16() -> Runtime:
    return Runtime(device="cpu", dtype=torch.bfloat16, threads=1)
