"""The engine: equal to a plain loop, alone or together; limits, aborts and failures stay local."""

from __future__ import annotations

import random

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineConfig, Event, Request, SamplingParams, generate
from nanohydra.engine.batch import FlatBatch
from nanohydra.engine.config import DEFAULT_MAX_LENGTH
from nanohydra.model import Decoder, ModelConfig

GREEDY = SamplingParams(temperature=0, max_tokens=12)


def prompts(count: int, *, longest: int = 40, seed: int = 0) -> list[tuple[int, ...]]:
    rng = random.Random(seed)
    return [tuple(rng.randrange(61) for _ in range(rng.randint(1, longest))) for _ in range(count)]


@torch.no_grad()
def naive_greedy(model: Decoder, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """One whole forward pass per token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


def run(engine: Engine) -> dict[str, list[Event]]:
    """Step until nothing is left; events by request."""
    events: dict[str, list[Event]] = {}
    while engine.has_work():
        for event in engine.step():
            events.setdefault(event.request_id, []).append(event)
    return events


def tokens(events: list[Event]) -> list[int]:
    return [event.token_id for event in events if event.token_id is not None]


@pytest.mark.parametrize("prefill_tokens", [1, 7, 256])
def test_greedy_equals_a_plain_loop(model: Decoder, prefill_tokens: int) -> None:
    engine = Engine(model, EngineConfig(max_rows=3, prefill_tokens=prefill_tokens))
    asked = prompts(9)
    for prompt, completion in zip(asked, generate(engine, asked, GREEDY), strict=True):
        assert completion.ids == naive_greedy(model, prompt, 12)
        assert completion.finish_reason == "length"
        assert len(completion.logprobs) == 12


def test_together_equals_alone(model: Decoder) -> None:
    asked = prompts(24, seed=1)
    rng = random.Random(2)
    params = [
        SamplingParams(
            temperature=rng.choice([0.0, 0.7, 1.3]),
            top_k=rng.choice([0, 0, 5]),
            top_p=rng.choice([1.0, 0.8]),
            min_p=rng.choice([0.0, 0.0, 0.1]),
            seed=number,
            max_tokens=rng.randint(1, 25),
            stop_ids=(3, 4),
        )
        for number in range(24)
    ]
    together = generate(Engine(model, EngineConfig(max_rows=5, prefill_tokens=32)), asked, params)
    for prompt, own, completion in zip(asked, params, together, strict=True):
        (alone,) = generate(Engine(model, EngineConfig(max_rows=1)), [prompt], own)
        assert completion.ids == alone.ids
        assert completion.finish_reason == alone.finish_reason
        assert completion.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_equal_prompts_are_read_in_one_call(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=8, prefill_tokens=64))
    for number in range(8):
        params = SamplingParams(seed=number, max_tokens=4)
        engine.add(Request(id=str(number), prompt_ids=(1, 2, 3), params=params))
    assert len({event.request_id for event in engine.step()}) == 8
    answers = {tuple(tokens(events)) for events in run(engine).values()}
    assert len(answers) > 1  # equal prompts, different seeds


def test_logprobs_are_the_models(decoder: Decoder) -> None:
    (completion,) = generate(Engine(decoder), [(5, 6)], SamplingParams(seed=1, max_tokens=6))
    ids = torch.tensor([[5, 6, *completion.ids]])
    expected = decoder(ids).log_softmax(-1)[0, 1:-1].gather(1, ids[0, 2:, None]).squeeze(1)
    assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_rows_are_reused_and_freed(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=2, prefix_caching=False))
    first = generate(engine, prompts(7), GREEDY)
    assert first == generate(engine, prompts(7), GREEDY)
    assert engine.num_active == engine.num_waiting == 0
    assert engine.kv_blocks.free == engine.kv_blocks.total
    assert engine.finished["length"] == 14
    assert engine.num_prompt_tokens == 2 * sum(map(len, prompts(7)))
    assert engine.num_generated_tokens == 14 * 12


def test_stop_ids_end_with_their_token(decoder: Decoder) -> None:
    plain = naive_greedy(decoder, (9, 8, 7), 12)
    stop = plain[4]
    params = SamplingParams(temperature=0, max_tokens=12, stop_ids=(stop,))
    (completion,) = generate(Engine(decoder), [(9, 8, 7)], params)
    assert completion.ids == plain[: plain.index(stop) + 1]
    assert completion.finish_reason == "stop"


def test_context_limits(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_length=20))
    (completion,) = generate(
        engine, [tuple(range(15))], SamplingParams(temperature=0, max_tokens=99)
    )
    assert len(completion.ids) == 5 and completion.finish_reason == "length"
    for length in (20, 21, 500):
        with pytest.raises(UserError, match=rf"{length} tokens.*context of 20"):
            engine.add(Request(id="long", prompt_ids=(1,) * length, params=GREEDY))
    assert not engine.has_work()
    full = Engine(decoder)
    (completion,) = generate(full, [(1,)], SamplingParams(temperature=0, max_tokens=10_000))
    assert len(completion.ids) == decoder.config.max_seq_len - 1
    with pytest.raises(UserError, match="at most 96"):
        Engine(decoder, EngineConfig(max_length=97))


def test_a_model_for_long_texts_gets_a_bounded_state_unless_asked() -> None:
    shape = {"vocab_size": 61, "hidden_size": 8, "num_layers": 1, "num_heads": 1, "num_kv_heads": 1}
    model = Decoder(ModelConfig(max_seq_len=10_000, **shape))
    assert Engine(model, EngineConfig(max_rows=1)).max_length == DEFAULT_MAX_LENGTH == 4096
    assert Engine(model, EngineConfig(max_rows=1, max_length=9000)).max_length == 9000


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request(id="x", prompt_ids=(), params=GREEDY), "empty"),
        (Request(id="x", prompt_ids=(61,), params=GREEDY), "outside the vocabulary"),
        (Request(id="x", prompt_ids=(-1,), params=GREEDY), "outside the vocabulary"),
        (
            Request(id="x", prompt_ids=(1,), params=GREEDY, adapter="home"),
            "'home' is not loaded; none is",
        ),
    ],
)
def test_requests_that_cannot_run(decoder: Decoder, request_: Request, problem: str) -> None:
    engine = Engine(decoder)
    with pytest.raises(UserError, match=problem):
        engine.add(request_)
    assert not engine.has_work()


def test_an_id_is_unique_while_under_way(decoder: Decoder) -> None:
    engine = Engine(decoder)
    request = Request(id="x", prompt_ids=(1,), params=GREEDY)
    engine.add(request)
    with pytest.raises(UserError, match="'x' is already under way"):
        engine.add(request)
    run(engine)
    engine.add(request)


def test_first_come_first_served(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=2))
    for number in range(5):
        params = SamplingParams(temperature=0, max_tokens=3)
        engine.add(Request(id=str(number), prompt_ids=(number,), params=params))
    engine.step()
    assert (engine.num_active, engine.num_waiting) == (2, 3)
    order = list(run(engine))
    assert order == sorted(order)


def test_a_long_prompt_does_not_stall_others(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=2, prefill_tokens=8))
    engine.add(Request(id="running", prompt_ids=(1, 2), params=SamplingParams(max_tokens=90)))
    engine.step()
    engine.add(Request(id="long", prompt_ids=tuple(range(60)), params=GREEDY))
    for _ in range(7):
        assert [event.request_id for event in engine.step()] == ["running"]
    assert {event.request_id for event in engine.step()} == {"running", "long"}


@pytest.mark.parametrize("victim", [0, 1, 2, 3])
def test_abort_frees_the_row_at_once(model: Decoder, victim: int) -> None:
    engine = Engine(model, EngineConfig(max_rows=4, prefill_tokens=16))
    asked = [(1, 2, 3), (4, 5), (6,), tuple(range(40))]  # the last is still being read
    for number, prompt in enumerate(asked):
        engine.add(Request(id=str(number), prompt_ids=prompt, params=GREEDY))
    seen: dict[str, list[int]] = {}
    for event in engine.step():
        seen.setdefault(event.request_id, []).append(event.token_id or 0)
    assert engine.num_active == 4
    assert engine.abort(str(victim))
    assert not engine.abort(str(victim))
    assert engine.num_active == 3
    engine.add(Request(id="next", prompt_ids=(7, 7), params=GREEDY))
    for id, events in run(engine).items():
        seen.setdefault(id, []).extend(tokens(events))
    assert str(victim) not in seen or len(seen[str(victim)]) < 12
    for number, prompt in [*enumerate(asked), ("next", (7, 7))]:
        if number != victim:
            assert tuple(seen[str(number)]) == naive_greedy(model, prompt, 12)
    assert engine.kv_blocks.active == 0
    assert engine.finished == {"stop": 0, "length": 4, "abort": 1, "error": 0}


def test_abort_while_waiting(decoder: Decoder) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=1))
    for id in "abc":
        engine.add(Request(id=id, prompt_ids=(1,), params=GREEDY))
    assert engine.abort("b")
    assert sorted(run(engine)) == ["a", "c"]
    assert not engine.abort("nobody")


def test_random_traffic_with_aborts_equals_alone(model: Decoder) -> None:
    rng = random.Random(5)
    engine = Engine(model, EngineConfig(max_rows=4, prefill_tokens=24))
    asked = dict(zip(map(str, range(40)), prompts(40, seed=3), strict=True))
    waiting, seen = list(asked), {id: [] for id in asked}  # type: ignore[var-annotated]
    aborted: set[str] = set()
    while waiting or engine.has_work():
        if waiting and rng.random() < 0.6:
            id = waiting.pop(0)
            engine.add(Request(id=id, prompt_ids=asked[id], params=GREEDY))
        if rng.random() < 0.15:
            id = rng.choice(list(asked))
            if engine.abort(id):
                aborted.add(id)
        for event in engine.step():
            seen[event.request_id].append(event.token_id)
    assert len(aborted) > 3
    for id, prompt in asked.items():
        assert tuple(seen[id]) == naive_greedy(model, prompt, len(seen[id]))
        assert len(seen[id]) == 12 or id in aborted


class Breaking:
    """Stands in for a runner's `run` and fails when a poisoned token is read."""

    def __init__(self, engine: Engine, poison: int) -> None:
        self.inner = engine.runner.run
        self.poison = poison

    def __call__(self, batch: FlatBatch) -> torch.Tensor:
        if (batch.ids == self.poison).any():
            raise RuntimeError("poisoned")
        return self.inner(batch)


def test_a_failing_request_does_not_end_others(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither those whose prompts were read with it nor those that were decoding."""
    expected = naive_greedy(decoder, (1, 2), 12)
    assert 60 not in expected
    engine = Engine(decoder, EngineConfig(max_rows=3))
    monkeypatch.setattr(engine.runner, "run", Breaking(engine, poison=60))
    engine.add(Request(id="first", prompt_ids=(1, 2), params=GREEDY))
    events = {"first": engine.step()}
    for id, prompt in [("good", (1, 2)), ("bad", (60, 1)), ("later", (1, 2))]:
        engine.add(Request(id=id, prompt_ids=prompt, params=GREEDY))
    for id, more in run(engine).items():
        events.setdefault(id, []).extend(more)
    assert [(e.finish_reason, e.error) for e in events["bad"]] == [
        ("error", "RuntimeError: poisoned")
    ]
    for id in ("first", "good", "later"):
        assert tuple(tokens(events[id])) == expected
    assert "poisoned" in caplog.text


def test_a_failing_decode_ends_its_requests_and_the_engine_goes_on(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(decoder, EngineConfig(max_rows=2))
    engine.add(Request(id="a", prompt_ids=(1, 2), params=GREEDY))
    with monkeypatch.context() as patch:
        patch.setattr(engine.runner, "run", lambda batch: 1 / 0)
        events = engine.step()
    assert events[-1].finish_reason == "error" and not engine.has_work()
    (completion,) = generate(engine, [(1, 2)], GREEDY)
    assert completion.ids == naive_greedy(decoder, (1, 2), 12)


@pytest.mark.parametrize("runner", ["torch", "auto"])
def test_not_a_number_is_an_error_of_its_request(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    """And what it leaves behind in its blocks reaches nobody."""
    config = EngineConfig(max_rows=2, num_blocks=7, runner=runner)  # type: ignore[arg-type]
    engine = Engine(decoder, config)
    original = engine.runner.run

    def poisoned(batch: FlatBatch) -> torch.Tensor:
        logits = original(batch).clone()
        logits[0] = torch.nan
        for layer in engine.state.layers:
            for tensor in layer.tensors():
                tensor[batch.tables[0]] = torch.nan
        return logits

    for params in (GREEDY, SamplingParams(seed=1, top_k=3, top_p=0.5, min_p=0.1)):
        for id in "ab":
            engine.add(Request(id=id, prompt_ids=(1, 2, 3), params=params))
        with monkeypatch.context() as patch:
            patch.setattr(engine.runner, "run", poisoned)
            events = engine.step()
        bad = [event for event in events if event.finish_reason == "error"]
        assert "not a number" in str(bad[0].error) and bad[0].request_id == "a"
        run(engine)
    for prompt in prompts(6):
        (completion,) = generate(engine, [prompt], GREEDY)
        assert completion.ids == naive_greedy(decoder, prompt, 12)


def test_no_gradients_and_no_dropout() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=61, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=2, dropout=0.5
    )
    engine = Engine(Decoder(config).train())
    first, second = (generate(engine, [(1, 2, 3)], GREEDY) for _ in range(2))
    assert first == second
    assert not engine.model.training
