"""`LLM` beside the engine and the decoder that it stands on: the same tokens, and texts of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import nanohydra
from nanohydra import LLM, SamplingParams
from nanohydra.adapters import load_adapter
from nanohydra.adapters.combine import merge
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig, generate
from tests.llm.conftest import make_adapter

GREEDY = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
PROMPTS = ["What is the printer called?", "I don't know.", "Heron"]


def greedy_by_hand(loaded: Loaded, ids: tuple[int, ...], count: int) -> list[int]:
    """Whole passes of the decoder, without an engine."""
    made: list[int] = []
    with torch.no_grad():
        for _ in range(count):
            logits_V = loaded.model(torch.tensor([[*ids, *made]]))[0, -1]
            made.append(int(logits_V[: loaded.tokenizer.vocab_size].argmax()))
    return made


def test_the_names_are_where_people_look() -> None:
    assert nanohydra.LLM is LLM and nanohydra.AsyncLLM.__name__ == "AsyncLLM"
    assert nanohydra.SamplingParams is SamplingParams


def test_the_tokens_are_the_decoders_and_the_text_is_theirs(folder: Path, loaded: Loaded) -> None:
    params = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
    outputs = LLM(folder, max_rows=2).generate(PROMPTS, params)
    tokenizer = loaded.tokenizer
    for prompt, output in zip(PROMPTS, outputs, strict=True):
        ids = (*tokenizer.prefix_ids, *tokenizer.encode(prompt))
        assert output.prompt == prompt and output.prompt_token_ids == ids
        assert list(output.token_ids) == greedy_by_hand(loaded, ids, 12)
        assert output.text == tokenizer.decode(output.token_ids)
        assert output.finish_reason == "length" and output.finished
        assert len(output.outputs[0].logprobs) == 12 and output.adapter is None


def test_token_ids_are_read_as_they_are(folder: Path) -> None:
    llm = LLM(folder)
    (text,) = llm.generate(PROMPTS[0], GREEDY)
    (one,) = llm.generate(list(text.prompt_token_ids), GREEDY)
    (several,) = llm.generate([text.prompt_token_ids], GREEDY)
    assert one.token_ids == several.token_ids == text.token_ids
    assert one.prompt is None and llm.generate([]) == []


def test_settings_of_each_prompt(folder: Path) -> None:
    llm = LLM(folder)
    lengths = [3, 5, 4]
    params = [SamplingParams(temperature=0.0, max_tokens=n, ignore_eos=True) for n in lengths]
    assert [len(o.token_ids) for o in llm.generate(PROMPTS, params)] == lengths
    with pytest.raises(UserError, match="2 params for 3 prompts"):
        llm.generate(PROMPTS, params[:2])


def test_samples_of_one_prompt_are_those_of_their_seeds(folder: Path) -> None:
    llm = LLM(folder)
    params = SamplingParams(seed=7, max_tokens=10, ignore_eos=True)
    (output,) = llm.generate(PROMPTS[0], params, n=3)
    alone = [
        llm.generate(PROMPTS[0], SamplingParams(seed=7 + i, max_tokens=10, ignore_eos=True))[0]
        for i in range(3)
    ]
    first, *_ = [sample.token_ids for sample in output.outputs]
    assert [sample.index for sample in output.outputs] == [0, 1, 2]
    assert first == alone[0].token_ids
    assert len({sample.token_ids for sample in output.outputs}) > 1


def test_a_stop_string_ends_a_sample_and_is_not_shown(folder: Path) -> None:
    llm = LLM(folder)
    long = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
    (whole,) = llm.generate(PROMPTS[0], long)
    stop = whole.text[5:8]
    (cut,) = llm.generate(PROMPTS[0], long, stop=[stop])
    assert cut.finish_reason == "stop" and cut.text == whole.text.partition(stop)[0]
    assert len(cut.token_ids) < 40 and not llm.engine.has_work()
    (both,) = llm.generate(PROMPTS[0], long, stop=[stop], n=2)
    assert [sample.text for sample in both.outputs] == [cut.text] * 2
    with pytest.raises(UserError, match="list of strings"):
        llm.generate(PROMPTS[0], stop=stop)


def test_stop_tokens_are_not_in_the_text(folder: Path, loaded: Loaded) -> None:
    llm = LLM(folder)
    long = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
    (whole,) = llm.generate(PROMPTS[0], long)
    stop = whole.token_ids[6]
    first = whole.token_ids.index(stop)
    (cut,) = llm.generate(
        PROMPTS[0], SamplingParams(temperature=0.0, max_tokens=12, stop_ids=(stop,))
    )
    assert cut.token_ids == whole.token_ids[: first + 1] and cut.finish_reason == "stop"
    assert cut.text == loaded.tokenizer.decode(whole.token_ids[:first])


def test_chat_reads_the_prompt_of_the_chat_format(folder: Path, loaded: Loaded) -> None:
    llm = LLM(folder)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    messages = [Message(role="system", content="Be brief."), Message(role="user", content="Hello")]
    (output,) = llm.chat(turns, GREEDY)
    assert list(output.prompt_token_ids) == loaded.tokenizer.chat.prompt(messages)
    assert output.message == loaded.tokenizer.chat.parse(output.token_ids)
    two = llm.chat([turns, messages], GREEDY)
    assert [each.token_ids for each in two] == [output.token_ids] * 2


def test_adapters_by_folder_by_id_and_mixed(folder: Path, loaded: Loaded, adapter: Path) -> None:
    llm = LLM(folder)
    (plain,) = llm.generate(PROMPTS[0], GREEDY)
    (changed,) = llm.generate(PROMPTS[0], GREEDY, adapter=adapter)
    assert changed.token_ids != plain.token_ids and plain.adapter is None
    id = llm.load_adapter(adapter)
    assert changed.adapter == id and id in llm.engine.resident
    mixed = llm.generate([PROMPTS[0]] * 2, GREEDY, adapter=[None, id])
    assert [each.token_ids for each in mixed] == [plain.token_ids, changed.token_ids]
    engine = Engine(loaded.model, EngineConfig(num_ids=loaded.tokenizer.vocab_size))
    named = engine.load(load_adapter(adapter, model=loaded.model))
    (expected,) = generate(engine, [plain.prompt_token_ids], GREEDY, named)
    assert changed.token_ids == expected.ids
    llm.unload_adapter(id)
    with pytest.raises(UserError, match="there is no adapter"):
        llm.generate(PROMPTS[0], GREEDY, adapter=id)


def test_a_folder_that_is_written_anew_is_read_anew(
    folder: Path, loaded: Loaded, adapter: Path
) -> None:
    llm = LLM(folder)
    before = llm.load_adapter(adapter)
    assert llm.load_adapter(adapter) == before
    make_adapter(loaded, adapter, seed=2)
    assert llm.load_adapter(adapter) != before


def test_embeddings_are_the_mean_of_the_last_states(folder: Path, loaded: Loaded) -> None:
    llm = LLM(folder)
    found = torch.tensor(llm.embed(PROMPTS))
    for prompt, vector in zip(PROMPTS, found, strict=True):
        tokenizer = loaded.tokenizer
        ids = [*tokenizer.prefix_ids, *tokenizer.encode(prompt)]
        with torch.no_grad():
            mean = loaded.model.hidden(torch.tensor([ids]))[0].mean(0)
        torch.testing.assert_close(vector, mean / mean.norm())
    with pytest.raises(UserError, match="it may have 1 to"):
        llm.embed("long " * 500)


def test_embeddings_by_an_adapter(folder: Path, loaded: Loaded, adapter: Path) -> None:
    llm = LLM(folder)
    base = llm.embed(PROMPTS)
    found = torch.tensor(llm.embed(PROMPTS, adapter=adapter))
    assert llm.embed(PROMPTS) == base
    merged = merge(loaded.model, load_adapter(adapter, model=loaded.model)).model
    with torch.no_grad():
        for prompt, vector in zip(PROMPTS, found, strict=True):
            ids = [*loaded.tokenizer.prefix_ids, *loaded.tokenizer.encode(prompt)]
            mean = merged.hidden(torch.tensor([ids]))[0].mean(0)
            torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, torch.tensor(base), atol=1e-2)


def test_a_failure_in_the_middle_leaves_nothing_under_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = LLM(folder)
    step, count = llm.engine.step, iter(range(100))

    def interrupted() -> object:
        if next(count) == 3:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(llm.engine, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        llm.generate(PROMPTS, SamplingParams(max_tokens=50, ignore_eos=True))
    monkeypatch.undo()
    assert not llm.engine.has_work()
    assert llm.generate(PROMPTS[0], GREEDY)[0].finished


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda llm: llm.generate([["a"]]), "prompt 0 is neither"),
        (lambda llm: llm.generate([{"role": "user"}]), "messages are for chat"),
        (lambda llm: llm.chat("hello"), "for a plain text there is generate"),
        (lambda llm: llm.chat([[]]), "conversation is empty"),
        (lambda llm: llm.chat([{"role": "usr", "content": "x"}]), "did you mean 'user'"),
        (lambda llm: llm.chat([{"role": "user", "contents": "x"}]), "did you mean 'content'"),
        (lambda llm: llm.generate("x", n=0), "at least 1"),
        (lambda llm: llm.generate("x", stop=[""]), "stop string is empty"),
        (lambda llm: llm.generate([[10**6]]), "outside the vocabulary"),
        (lambda llm: llm.generate(["x", "long " * 300]), "leaves no room"),
        (lambda llm: llm.generate("x", adapter="nowhere"), "there is no adapter 'nowhere'"),
        (lambda llm: llm.generate("x", adapter=[None, None]), "2 adapters for 1 prompts"),
    ],
)
def test_mistakes_are_told_before_anything_runs(folder: Path, call: object, message: str) -> None:
    llm = LLM(folder)
    with pytest.raises(UserError, match=message):
        call(llm)  # type: ignore[operator]
    assert not llm.engine.has_work()


def test_mistakes_when_loading(folder: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'max_rows'"):
        LLM(folder, max_row=4)
    with pytest.raises(UserError, match="unknown dtype 'float31'"):
        LLM(folder, dtype="float31")
    with pytest.raises(UserError, match="there is no model"):
        LLM(folder / "nowhere")
