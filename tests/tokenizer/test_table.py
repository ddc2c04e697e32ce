"""The table of a vocabulary: the bytes of ids are those of the text, whatever the tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.tokens import TokenTable
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.table import token_table

pytest.importorskip("transformers")

from tests.tokenizer.foreign import KINDS, load_both, write  # noqa: E402


@cache
def made(kind: str) -> tuple[Tokenizer, TokenTable]:
    tokenizer = load_both(write(Path(mkdtemp()), KINDS[kind]()))[0]
    return tokenizer, token_table(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_bytes_are_those_of_decoding(kind: str, data: st.DataObject) -> None:
    tokenizer, table = made(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12))
    text = b"".join(table.tokens[id] for id in ids if id not in table.special_ids)
    assert text == tokenizer.decode_bytes(ids, continues=True)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(text=st.text('etaoin .,0123{}":\n', max_size=20))
def test_forced_texts_are_spelled_as_they_are(kind: str, text: str) -> None:
    tokenizer, table = made(kind)
    assert table.encode is not None
    ids = table.encode(text)
    spelled = b"".join(table.tokens[id] for id in ids) == text.encode()
    # Some vocabularies lack characters, and wordpiece keeps no spaces.
    assert spelled or kind in ("metaspace", "unigram", "wordpiece")


def test_markers_and_ends(bpe: Tokenizer) -> None:
    table = token_table(bpe)
    assert len(table.tokens) == bpe.vocab_size
    assert table.end_ids == (bpe.special_id("<|end|>"),)
    assert table.tokens[bpe.special_id("<|call|>")] == b"<|call|>"
    assert {table.tokens[id].decode() for id in table.special_ids} == set(bpe.special_names)


def test_what_a_tokenizer_of_characters_lacks(letters: Tokenizer) -> None:
    table = token_table(letters)
    assert table.encode is not None
    assert [table.tokens[id] for id in table.encode("cat")] == [b"c", b"a", b"t"]
    assert table.encode("c\u1234t") == []
