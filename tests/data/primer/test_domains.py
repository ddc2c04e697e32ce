"""What each of the other domains promises: right results, fixed facts, honest abstentions."""

from __future__ import annotations

import hashlib
from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from nanohydra.core.types import Conversation, Document
from nanohydra.data.primer import Split, examples, records
from nanohydra.data.primer.abstain import KEY
from nanohydra.data.primer.arithmetic import NO_ZERO, OPS, ZERO_ERROR
from nanohydra.data.primer.craft import article, capital, format_number, plural, side
from nanohydra.data.primer.dress import dress
from nanohydra.data.primer.facts import answer, question
from nanohydra.data.primer.names import made_name, made_town, surname
from nanohydra.data.primer.stories import tell
from nanohydra.data.primer.wordings_abstain import ABSTENTIONS
from nanohydra.data.primer.world import RELATIONS_OF, SUBJECTS_PER_KIND, all_facts, by_subject
from nanohydra.tools import load_tools, run_tool

SPLITS: tuple[Split, ...] = ("train", "test")


@pytest.mark.parametrize("split", SPLITS)
def test_arithmetic_results_are_the_calculators(split: Split) -> None:
    kinds: Counter[str] = Counter()
    tools = load_tools(["calculator"])
    for record in records(split, seed=0, counts={"arithmetic": 1500}):
        assert isinstance(record, Conversation)
        kinds.update(record.meta["kinds"])
        messages = record.messages[1:] if record.messages[0].role == "system" else record.messages
        for i in range(0, len(messages), 4):
            _, call_turn, tool, final = messages[i : i + 4]
            (call,) = call_turn.tool_calls
            assert call.name == "calculator" and tool.tool_call_id == call.id
            assert run_tool(call, tools) == tool.content, call
            if tool.content == ZERO_ERROR:
                assert final.content == NO_ZERO
            else:
                assert tool.content in final.content
    assert set(kinds) == {"story", "bare", "nested", "named", "by_zero"}


def test_arithmetic_covers_digits_lengths_and_operators() -> None:
    found = examples("arithmetic", "train", seed=0, count=2000)
    text = " ".join(e.meta["expression"] for e in found)
    numbers = [n for n in text.replace("(", "").replace(")", "").split() if n.isdigit()]
    lengths = Counter(map(len, numbers))
    assert all(lengths[n] > 300 for n in (1, 2, 3)) and lengths[4] > 200
    last = Counter(n[-1] for n in numbers)
    assert min(last.values()) > 0.04 * len(numbers)
    assert all(text.count(f" {op} ") > 250 for op in OPS)


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(10), "10"), (Fraction(-3), "-3"), (Fraction(5, 2), "2.5"), (Fraction(0), "0"),
     (Fraction(10, 3), "3.333333"), (Fraction(-1, 8), "-0.125"), (Fraction(2, 3), "0.666667"),
     (Fraction(1, 10**9), "0"), (7, "7"), (Fraction(100, 1), "100")],
)  # fmt: skip
def test_format_number(value: Fraction | int, text: str) -> None:
    assert format_number(value) == text


def test_words_take_their_forms() -> None:
    assert [article(w) for w in ("ball", "apple", "old hat")] == [
        "a ball", "an apple", "an old hat",
    ]  # fmt: skip
    forms = [plural(w) for w in ("cherry", "box", "toy", "peach", "mouse", "leaf", "potato")]
    assert forms == ["cherries", "boxes", "toys", "peaches", "mice", "leaves", "potatoes"]
    assert capital("the Zelara") == "The Zelara"


def test_no_text_has_a_wrong_article() -> None:
    counts = {n: 1500 for n in ("reading", "lookup", "stories", "taught", "arithmetic")}
    for record in records("train", seed=0, counts=counts):
        texts = [record.text] if isinstance(record, Document) else [
            m.content for m in record.messages
        ]  # fmt: skip
        for text in texts:
            words = text.lower().split()
            for word, after in zip(words, words[1:], strict=False):
                if word == "a":
                    assert after[0] not in "aeio", text
                if word == "an":
                    assert after[0] in "aeiou" or after.startswith("hour"), text


