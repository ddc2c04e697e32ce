"""Calls that are too small to share get one thread, and give the others back."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate
from nanohydra.engine.threads import Threads
from nanohydra.kernels.native import runs_native
from nanohydra.model import Decoder


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """As many as a machine of two cores has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_small_calls_have_one_thread_and_large_ones_all(decoder: Decoder) -> None:
    threads = Threads(decoder)
    with threads.of_call(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with threads.of_call(10**6):
        assert torch.get_num_threads() == 2
    with pytest.raises(ValueError), threads.of_call(1):
        raise ValueError
    assert torch.get_num_threads() == 2


def test_large_models_keep_their_threads() -> None:
    with torch.device("meta"):
        layer = torch.nn.Linear(2**13, 2**13)
    assert not Threads(layer).is_small(1)


def test_products_that_choose_for_themselves_keep_theirs(decoder: Decoder) -> None:
    threads = Threads(copy.deepcopy(decoder).bfloat16())
    assert threads.is_small(2)
    assert threads.is_small(1) == (not runs_native(decoder.head.weight))


def test_the_engine_decodes_on_one(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    hidden = decoder.hidden

    def watched(ids_BT: torch.Tensor, **options: object) -> torch.Tensor:
        seen.append((ids_BT.numel(), torch.get_num_threads()))
        return hidden(ids_BT, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "hidden", watched)
    engine = Engine(decoder, EngineConfig(max_rows=1, runner="torch"))
    generate(engine, [(1, 2, 3)], SamplingParams(temperature=0, max_tokens=4))
    assert seen == [(3, 1), (1, 1), (1, 1), (1, 1)]
    assert torch.get_num_threads() == 2
