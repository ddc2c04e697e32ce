"""Passages, questions and lists: one right answer, findable in the text, beside distractors."""

from __future__ import annotations

import re
from random import Random

import pytest

from nanohydra.core.types import Conversation, Document
from nanohydra.data.primer import Split, examples, records
from nanohydra.data.primer.lookup import MAX_CHARS, pair_list, restated
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.wordings_reading2 import NOT_SAID
from nanohydra.data.primer.wordings_reading3 import RELATIONS

SPLITS: tuple[Split, ...] = ("train", "test")


def says(text: str, phrase: str) -> bool:
    """Whether the words of a phrase stand in a text as whole words."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


@pytest.mark.parametrize("name", ["reading", "lookup", "taught", "notes"])
@pytest.mark.parametrize("split", SPLITS)
def test_reference_says_the_answer_and_no_distractor(name: str, split: Split) -> None:
    for example in examples(name, split, seed=0, count=1500):
        if not example.meta.get("answerable", True):
            continue
        reference = example.meta["reference"]
        assert says(reference, example.answer)
        rest = re.sub(rf"(?<!\w){re.escape(example.answer)}(?!\w)", "", reference)
        for distractor in example.meta["distractors"]:
            assert not says(rest, distractor), (reference, distractor)


@pytest.mark.parametrize("split", SPLITS)
def test_the_answer_is_in_the_passage_with_distractors(split: Split) -> None:
    found = examples("reading", split, seed=1, count=1000)
    with_answer = [e for e in found if e.meta["answerable"]]
    assert 0.03 < 1 - len(with_answer) / len(found) < 0.18
    for example in with_answer:
        assert says(example.meta["passage"], example.answer), example
        for distractor in example.meta["distractors"]:
            assert says(example.meta["passage"], distractor), example
    rivals = sum(bool(e.meta["distractors"]) for e in with_answer)
    assert rivals > 0.75 * len(with_answer)


@pytest.mark.parametrize("split", SPLITS)
def test_one_answer_per_question(split: Split) -> None:
    """No other statement of the relation agrees with the slots that a question names."""
    for seed in range(600):
        passage = Passage(Random(seed), split, 2 + seed % 4)
        assert 2 <= len(passage.statements) <= 6
        for statement in passage.statements:
            for other in passage.statements:
                if other is statement or other.relation is not statement.relation:
                    continue
                assert other.slots["s"] != statement.slots["s"]
                for slot in statement.relation.asks:
                    same = statement.slots[slot] == other.slots[slot]
                    # nouns may be shared only where something else tells them apart
                    assert not same or statement.relation.key in ("count", "wears", "has", "gave",
                                                                  "found"), statement  # fmt: skip


@pytest.mark.parametrize("split", SPLITS)
def test_unanswerable_questions_name_nothing_told(split: Split) -> None:
    for seed in range(400):
        passage = Passage(Random(seed), split, 3)
        question = passage.unanswerable()
        assert question.answer == NOT_SAID and not question.meta["answerable"]
        told = [(s.relation.key, s.slots["s"]) for s in passage.statements]
        for key, subject in told:
            if key == question.meta["kind"]:
                assert not says(question.text, subject), (passage.text, question.text)


def test_every_relation_is_drawn_and_its_slots_are_asked() -> None:
    asked = set()
    for seed in range(4000):
        passage = Passage(Random(seed), "train", 4)
        asked |= {(q.meta["kind"], q.meta["slot"]) for q in passage.questions(3)}
    assert asked == {(r.key, slot) for r in RELATIONS for slot in r.asks}


def test_a_pronoun_follows_its_name() -> None:
    seen = 0
    for seed in range(3000):
        text = Passage(Random(seed), "train", 4).text
        for match in re.finditer(r"\b(She|He)\b", text):
            seen += 1
            assert match.start() > 0, text
    assert seen > 30


def test_lists_repeat_every_pair() -> None:
    for seed in range(200):
        text = pair_list(Random(seed), "train")
        blocks = text.split("\n\n") if "\n\n" in text else [text]
        assert len(text) < 3 * MAX_CHARS
        if len(blocks) > 1:
            assert len({frozenset(re.findall(r"\w+", b)) for b in blocks}) == 1, text


def test_restated_facts_keep_their_values() -> None:
    for seed in range(200):
        first, *others = restated(Random(seed), "train").split("\n")
        told = set(re.findall(r"\w+", first.lower()))
        # the wordings differ, the subjects and values stay
        for block in others:
            assert len(told & set(re.findall(r"\w+", block.lower()))) >= 6, block


def test_lookup_answers_are_copies() -> None:
    """Every assistant turn of the domain repeats words of an earlier turn."""
    for record in records("test", seed=0, counts={"lookup": 800}):
        if isinstance(record, Document):
            continue
        assert isinstance(record, Conversation)
        heard = ""
        for message in record.messages:
            if message.role == "assistant" and not record.meta:
                assert all(says(heard, word) for word in message.content.split()), record
            heard += " " + message.content
