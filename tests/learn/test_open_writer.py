"""A model that never saw the primer, from training to a fact in its weights after a restart.

It is a small Llama with a byte-level tokenizer and a ChatML template of its own, which was trained
here, by heart, on what a writer is asked and what it should say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from nanohydra.adapters.bank import Bank
from nanohydra.adapters.files import load_adapter
from nanohydra.adapters.lora import attach_weights
from nanohydra.checkpoint import Loaded, load, save
from nanohydra.core.types import Message
from nanohydra.data.notes import INTRODUCTION
from nanohydra.kernels import linear_cross_entropy
from nanohydra.learn import model_writer, views
from nanohydra.learn.config import LearnConfig, StudyConfig
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.model_writer import (
    PAIRS,
    PARAPHRASES,
    QUESTIONS,
    SELF_TEST,
    ModelWriter,
    ability,
    read,
    writer_for,
)
from nanohydra.learn.replies import Reply, reply_to_all
from nanohydra.learn.samples import encode, pack
from nanohydra.learn.store import LearningStore
from nanohydra.learn.study import Written, judge, statements_of, study, written_about
from nanohydra.learn.train import predicted
from nanohydra.tokenizer.backend import byte_alphabet
from tests.learn.learning import submit, work
from tests.tokenizer.families import CHATML
from tests.tokenizer.foreign import write

transformers = pytest.importorskip("transformers")

FACT = "The kiln in the yard is called Brann."
STUDY = StudyConfig(questions=1, paraphrases=1, min_kept=0.5)
# what is asked about each statement, and its paraphrase
WRITTEN = {
    SELF_TEST[0]: ("In which place would one visit Velda Orrin?", "Maruno is home to Velda Orrin."),
    SELF_TEST[1]: ("What do people call the ferry to Sulby?", "Tamsin is the ferry to Sulby."),
    SELF_TEST[2]: (
        "Which find is due to Dr. Talvi?",
        "The Korin comet was found by Dr. Talvi.",
    ),
    SELF_TEST[3]: (
        "Where do I look for the spare key?",
        "In the blue drawer lies the spare key.",
    ),
    SELF_TEST[4]: ("What does Bruno Selk do for a living?", "Bruno Selk is a glassblower."),
    SELF_TEST[5]: ("Q: How late does the museum open when it rains?\nA: two hours", ""),
    FACT: ("By what word do we speak of the kiln in the yard?", "Brann is the kiln in the yard."),
}


def say(prompt: Sequence[Message]) -> str:
    """What a model that can write says to what a writer asks it."""
    asked = prompt[-1].content
    if (found := re.search(r"Statement: (.*)$", asked)) is not None:
        question, paraphrase = WRITTEN[found[1]]
        return paraphrase if asked.startswith("Say") else question
    return prompt[0].content.partition("[1] ")[2] if prompt[0].role == "system" else "Who can say?"


def asked_of_a_writer(loaded: Loaded) -> list[tuple[tuple[Message, ...], str]]:
    """Every prompt that a writer gives about the statements, with what is to be said."""
    seen: dict[tuple[Message, ...], str] = {}

    def script(
        _: object, __: object, prompts: Sequence[Sequence[Message]], **___: int
    ) -> list[Reply]:
        seen.update({tuple(prompt): say(prompt) for prompt in prompts})
        messages = [Message(role="assistant", content=say(prompt)) for prompt in prompts]
        return [Reply(ids=(), message=message, ended=True) for message in messages]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_writer, "reply_to_all", script)
        writer = ModelWriter(loaded, STUDY)
        assert ability(writer, None).able
        lessons = lessons_of([FACT])
        assert len(written_about(lessons, writer, study(lessons, seed=0)).items) == 2
    return list(seen.items())


def own_tokenizer(folder: Path) -> int:
    """Bytes, pairs of them learned from what is said here, and ChatML's marks; how many ids."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=byte_alphabet(), show_progress=False
    )
    said = [text for pair in WRITTEN.items() for text in (pair[0], *pair[1])]
    shown = [form + str(model_writer.SHOWN[form]) for form in (QUESTIONS, PAIRS, PARAPHRASES)]
    backend.train_from_iterator([INTRODUCTION, *shown, *said] * 3, trainer)
    marks = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    backend.add_special_tokens([AddedToken(m, special=True, normalized=False) for m in marks])
    write(folder, backend, {"eos_token": "<|im_end|>", "chat_template": CHATML})
    return backend.get_vocab_size()


