"""The primer as a whole: deterministic, mixed, fast enough, and disjoint between its splits."""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Document, Record
from nanohydra.data import primer
from nanohydra.data.notes import INTRODUCTION
from nanohydra.data.primer import DEFAULT_COUNTS, DOMAINS, Split, examples, records

ALL = tuple(DOMAINS)
FEW = {name: 60 for name in DOMAINS}


def prompts(record: Record) -> set[str]:
    """The user turns of a conversation, with its notes if it has some, or a document's text."""
    if isinstance(record, Document):
        return {record.text}
    notes = [m.content for m in record.messages if m.content.startswith(INTRODUCTION)]
    return {"".join([*notes, m.content]) for m in record.messages if m.role == "user"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_same_seed_same_records(split: Split) -> None:
    first = list(records(split, seed=3, counts=FEW))
    assert first == list(records(split, seed=3, counts=FEW))
    assert first != list(records(split, seed=4, counts=FEW))


def test_records_of_a_domain_do_not_depend_on_the_others() -> None:
    alone = list(records("train", seed=1, counts={"reading": 40}))
    mixed = list(records("train", seed=1, counts={"facts": 70, "reading": 40}))
    assert alone == [r for r in mixed if r.source == "primer/reading"]


def test_counts_are_kept_and_mixed_evenly() -> None:
    counts = {"facts": 300, "reading": 100, "stories": 0}
    sources = [r.source for r in records("train", seed=0, counts=counts)]
    assert Counter(sources) == {"primer/facts": 300, "primer/reading": 100}
    half = Counter(sources[:200])["primer/reading"]
    assert 35 <= half <= 65


def test_default_counts_name_domains_and_can_be_drawn() -> None:
    assert set(DEFAULT_COUNTS) <= set(DOMAINS)
    some = list(islice(records("train", seed=0, counts=DEFAULT_COUNTS), 400))
    assert len({r.source for r in some}) >= 6


def test_unknown_domain_is_a_user_error() -> None:
    with pytest.raises(UserError, match="did you mean 'stories'"):
        next(records("train", seed=0, counts={"storys": 1}))
    with pytest.raises(UserError):
        examples("storys", "test", seed=0, count=1)


@pytest.mark.parametrize("name", ALL)
def test_records_are_well_formed(name: str) -> None:
    for split in ("train", "test"):
        for record in records(split, seed=5, counts={name: 300}):
            assert record.source == f"primer/{name}"
            if isinstance(record, Document):
                assert record.text and record.text == record.text.strip()
                continue
            roles = [m.role for m in record.messages]
            roles = roles[1:] if roles[0] == "system" else roles
            assert roles[0] == "user" and roles[-1] == "assistant"
            for before, after in zip(roles, roles[1:], strict=False):
                assert (before, after) in {
                    ("user", "assistant"), ("assistant", "user"), ("assistant", "tool"),
                    ("tool", "assistant"),
                }  # fmt: skip
            for message in record.messages:
                assert message.content or message.tool_calls
                assert "{" not in message.content and "}" not in message.content
                assert message.content == message.content.strip() and "  " not in message.content


@pytest.mark.parametrize("name", ALL)
def test_examples_are_answerable_and_distinct(name: str) -> None:
    for split in ("train", "test"):
        found = examples(name, split, seed=2, count=60)
        if name != "greetings" or split == "train":
            assert len(found) == 60
        assert found == examples(name, split, seed=2, count=60)
        assert len({str(e.prompt) for e in found}) == len(found)
        for example in found:
            assert example.domain == name and example.prompt[-1].role == "user"
            reference = example.meta["reference"].lower()
            keys = (example.answer, *example.accept)
            assert any(key.lower() in reference for key in keys), example
            for distractor in example.meta.get("distractors", ()):
                assert distractor != example.answer


@pytest.mark.parametrize("name", ALL)
def test_no_test_prompt_occurs_in_training(name: str) -> None:
    seen: set[str] = set()
    for record in records("train", seed=0, counts={name: 6000}):
        seen |= prompts(record)
    # without regard to capitals and full stops, which training roughens
    seen = {text.strip(".?! ").lower() for text in seen}
    for record in records("test", seed=0, counts={name: 1500}):
        for text in prompts(record):
            assert text.strip(".?! ").lower() not in seen
    for example in examples(name, "test", seed=1, count=400):
        assert example.prompt[-1].content.strip(".?! ").lower() not in seen


def test_no_two_records_are_often_the_same() -> None:
    for name in ("reading", "lookup", "taught", "arithmetic", "stories"):
        texts = [str(r) for r in records("train", seed=0, counts={name: 3000})]
        assert len(set(texts)) > 0.97 * len(texts), name


def test_speed_is_thousands_a_second() -> None:
    """A tripwire for accidents only: one twentieth of what a free core does."""
    begin = time.process_time()
    count = sum(1 for _ in records("train", seed=0, counts={n: 300 for n in DEFAULT_COUNTS}))
    assert count / (time.process_time() - begin) > 1000


def test_public_names() -> None:
    assert sorted(primer.__all__) == primer.__all__
    assert all(hasattr(primer, name) for name in primer.__all__)
