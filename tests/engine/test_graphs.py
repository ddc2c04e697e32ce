"""Decoding in padded sizes gives what decoding as it comes gives; recording itself needs a GPU."""

from __future__ import annotations

import pytest
import torch

from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams
from nanohydra.engine.graphs import DecodeGraphs, round_up
from nanohydra.engine.runner import TorchRunner
from nanohydra.model import Decoder
from tests.engine.conftest import random_decoder

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU on this machine"))]  # fmt: skip


def run(engine: Engine) -> tuple[list[tuple[int, ...]], list[float]]:
    """Five answers of different lengths; their tokens and log-probabilities."""
    ids: dict[str, list[int]] = {}
    logprobs = []
    for number in range(5):
        prompt = tuple(range(1 + number, 4 + 7 * number))
        params = SamplingParams(temperature=0.0, max_tokens=6 + 5 * number)
        engine.add(Request(id=str(number), prompt_ids=prompt, params=params))
    while engine.has_work():
        for event in engine.step():
            assert event.token_id is not None
            ids.setdefault(event.request_id, []).append(event.token_id)
            logprobs.append(event.logprob)
    return [tuple(ids[key]) for key in sorted(ids)], logprobs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"layer_types": ("conv", "sliding", "full"), "sliding_window": 9},
        {"max_seq_len": 90},  # no whole number of blocks
    ],
)
def test_padded_equals_as_it_comes(shape: dict[str, object], device: str) -> None:
    model: Decoder = random_decoder(**shape).to(device)
    config = EngineConfig(runner="torch", max_rows=6)
    plain, padded = Engine(model, config), Engine(model, config)
    assert isinstance(plain.runner, TorchRunner) and isinstance(padded.runner, TorchRunner)
    plain.runner.graphs = None
    graphs = padded.runner.graphs = DecodeGraphs(model, padded.state, most_blocks=6)
    expected_ids, expected = run(plain)
    ids, found = run(padded)
    assert ids == expected_ids
    assert found == pytest.approx(expected, abs=1e-5)
    assert len(graphs._recorded) > 2, "several sizes came up"
    assert all((each.graph is None) == (device == "cpu") for each in graphs._recorded.values())


def test_sizes() -> None:
    assert [round_up(count, 2) for count in (1, 2, 3, 5, 8, 9)] == [2, 2, 4, 8, 8, 16]
