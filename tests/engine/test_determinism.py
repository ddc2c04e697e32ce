"""Deterministic engines: bit for bit the same, whatever runs beside, is known or is taken away."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch

from nanohydra.adapters import AdapterWeights
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams
from nanohydra.model import Decoder
from nanohydra.model.quantised import KINDS, quantise_decoder

Make = Callable[..., AdapterWeights]
Answer = tuple[tuple[int, ...], tuple[float, ...]]
LAYERS = [("full",), ("sliding", "full"), ("conv", "nope", "full")]


def workload(rng: random.Random, adapters: list[str | None]) -> list[Request]:
    """Prompts that begin alike, of all lengths, with everything that a request can ask for."""
    shared = tuple(rng.randrange(61) for _ in range(30))
    requests = []
    for number in range(10):
        own = tuple(rng.randrange(61) for _ in range(rng.randint(1, 20)))
        params = SamplingParams(
            temperature=rng.choice([0.0, 0.8, 1.2]),
            top_k=rng.choice([0, 9]),
            top_p=rng.choice([1.0, 0.9]),
            repetition_penalty=rng.choice([1.0, 1.3]),
            seed=number,
            max_tokens=rng.randint(1, 20),
            stop_ids=(3,),
        )
        requests.append(
            Request(
                id=str(number),
                prompt_ids=shared[: rng.choice([0, 13, 30])] + own,
                params=params,
                adapter=rng.choice(adapters),
                priority=rng.randint(-1, 1),
                n=rng.choice([1, 1, 3]),
            )
        )
    return requests


def answers(engine: Engine, requests: list[Request], rng: random.Random) -> dict[Any, Answer]:
    """Tokens and log-probabilities of each continuation; requests arrive at random."""
    found: dict[Any, tuple[list[int], list[float]]] = {}
    waiting = list(requests)
    while waiting or engine.has_work():
        while waiting and rng.random() < 0.5:
            engine.add(waiting.pop(0))
        for event in engine.step():
            ids, logprobs = found.setdefault((event.request_id, event.index), ([], []))
            assert event.token_id is not None, event.error
            ids.append(event.token_id)
            logprobs.append(event.logprob)
    return {key: (tuple(ids), tuple(logprobs)) for key, (ids, logprobs) in found.items()}


@pytest.mark.parametrize("runner", ["torch", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layers", LAYERS, ids="-".join)
def test_the_company_changes_no_bit(
    make_decoder: Callable[..., Decoder],
    make_adapter: Make,
    layers: tuple[str, ...],
    dtype: torch.dtype,
    runner: Literal["torch", "native"],
) -> None:
    window = 7 if "sliding" in layers else 0
    model = make_decoder(layer_types=layers, sliding_window=window).to(dtype)
    weights = [make_adapter(model, seed) for seed in (1, 2)]
    check(model, weights, runner, seed=len(layers))


@pytest.mark.parametrize("runner", ["torch", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_nor_does_it_with_whole_weights(
    make_decoder: Callable[..., Decoder],
    make_adapter: Make,
    kind: str,
    dtype: torch.dtype,
    runner: Literal["torch", "native"],
) -> None:
    model = make_decoder(layer_types=("full",), tie_embeddings=False).to(dtype).eval()
    weights = [make_adapter(model, seed) for seed in (1, 2)]
    check(quantise_decoder(model, dtype, kind), weights, runner, seed=4)


def check(
    model: Decoder, weights: list[AdapterWeights], runner: Literal["torch", "native"], *, seed: int
) -> None:
    """Batched, cached, preempted and guessed ahead against each alone, read in one piece."""

    def engine(**fields: Any) -> Engine:
        config = EngineConfig(deterministic=True, runner="auto", **fields)
        if runner == "torch":
            config = EngineConfig(deterministic=True, runner="torch", **fields)
        made = Engine(model, config)
        if made.runner.name != runner:
            pytest.skip("no C compiler for whole steps here")
        for each in weights:
            made.load(each)
        return made

    rng = random.Random(seed)
    requests = workload(rng, [None, *(each.id for each in weights)])
    alone = engine(max_rows=1, prefix_caching=False)
    expected: dict[Any, Answer] = {}
    for request in requests:
        expected |= answers(alone, [request], rng)
    crowded = engine(max_rows=5, block_size=4, num_blocks=32, max_length=72, prefill_tokens=11)
    assert answers(crowded, requests, rng) == expected
    assert crowded.num_preemptions > 0 and crowded.num_cached_tokens > 0
    guessing = engine(max_rows=3, block_size=4, num_blocks=500, speculation="ngram")
    assert answers(guessing, requests, rng) == expected
    assert answers(guessing, requests, rng) == expected  # all prompts are known now
    assert guessing.num_cached_tokens > sum(len(r.prompt_ids) - 4 for r in requests)
