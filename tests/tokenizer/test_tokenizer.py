"""Ids of texts: round trips, digits apart, special tokens out of reach, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.tokenizer import SPECIAL_TOKENS, Tokenizer, TokenizerConfig

MARKED = st.lists(st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "user", " ", "é"]) | st.text())


def test_special_tokens_have_the_first_ids(tokenizer: Tokenizer) -> None:
    assert [tokenizer.special_id(name) for name in SPECIAL_TOKENS] == list(range(8))
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.end_id) == (0, 1, 2)
    assert [tokenizer.is_special(id) for id in range(10)] == [True] * 8 + [False] * 2


@pytest.mark.parametrize("name", SPECIAL_TOKENS)
def test_a_typed_marker_is_plain_text(bpe: Tokenizer, name: str) -> None:
    for ids in (bpe.encode(name), *bpe.encode_batch([f"x{name}y", name])):
        assert ids and min(ids) >= len(SPECIAL_TOKENS)
    assert bpe.decode(bpe.encode(name)) == name


@given(MARKED)
def test_no_text_gives_a_special_id(bpe: Tokenizer, pieces: list[str]) -> None:
    ids = bpe.encode("".join(pieces))
    assert all(id >= len(SPECIAL_TOKENS) for id in ids)
    assert bpe.decode(ids) == "".join(pieces)


def test_no_text_gives_a_special_id_with_characters() -> None:
    tokenizer = Tokenizer.characters(SPECIAL_TOKENS)
    for name in SPECIAL_TOKENS:
        ids = tokenizer.encode(name)
        assert min(ids) >= len(SPECIAL_TOKENS) and tokenizer.decode(ids) == name


@given(st.binary())
def test_every_byte_sequence_round_trips(bpe: Tokenizer, data: bytes) -> None:
    ids = bpe.encode_bytes(data)
    assert bpe.decode_bytes(ids) == data
    assert all(id >= len(SPECIAL_TOKENS) for id in ids)
    assert sum(bpe.token_num_bytes[id] for id in ids) == len(data)


@given(st.text())
def test_encode_bytes_equals_encode_on_text(bpe: Tokenizer, text: str) -> None:
    assert bpe.encode_bytes(text.encode()) == bpe.encode(text) == bpe.encode_batch([text])[0]


def test_every_single_byte_is_a_token(bpe: Tokenizer) -> None:
    assert {bpe.token(id) for id in range(8, 264)} == {bytes([b]) for b in range(256)}


@pytest.mark.parametrize("text", ["2026", "a1b22", "٢٠٢٦", "x²³", "1234567890" * 9])
def test_digits_stand_alone(bpe: Tokenizer, text: str) -> None:
    trained = Tokenizer.train([text] * 50, vocab_size=500)
    for id in trained.encode(text):
        piece = trained.token(id).decode("utf-8", "replace")
        assert len(piece) == 1 or not any(c.isnumeric() for c in piece)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\ud800", "\ufffd"), ("a\udfffb", "a\ufffdb"), ("\ud83d\ude00", "\U0001f600")],
)
def test_lone_surrogates_are_replaced(bpe: Tokenizer, text: str, expected: str) -> None:
    assert bpe.decode(bpe.encode(text)) == expected
    Tokenizer.train([text, "abc"], vocab_size=264)


@pytest.mark.parametrize("vocab_size", [264, 265, 300, 377])
def test_any_vocabulary_size(vocab_size: int, texts: list[str]) -> None:
    tokenizer = Tokenizer.train(texts, vocab_size=vocab_size)
    assert tokenizer.vocab_size == vocab_size == len(tokenizer.token_num_bytes)
    assert tokenizer.token_num_bytes[:8] == [0] * 8 and min(tokenizer.token_num_bytes[8:]) == 1


def test_a_small_corpus_gives_a_smaller_vocabulary() -> None:
    assert Tokenizer.train(["ab"], vocab_size=5000).vocab_size == 265


def test_training_is_deterministic(bpe: Tokenizer, texts: list[str]) -> None:
    again = Tokenizer.train(texts * 4, vocab_size=400)
    assert again.fingerprint == bpe.fingerprint
    assert Tokenizer.train(texts, vocab_size=300).fingerprint != bpe.fingerprint


@pytest.mark.parametrize("kind", ["bpe", "characters"])
@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_an_empty_corpus_is_an_error(kind: str, texts: list[str]) -> None:
    with pytest.raises(UserError, match="no text"):
        Tokenizer.train(texts, vocab_size=300) if kind == "bpe" else Tokenizer.characters(texts)


def test_an_error_of_the_source_comes_through() -> None:
    def texts() -> Iterator[str]:
        yield "fine"
        raise UserError("the file broke off")

    with pytest.raises(UserError, match="broke off"):
        Tokenizer.train(texts(), vocab_size=300)


def test_config_builds_either_kind(texts: list[str]) -> None:
    assert Tokenizer.build(TokenizerConfig(vocab_size=270), texts).vocab_size == 270
    built = Tokenizer.build(TokenizerConfig(kind="characters", vocab_size=0), ["abba"])
    assert (built.kind, built.vocab_size) == ("characters", 10)
    with pytest.raises(UserError, match="263.*264"):
        TokenizerConfig(vocab_size=263)
    with pytest.raises(UserError, match="100.*264"):
        Tokenizer.train(texts, vocab_size=100)
    with pytest.raises(UserError, match="'words'"):
        TokenizerConfig(kind="words")  # type: ignore[arg-type]


def test_characters_are_those_of_the_text_in_order(letters: Tokenizer, texts: list[str]) -> None:
    alphabet = sorted(set("".join(texts)))
    assert [letters.token(8 + n).decode() for n in range(len(alphabet))] == alphabet
    assert letters.vocab_size == 8 + len(alphabet)
    text = "".join(texts)
    assert letters.decode(letters.encode(text)) == text
    assert letters.encode_bytes(text.encode()) == letters.encode(text)


def test_characters_fast_path_equals_the_library(letters: Tokenizer, texts: list[str]) -> None:
    for text in [*texts, *SPECIAL_TOKENS]:
        ids = letters._backend.encode(text, add_special_tokens=False).ids
        assert letters.encode(text) == ids == letters.encode_batch([text])[0]


def test_a_foreign_character_is_an_error_that_names_it(letters: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"'щ' \(U\+0449\)"):
        letters.encode("cat щ")
    with pytest.raises(UserError, match="raw bytes"):
        letters.encode_bytes(b"cat \xff")


@pytest.mark.parametrize("id", [-1, 400, 10**6])
def test_an_id_out_of_range_is_an_error(bpe: Tokenizer, id: int) -> None:
    with pytest.raises(UserError, match=f"{id} is outside the vocabulary of 400"):
        bpe.decode([id])


def test_decode_shows_special_tokens_on_demand(tokenizer: Tokenizer) -> None:
    ids = [0, *tokenizer.encode("cat"), 2]
    assert tokenizer.decode(ids) == "cat"
    assert tokenizer.decode(ids, skip_special=False) == "<|bos|>cat<|end|>"


def test_save_and_load(tokenizer: Tokenizer, tmp_path: Path, texts: list[str]) -> None:
    tokenizer.save(tmp_path / "new" / "folder")
    for where in (tmp_path / "new" / "folder", tmp_path / "new" / "folder" / "tokenizer.json"):
        loaded = Tokenizer.load(where)
        assert loaded.fingerprint == tokenizer.fingerprint and loaded.kind == tokenizer.kind
        assert loaded.token_num_bytes == tokenizer.token_num_bytes
        for text in texts:  # they contain markers, so the flag that guards them is set again
            assert loaded.encode(text) == tokenizer.encode(text)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == where.read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer at .*nowhere/tokenizer\.json"):
        Tokenizer.load(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_file_is_named(bpe_folder: Path, tmp_path: Path, keep: float) -> None:
    whole = (bpe_folder / "tokenizer.json").read_bytes()
    size = int(keep * len(whole)) if isinstance(keep, float) else keep
    (tmp_path / "tokenizer.json").write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged"):
        Tokenizer.load(tmp_path)


def test_bytes_that_are_not_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\x00\x80")
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged"):
        Tokenizer.load(tmp_path)


def test_without_our_special_tokens_it_is_a_tokenizer_from_elsewhere(
    bpe: Tokenizer, bpe_folder: Path, tmp_path: Path
) -> None:
    layout = json.loads((bpe_folder / "tokenizer.json").read_text())
    layout["added_tokens"] = []
    layout["model"]["vocab"] = {
        name.replace("|", "/"): id for name, id in layout["model"]["vocab"].items()
    }
    layout["model"]["merges"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(layout))
    other = Tokenizer.load(tmp_path)
    assert bpe.native and not other.native
    assert (other.bos_id, other.pad_id, other.end_id, other.prefix_ids) == (None, None, None, ())
    assert other.chat.name == "plain" and "no chat template" in other.chat.note


@settings(max_examples=20)
@given(st.lists(st.text(), max_size=8))
def test_batch_equals_one_by_one(bpe: Tokenizer, texts: list[str]) -> None:
    assert bpe.encode_batch(texts) == [bpe.encode(text) for text in texts]