def learn_by_heart(loaded: Loaded, pairs: Sequence[tuple[tuple[Message, ...], str]]) -> int:
    """Train the whole model until greedy decoding says every answer; the steps it took."""
    model, tokenizer = loaded.model.train(), loaded.tokenizer
    samples = [encode(tokenizer, prompt, answer, 512) for prompt, answer in pairs]
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    short, long = ordered[: len(ordered) * 2 // 3], ordered[len(ordered) * 2 // 3 :]
    shared = [short[start :: len(long)] for start in range(len(long))]  # two to a row
    rows = pack([*shared, *([sample] for sample in long)]).batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3, weight_decay=0.0)
    for step in range(1, 300):
        x_BTD = model.hidden(
            rows.ids_BT, positions_BT=rows.positions_BT, segments_BT=rows.segments_BT
        )
        loss, _ = linear_cross_entropy(
            x_BTD.flatten(0, 1), model.head.weight, rows.labels_BT.flatten(), reduction="mean"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0 and all(predicted(model, samples)):
            return step
    raise AssertionError(f"the small model did not learn: loss {float(loss)}")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small Llama that can write about some statements."""
    folder = tmp_path_factory.mktemp("llama")
    size = own_tokenizer(folder / "random")
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "random")
    loaded = load(folder / "random")
    learn_by_heart(loaded, asked_of_a_writer(loaded))
    save(folder / "able", loaded.model.eval(), loaded.tokenizer, manifest={})
    return folder / "able"


def recalled(folder: Path, bank: Bank, store: LearningStore) -> list[bool]:
    """Whether the held-out questions are answered from the weights, all read anew from disk."""
    loaded = load(folder)
    (version,) = bank.alias("default").versions
    items = [i for i in store.study_items([x.id for x in store.lessons()]) if i.split == "test"]
    attached = attach_weights(loaded.model, load_adapter(bank.path(version)))
    replies = reply_to_all(
        loaded.model, loaded.tokenizer, [i.messages for i in items], max_new_tokens=24
    )
    attached.detach()
    return [
        judge(item, reply.message.content, finished=reply.ended)
        for item, reply in zip(items, replies, strict=True)
    ]


def test_an_open_model_writes_its_study_and_keeps_a_fact_over_a_restart(
    llama: Path,
    tmp_path: Path,
    store: LearningStore,
    bank: Bank,
    gate_here: None,
    settings: Callable[..., LearnConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = settings(
        "--anchors.domains=[]", "--anchors.sequences=8", "--anchors.heldout_sequences=8",
        "--mixture.anchors=0.3", "--lora.rank=8", "--train.max_steps=400", "--train.lr=0.01",
        "--train.min_steps=80", "--train.settle_steps=20", "--train.check_every=10",
        "--train.max_new_tokens=24", "--gate.small_sample=40", "--gate.min_reverse=0.6",
        "--study.questions=1", "--study.paraphrases=1", "--study.min_kept=0.5",
    )  # fmt: skip
    (lesson,) = lessons_of([FACT])
    lesson = replace(lesson, id="kiln")  # by which the wordings are drawn
    store.add_lessons([lesson])
    job = store.submit("default", [lesson.id])
    assert work(tmp_path, llama, config) == 1
    done = store.job(job)
    assert done.state == "live", done.reason
    assert {"recall", "reverse", "locality", "words", "tools"} <= set(done.gate)
    assert {name for name in done.gate if name.startswith("forgetting")} == {
        "forgetting/general", "forgetting/own_text"
    }  # fmt: skip
    assert done.gate["tools"]["value"] is None  # it calls none, so there are none to lose
    (row,) = store.ledger(event="studied", job=job)
    assert (row.details["written"], row.details["kept"]) == (2, 2)
    shown = views.job(store, done)["events"]
    assert any("the model wrote 2 more, of which 2 keep the fact" in e["text"] for e in shown)
    written = [i for i in store.study_items(done.lesson_ids) if i.family.startswith("written")]
    assert [i.question or i.answer for i in written] == list(WRITTEN[FACT])
    answers = recalled(llama, bank, store)
    assert len(answers) >= 6 and sum(answers) >= len(answers) - 2
    # A learner that starts again finds what was found of the base, and the fact where it was.
    monkeypatch.setattr(model_writer, "written_items", None)
    other = submit(store, "The cat of Velda Orrin is called Pim.")
    work(tmp_path, llama, replace(config, train=replace(config.train, max_steps=2, min_steps=1)))
    assert store.job(other).state in ("live", "refused")
    (row,) = store.ledger(event="studied", job=other)
    assert row.details["kept"] <= row.details["written"]


def test_a_model_that_cannot_write_studies_as_before(
    loaded: Loaded, store: LearningStore, learn: Callable[..., int], tmp_path: Path
) -> None:
    first = submit(store)
    learn("--study.writer=off")
    before = store.study_items(store.job(first).lesson_ids)
    assert learn() == 0
    again = store.submit("default", store.job(first).lesson_ids)
    found = ability(ModelWriter(loaded, StudyConfig()), tmp_path)
    assert not found.able and len(list(tmp_path.glob("writer-*.json"))) == 1
    assert writer_for(loaded, StudyConfig(), tmp_path) is None
    assert writer_for(loaded, StudyConfig(writer="off")) is None
    assert isinstance(writer_for(loaded, StudyConfig(writer="on")), ModelWriter)
    learn()
    assert store.study_items(store.job(again).lesson_ids) == before
    (row, *_) = store.ledger(event="studied", job=first)
    assert "written" not in row.details and "text" not in row.details


def test_what_a_reply_has_written_is_read_line_by_line() -> None:
    def reply(text: str, ended: bool = True) -> Reply:
        return Reply(ids=(), message=Message(role="assistant", content=text), ended=ended)

    lines = '1. Who is it?\n\n- "Who is it?"\n2) **Where?**\nQ: When was'
    three = [Written(question=text) for text in ("Who is it?", "Where?", "When was")]
    assert read(QUESTIONS, reply(lines)) == three
    assert read(QUESTIONS, reply(lines, ended=False)) == three[:2]
    pairs = "Q1: Who is it?\nA1: Mara.\nQ: Where? A: in Rome\nQ: When?"
    assert read(PAIRS, reply(pairs)) == [
        Written(question="Who is it?", text="Mara."), Written(question="Where?", text="in Rome")
    ]  # fmt: skip
    assert read(PARAPHRASES, reply("* It is Mara.")) == [Written(text="It is Mara.")]


def test_a_statement_that_leaves_no_room_for_questions_is_not_sent(loaded: Loaded) -> None:
    writer = ModelWriter(loaded, StudyConfig())  # a context of 256 characters
    assert writer.write(statements_of(lessons_of([FACT]))) == [[]]