WORLD = "0d2b00cf240e3a277073b1ff02f3bb59cf9aa83008f10544c43f17a032df3038"


def test_the_world_is_fixed() -> None:
    """The facts never change with a seed or a Python version: a published model knows them."""
    text = "\n".join(f"{f.subject}|{f.relation.key}|{f.object}" for f in all_facts())
    assert hashlib.sha256(text.encode()).hexdigest() == WORLD
    assert 400 <= len(all_facts()) <= 500


def test_every_subject_has_every_relation_of_its_kind_once() -> None:
    assert len(by_subject()) == sum(SUBJECTS_PER_KIND.values())
    for group in by_subject():
        kind = group[0].relation.kind
        assert [f.relation for f in group] == list(RELATIONS_OF[kind])
    pairs = Counter((f.relation.key, f.object) for f in all_facts() if f.relation.back)
    assert set(pairs.values()) == {1}, "a reverse question must have one answer"


def test_facts_share_objects_so_that_recall_is_tested() -> None:
    per_relation = Counter(f.relation.key for f in all_facts())
    objects = Counter((f.relation.key, f.object) for f in all_facts() if f.relation.value == "town")
    assert max(objects.values()) >= 3 and min(per_relation.values()) >= 10


def test_all_facts_are_asked_in_training() -> None:
    text = " ".join(
        m.content
        for r in records("train", seed=0, counts={"facts": 8000})
        if isinstance(r, Conversation)
        for m in r.messages
    )
    assert all(answer(fact) in text for fact in all_facts())


def test_abstentions() -> None:
    assert all(text.startswith(KEY) for text in ABSTENTIONS)
    kinds = Counter(e.meta["kind"] for e in examples("abstain", "test", seed=0, count=500))
    assert set(kinds) == {"unknown", "outside", "untold", "no_text"} and kinds["unknown"] > 250


@pytest.mark.parametrize("split", SPLITS)
def test_known_subjects_are_answered_and_unknown_ones_not(split: Split) -> None:
    known = {f.subject for f in all_facts()}
    for record in records(split, seed=0, counts={"abstain": 1500, "known": 300}):
        assert isinstance(record, Conversation)
        for message in record.messages:
            if message.role == "assistant" and message.content.startswith(KEY):
                assert message.content in ABSTENTIONS
            elif message.role == "assistant" and record.source == "primer/known":
                text = message.content[0].lower() + message.content[1:]
                assert any(s in text or s in message.content for s in known)


def test_unknown_names_look_like_known_ones() -> None:
    rng = Random(0)
    for make in (made_name, made_town, surname):
        lengths = {}
        for where in ("train", "test", "world"):
            drawn = [make(rng, where) for _ in range(300)]
            assert all(side(name) == where for name in drawn)
            lengths[where] = sum(map(len, drawn)) / len(drawn)
        assert max(lengths.values()) - min(lengths.values()) < 0.5


def test_question_never_holds_its_answer() -> None:
    rng = Random(0)
    for split in SPLITS:
        for fact in all_facts():
            if fact.object.lower() not in fact.subject.lower():
                assert fact.object not in question(fact, rng, split).split()


def test_stories_agree_with_their_hero() -> None:
    rng = Random(0)
    for split in SPLITS:
        for _ in range(500):
            story = tell(rng, split)
            assert story.text.count(story.name) >= 1 and story.kind in story.text
            assert len([s for s in story.text.replace("!", ".").split(".") if s.strip()]) >= 5


def test_dress_touches_user_and_system_turns_of_training_only() -> None:
    plain = list(records("test", seed=0, counts={"reading": 300}))
    assert [dress(r, Random(0), "test") for r in plain] == plain
    rough = [dress(r, Random(n), "train") for n, r in enumerate(plain)]
    assert rough != plain
    for before, after in zip(plain, rough, strict=True):
        assert isinstance(before, Conversation) and isinstance(after, Conversation)
        kept = [m for m in after.messages if m.role == "assistant"]
        assert kept == [m for m in before.messages if m.role == "assistant"]
