"""Native steps equal the decoder's own, and a token's bits depend on its own sequence alone."""

from __future__ import annotations

import copy
import logging
import random
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanohydra.adapters.batch import ReadyAdapter, make_ready
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate, native_runner
from nanohydra.engine.native_runner import NativeRunner, Teams
from nanohydra.kernels import step
from nanohydra.model import Decoder
from nanohydra.model.quantised import KINDS, quantise_decoder
from tests.engine.native import SHAPES, VOCAB, flat_batch, random_model

pytestmark = pytest.mark.skipif(step.library() is None, reason="no C compiler on this machine")
DTYPES = (torch.float32, torch.bfloat16)
LENGTHS = (70, 33, 1, 16, 48)


def runner_of(model: Decoder, *, block_size: int = 16, max_tokens: int = 200) -> NativeRunner:
    pages = model.init_pages(64, block_size)
    for layer in pages.layers:
        for tensor in layer.tensors():
            tensor.fill_(3.0)  # what other sequences have left behind
    runner = NativeRunner.build(model, pages, max_tokens)
    assert runner is not None
    return runner


def random_ids(lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    random_ = random.Random(3)
    return [[random_.randrange(VOCAB) for _ in range(length)] for length in lengths]


def whole(
    runner: NativeRunner, ids: list[int], table: list[int], adapter: ReadyAdapter | None = None
) -> Tensor:
    return runner.run(flat_batch([ids], held=[0], tables=[table], adapters=[adapter]))


def in_pieces(
    runner: NativeRunner,
    sequences: list[list[int]],
    tables: list[list[int]],
    adapters: list[ReadyAdapter | None],
    seed: int,
) -> list[Tensor]:
    """Random parts of random sequences in each step, until all are read."""
    random_, held = random.Random(seed), [0] * len(sequences)
    results: list[list[Tensor]] = [[] for _ in sequences]
    while any(held[s] < len(ids) for s, ids in enumerate(sequences)):
        open_ = [s for s, ids in enumerate(sequences) if held[s] < len(ids)]
        chosen = random_.sample(open_, random_.randint(1, len(open_)))
        parts = [
            sequences[s][held[s] : held[s] + random_.choice((1, 1, 2, 5, 19, 40))] for s in chosen
        ]
        logits = runner.run(
            flat_batch(
                parts,
                held=[held[s] for s in chosen],
                tables=[tables[s] for s in chosen],
                adapters=[adapters[s] for s in chosen],
            )
        )
        for s, part, found in zip(
            chosen, parts, logits.split([len(p) for p in parts]), strict=True
        ):
            results[s].append(found)
            held[s] += len(part)
    return [torch.cat(parts) for parts in results]


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", SHAPES)
def test_logits_are_the_decoders(kind: str, dtype: torch.dtype) -> None:
    model = random_model(kind, dtype)
    runner = runner_of(model, block_size=8)
    ids = random_ids((90,))[0]
    found = whole(runner, ids, [5, 2, 9, 4, 7, 1, 3, 8, 6, 11, 10, 12])
    reference = copy.deepcopy(model).float()(torch.tensor([ids]))[0]
    assert found.dtype == torch.float32
    # Against float32 arithmetic on the same weights, bfloat16 activations are coarse.
    limit = 1e-5 if dtype == torch.float32 else 0.03
    assert (found - reference).norm() < limit * reference.norm()
    if dtype == torch.bfloat16:
        theirs = (model(torch.tensor([ids]))[0].float() - reference).norm()
        assert (found - reference).norm() < 1.1 * theirs


@torch.inference_mode()
@pytest.mark.parametrize("kind", SHAPES)
def test_hidden_states_are_the_decoders(kind: str) -> None:
    model = random_model(kind)
    ids = random_ids((50,))[0]
    found = runner_of(model).hidden(flat_batch([ids], held=[0], tables=[[1, 2, 3, 4]]))
    torch.testing.assert_close(found, model.hidden(torch.tensor([ids]))[0], rtol=1e-4, atol=1e-4)


def adapters_for(
    model: Decoder, make: Callable[..., AdapterWeights], ranks: tuple[int, ...] = (3, 16, 20)
) -> list[ReadyAdapter]:
    made = [make(model, seed, rank=rank, base="b") for seed, rank in enumerate(ranks)]
    return [make_ready(model, weights, base="b", id=str(n)) for n, weights in enumerate(made)]


@torch.inference_mode()
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", SHAPES)
def test_bits_do_not_depend_on_the_company(
    kind: str,
    dtype: torch.dtype,
    threads: int,
    make_adapter: Callable[..., AdapterWeights],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model(kind, dtype)
    runner = runner_of(model)
    monkeypatch.setattr(runner, "threads_for", lambda num_tokens: threads)
    sequences = random_ids()
    first, second, third = adapters_for(model, make_adapter)
    adapters = [first, None, second, first, third]
    tables = [[n * 8 + 1 + block for block in range(7)] for n in range(len(sequences))]
    alone = [
        whole(runner, ids, [57, 60, 58, 59, 61], a)
        for ids, a in zip(sequences, adapters, strict=True)
    ]
    assert not torch.equal(alone[0], whole(runner, sequences[0], [57, 60, 58, 59, 61]))
    for seed in range(3):
        together = in_pieces(runner, sequences, tables, adapters, seed)
        for found, expected in zip(together, alone, strict=True):
            assert torch.equal(found, expected)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_only_wanted_logits_are_given(dtype: torch.dtype) -> None:
    runner = runner_of(random_model("gemma", dtype))
    ids = random_ids((20, 7))
    tables = [[1, 2], [3]]
    all_of = runner.run(flat_batch(ids, held=[0, 0], tables=tables))
    some = runner.run(flat_batch(ids, held=[0, 0], tables=tables, wanted=[19, 20, 26]))
    assert torch.equal(some, all_of[[19, 20, 26]])
    none = runner.run(flat_batch([ids[0][:9]], held=[0], tables=[[4, 5]], wanted=[]))
    assert none.shape == (0, VOCAB)
    rest = runner.run(flat_batch([ids[0][9:]], held=[9], tables=[[4, 5]]))
    assert torch.equal(rest, all_of[9:20])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["qwen3", "conv", "gpt2"])
def test_adapters_add_what_folding_them_in_adds(
    kind: str,
    dtype: torch.dtype,
    make_adapter: Callable[..., AdapterWeights],
    fold: Callable[[Decoder, AdapterWeights], Decoder],
) -> None:
    model = random_model(kind, dtype)
    ids = random_ids((40, 12))
    for rank in (1, 18):
        weights = make_adapter(model, 5, rank=rank, base="b")
        adapter = make_ready(model, weights, base="b", id="a")
        exact = fold(random_model(kind), weights)
        for each in ids:  # more tokens than a tile has columns, and fewer
            found = whole(runner_of(model), each, [1, 2, 3], adapter)
            expected = exact(torch.tensor([each]))[0]
            plain = random_model(kind)(torch.tensor([each]))[0]
            limit = 1e-4 if dtype == torch.float32 else 0.05
            assert (found - expected).norm() < limit * (plain - expected).norm()


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_adapters_on_int8_weights(
    dtype: torch.dtype, make_adapter: Callable[..., AdapterWeights]
) -> None:
    model = random_model("qwen3", dtype)
    adapters = [*adapters_for(model, make_adapter), None]
    runner = runner_of(quantise_decoder(model, dtype))
    ids = random_ids((9, 2, 3, 2))
    tables = [[1], [2], [3], [4]]
    alone = [whole(runner, i, [5], a) for i, a in zip(ids, adapters, strict=True)]
    together = runner.run(flat_batch(ids, held=[0] * 4, tables=tables, adapters=adapters))
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(alone[0], whole(runner, ids[0], [5]))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["gpt2", "smollm3"])
@pytest.mark.parametrize("weights", KINDS)
def test_whole_weights(weights: str, kind: str, dtype: torch.dtype) -> None:
    model = quantise_decoder(random_model(kind), dtype, weights)
    ids = random_ids((40,))[0]
    runner = runner_of(model)
    found = whole(runner, ids, [1, 2, 3])
    expected = model(torch.tensor([ids]))[0].float()
    limit = 1e-5 if dtype == torch.float32 else 0.03
    assert (found - expected).norm() < limit * expected.norm()
    steps = in_pieces(runner, [ids], [[4, 5, 6]], [None], 1)
    assert torch.equal(steps[0], found)


