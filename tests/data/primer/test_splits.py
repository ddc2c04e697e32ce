"""Wordings, names and numbers of the two splits have nothing in common."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from nanohydra.core.types import Conversation
from nanohydra.data.primer import DEFAULT_COUNTS, examples, lookup, names, records
from nanohydra.data.primer import wordings_abstain as abstain
from nanohydra.data.primer import wordings_arithmetic as arithmetic
from nanohydra.data.primer import wordings_facts as facts
from nanohydra.data.primer import wordings_facts2 as facts2
from nanohydra.data.primer import wordings_greetings as greetings
from nanohydra.data.primer import wordings_personal as personal
from nanohydra.data.primer import wordings_reading as reading
from nanohydra.data.primer import wordings_reading2 as reading2
from nanohydra.data.primer import wordings_reading3 as reading3
from nanohydra.data.primer import wordings_reading4 as reading4
from nanohydra.data.primer import wordings_stories as stories
from nanohydra.data.primer import wordings_stories2 as stories2
from nanohydra.data.primer import wordings_things as things
from nanohydra.data.primer import words as words_module
from nanohydra.data.primer.arithmetic import pair_key
from nanohydra.data.primer.craft import Bank, held_out, side
from nanohydra.data.primer.world import all_facts, bare

MODULES = (abstain, arithmetic, facts, facts2, greetings, lookup, personal, reading, reading2,
           reading3, stories, stories2, things)  # fmt: skip
RELATIONS = facts2.FACT_RELATIONS + things.THINGS
WITH_BANKS = tuple(m for m in MODULES if m is not stories)


def banks(value: Any) -> Iterator[Bank]:
    """Every bank inside a module's values, however deep."""
    if isinstance(value, Bank):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from banks(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from banks(item)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from banks(getattr(value, name))


def strings(value: Any) -> Iterator[str]:
    """Every string inside modules' values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, ModuleType):
        yield from strings([v for k, v in vars(value).items() if not k.startswith("_")])
    elif isinstance(value, dict):
        yield from strings(list(value.values()))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from strings(item)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from strings(getattr(value, name))


def plain(wording: str) -> str:
    """A wording without capitals, marks and the names of its slots."""
    return re.sub(r"[^a-z{} ]", "", re.sub(r"{\w+}", "{}", wording.lower())).strip()


@pytest.mark.parametrize("module", WITH_BANKS, ids=lambda m: m.__name__.rpartition(".")[2])
def test_wordings_are_disjoint(module: Any) -> None:
    found = list(banks(list(vars(module).values())))
    assert found
    for bank in found:
        assert bank.train and bank.test
        assert len(set(bank.train)) == len(bank.train), bank
        assert len(set(bank.test)) == len(bank.test), bank
        assert not set(bank.train) & set(bank.test), bank
        assert not {plain(w) for w in bank.train} & {plain(w) for w in bank.test} - {""}, bank


def test_questions_of_a_relation_differ_by_words() -> None:
    for relation in reading3.RELATIONS:
        questions = [q for ask in relation.asks.values() for q in ask.questions.train]
        held = [q for ask in relation.asks.values() for q in ask.questions.test]
        assert not {plain(q) for q in questions} & {plain(q) for q in held}, relation.key
        assert not {plain(q) for q in relation.say.train} & {plain(q) for q in relation.say.test}
    for fact in RELATIONS:
        assert not {plain(q) for q in fact.ask.train} & {plain(q) for q in fact.ask.test}
        assert not {plain(q) for q in fact.say.train} & {plain(q) for q in fact.say.test}


def test_requests_are_no_test_questions() -> None:
    for relation in reading3.RELATIONS:
        for slot, ask in relation.asks.items():
            place = (relation.key, slot)
            made = {plain(frame.format(c=reading4.CLAUSES[place])) for frame in reading4.INDIRECT}
            if place in reading4.NOUNS:
                nouns = reading4.NOUNS[place]
                made |= {plain(frame.format(n=nouns)) for frame in reading4.NAMING}
            assert not made & {plain(q) for q in ask.questions.test}, place
    assert set(reading4.NOUNS) <= set(reading4.CLAUSES)


def test_arithmetic_wordings_are_disjoint_and_many() -> None:
    train = [q for bank in arithmetic.BARE.values() for q in bank.train]
    train += [p[0] for bank in arithmetic.PROBLEMS_TRAIN.values() for p in bank]
    train += arithmetic.NESTED.train
    test = [q for bank in arithmetic.BARE.values() for q in bank.test]
    test += [p[0] for bank in arithmetic.PROBLEMS_TEST.values() for p in bank]
    test += arithmetic.NESTED.test
    assert not {plain(q) for q in train if re.search(r"[a-z]{2}", q)} & {plain(q) for q in test}
    assert len(set(train)) >= 300 and len(set(test)) >= 40


def test_held_out_reading_wordings_use_words_of_training() -> None:
    """They are new sentences, not new words: an unseen word would test the tokenizer."""
    known: set[str] = set()
    counts = {name: count // 20 for name, count in DEFAULT_COUNTS.items()}
    for record in records("train", seed=0, counts=counts):
        turns = record.messages if isinstance(record, Conversation) else ()
        known |= {w for m in turns for w in plain(m.content).split()}
    for relation in reading3.RELATIONS:
        for bank in banks(relation):
            for text in bank.test:
                assert set(plain(text).replace("{}", " ").split()) - {"s"} <= known, text


def content(wording: str) -> set[str]:
    """The words of a wording, each once, without its slots."""
    return set(plain(wording).replace("{}", " ").split())


def known_twice(wordings: list[str]) -> set[str]:
    """The words that stand in at least two of the wordings."""
    counts = Counter(word for text in wordings for word in content(text))
    return {word for word, count in counts.items() if count >= 2}


@pytest.mark.parametrize("op", arithmetic.BARE)
def test_held_out_calculations_use_words_of_the_same_operation(op: str) -> None:
    """A verb that training knows from another operation, or not at all, would be a guess."""
    problems = [question for question, _ in arithmetic.PROBLEMS_TRAIN[op]]
    known = known_twice([*arithmetic.BARE[op].train, *problems])
    held = [question for question, _ in arithmetic.PROBLEMS_TEST[op]]
    for text in (*arithmetic.BARE[op].test, *held):
        assert content(text) <= known, (text, content(text) - known)


def test_held_out_fact_questions_use_words_of_the_same_relation() -> None:
    """In the relation's own training questions; words of the frames are in other frames."""
    for relation in RELATIONS:
        asked = [relation.ask] + ([relation.back.questions] if relation.back else [])
        for bank in asked:
            known = {word for text in (*bank.train, relation.clause) for word in content(text)}
            for text in bank.test:
                assert content(text) <= known, (text, content(text) - known)
    known = known_twice(list(facts.FRAMES.train))
    for text in facts.FRAMES.test:
        assert content(text) <= known, (text, content(text) - known)


def test_held_out_untold_attributes_use_words_of_the_same_kind() -> None:
    for bank in abstain.UNTOLD.values():
        known = {word for text in bank.train for word in content(text)}
        for text in bank.test:
            assert content(text) <= known, (text, content(text) - known)


def test_reading_wordings_are_many() -> None:
    train = sum(len(r.say.train) for r in reading3.RELATIONS)
    test = sum(len(r.say.test) for r in reading3.RELATIONS)
    assert train >= 200 and test >= 60
    asked = [len(a.questions.train) for r in reading3.RELATIONS for a in r.asks.values()]
    held = [len(a.questions.test) for r in reading3.RELATIONS for a in r.asks.values()]
    assert sum(asked) >= 200 and sum(held) >= 80 and min(held) >= 2


def test_fact_wordings_are_many() -> None:
    assert len(RELATIONS) >= 15
    for fact in RELATIONS:
        assert len(fact.say.train) >= 6
        assert len(fact.ask.train) + len(facts.FRAMES.train) >= 12
        assert len(fact.ask.test) + len(facts.FRAMES.test) >= 4


def test_story_steps_keep_a_wording_for_testing() -> None:
    for plot in stories2.ALL_PLOTS:
        for step in (stories.INTRO, *plot.steps):
            assert len(step) >= 4 and len(set(step)) == len(step)


def test_given_names_and_cities_are_disjoint() -> None:
    for pool in (names.GIVEN_OF, names.CITIES_OF):
        assert pool["train"] and pool["test"] and not set(pool["train"]) & set(pool["test"])
        assert all(side(name) == "test" for name in pool["test"])
    assert len(names.GIVEN_OF["train"]) > 150 and len(names.GIVEN_OF["test"]) > 30


NAME = re.compile(r"\b[A-Z][a-z]{2,}\b")
SPLIT_DOMAINS = {"reading": 3000, "lookup": 3000, "taught": 3000, "stories": 2000}


def test_names_in_records_are_disjoint() -> None:
    """No given name, city or made-up name of a test record is in a training record."""
    words: dict[str, set[str]] = {}
    for split in ("train", "test"):
        found: set[str] = set()
        for record in records(split, seed=0, counts=SPLIT_DOMAINS):
            if isinstance(record, Conversation):
                for message in record.messages:
                    found |= set(NAME.findall(message.content))
            else:
                found |= set(NAME.findall(record.text))
        words[split] = found
    pool = set(names.GIVEN_OF["test"]) | set(names.CITIES_OF["test"])
    assert pool & words["test"] and not pool & words["train"]
    # `taught` asks about the fixed world in between, with names that are known on purpose
    world = {w.capitalize() for f in all_facts() for w in f"{f.subject} {f.object}".split()}
    everyday = {w.lower() for text in strings(MODULES) for w in re.findall(r"[A-Za-z]+", text)}
    everyday |= {w for text in strings((words_module, lookup)) for w in text.split()}
    common = words["train"] & words["test"] - world - set(names.GIVEN_OF["train"])
    everyday |= {"she", "he"}
    common = {word for word in common if word.lower() not in everyday}
    assert not common, sorted(common)[:30]


def test_operand_pairs_are_disjoint() -> None:
    """The pair computed first decides; that of parentheses comes before any other."""
    for split in ("train", "test"):
        for example in examples("arithmetic", split, seed=0, count=2000):
            expression = example.meta["expression"]
            inner = re.search(r"\((\S+) ([-+*/]) (\S+)\)", expression)
            a, op, b = inner.groups() if inner else expression.split()[:3]
            assert held_out(pair_key(a, op, b)) is (split == "test"), expression


def test_unknown_subjects_are_never_known_ones() -> None:
    known = {bare(f.subject).lower() for f in all_facts()}
    for split in ("train", "test"):
        for example in examples("abstain", split, seed=0, count=1500):
            if example.meta["kind"] == "unknown":
                text = example.prompt[-1].content.lower()
                assert not any(re.search(rf"\b{subject}\b", text) for subject in known), text
