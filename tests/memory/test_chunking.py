"""Passages: whole sentences, true spans, overlap, nothing lost, no limit passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.memory import ChunkConfig, split_passages, split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Dr. Ana Reis met J. R. Sola at 3 p.m. today. Fine.", [
            "Dr. Ana Reis met J. R. Sola at 3 p.m. today.", "Fine."]),
        ("It costs 3.50 in the U.S. market. Yes.", ["It costs 3.50 in the U.S. market.", "Yes."]),
        ("See No. 5 and fig. 2. It is Dec. 3.", ["See No. 5 and fig. 2.", "It is Dec. 3."]),
        ("Was it I. Who knows?", ["Was it I.", "Who knows?"]),
        ("# Title\n\nA line\nthat goes on. End", ["# Title", "A line\nthat goes on.", "End"]),
        ("Buy:\n- milk\n- bread\n2) eggs", ["Buy:", "- milk", "- bread", "2) eggs"]),
        ("山がある。川もある！はい", ["山がある。", "川もある！", "はい"]),
        ("no end", ["no end"]),
        (" \n\t ", []),
    ],
)  # fmt: skip
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_passages_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(40))
    config = ChunkConfig(max_characters=120, overlap=40)
    passages = split_passages(text, config)
    assert len(passages) > 5
    for before, after in zip(passages, passages[1:], strict=False):
        assert before.start < after.start < before.end < after.end
        assert text[after.start : before.end] in sentences(text)
    assert not any("overlap" in p.text or not p.text.endswith(".") for p in passages)


def test_a_sentence_is_cut_only_if_it_is_longer_than_a_passage() -> None:
    long = "word " * 100 + "end."
    config = ChunkConfig(max_characters=100, overlap=20)
    passages = split_passages(f"Short one. {long} Short two.", config)
    assert all(len(p.text) <= 100 for p in passages)
    assert passages[0].text.startswith("Short one.") and passages[-1].text.endswith("Short two.")
    assert all(
        piece in ("Short", "one.", "word", "end.", "two.")
        for p in passages
        for piece in p.text.split()
    )
    assert len(split_passages("x" * 1000, ChunkConfig(max_characters=100, overlap=0))) == 10


@given(st.text(alphabet="aB .!?\n\t。é-1😀\u2028", max_size=300), st.integers(5, 60))
def test_spans_are_true_and_nothing_is_lost(text: str, size: int) -> None:
    passages = split_passages(text, ChunkConfig(max_characters=size, overlap=size // 3))
    covered = set()
    for passage in passages:
        assert passage.text == text[passage.start : passage.end] == passage.text.strip() != ""
        assert len(passage.text) <= size
        covered.update(range(passage.start, passage.end))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)
    starts = [p.start for p in passages]
    assert starts == sorted(set(starts))


def test_a_long_text_without_stops_takes_linear_time() -> None:
    assert len(split_passages("a b " * 50_000)) > 200
    assert len(split_passages(". " * 50_000)) > 100
    assert len(split_passages("J. " * 50_000)) > 150


def test_an_overlap_as_long_as_a_passage_is_refused() -> None:
    with pytest.raises(UserError, match="overlap=100 must be"):
        ChunkConfig(max_characters=100, overlap=100)