@torch.inference_mode()
def test_positions_beyond_the_first_table() -> None:
    model = random_model("qwen3")
    long = Decoder(type(model.config)(**{**vars(model.config), "max_seq_len": 9000}))
    long.load_state_dict(model.state_dict())
    state = long.init_pages(600, 16)
    runner = NativeRunner.build(long, state, 512)
    assert runner is not None
    ids = random_ids((5000,))[0]
    table = list(range(1, 400))
    for begin in range(0, 5000, 500):
        part = ids[begin : begin + 500]
        found = runner.run(flat_batch([part], held=[begin], tables=[table], wanted=[499]))
    expected = long.unembed(long.hidden(torch.tensor([ids]))[:, -1])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_faster_number_of_threads_is_found_and_found_again() -> None:
    teams = Teams()

    def steps(count: int, seconds: dict[int, float]) -> list[int]:
        chosen = []
        for _ in range(count):
            chosen.append(teams.choose(1, 2))
            teams.record(1, chosen[-1], seconds[chosen[-1]])
        return chosen

    assert steps(300, {1: 2.0, 2: 1.0}).count(2) > 290  # alone on the machine
    busy = steps(1000, {1: 2.0, 2: 9.0})
    assert busy[-500:].count(1) > 490
    assert steps(1000, {1: 2.0, 2: 1.0})[-500:].count(2) > 490


def test_what_is_not_covered_is_refused_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    model = random_model("qwen3")
    model.blocks[1].mixer.q_proj.register_forward_hook(lambda *_: None)  # type: ignore[union-attr]
    with caplog.at_level(logging.DEBUG):
        assert NativeRunner.build(model, model.init_pages(4, 16), 8) is None
        assert "stands in for one of its linear layers" in caplog.text
        half = random_model("qwen3", torch.float64)
        assert NativeRunner.build(half, half.init_pages(4, 16), 8) is None
        assert "float64" in caplog.text


def test_no_compiler_means_no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "library", lambda: None)
    model = random_model("qwen3")
    assert NativeRunner.build(model, model.init_pages(4, 16), 8) is None


def test_an_adapter_is_laid_out_where_it_is_loaded_and_no_step_waits_for_it(
    make_adapter: Callable[..., AdapterWeights], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("qwen3")
    engine = Engine(model, EngineConfig(max_rows=2, runner="native"))
    places: list[str] = []
    lay = native_runner.Laid.__init__

    def watch(self: native_runner.Laid, *words: object) -> None:
        places.append(threading.current_thread().name)
        lay(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(native_runner.Laid, "__init__", watch)
    loader = threading.Thread(target=engine.load, args=[make_adapter(model, 1)], name="loader")
    loader.start()
    loader.join()
    generate(engine, [(1, 2, 3)], SamplingParams(max_tokens=3), engine.resident[0])
    assert places == ["loader"]
