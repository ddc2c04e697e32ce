"""SentencePiece models and llama2.c's file: the same ids as the programs that they come from."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.tokenizer import StreamDecoder, Tokenizer
from nanohydra.tokenizer.llama2c import read_tokenizer
from tests.tokenizer.foreign import TEXTS, load_both

library = pytest.importorskip("sentencepiece")

WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "weights"
MODELS: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "split_digits": True, "vocab_size": 500,
    },
    "gemma": {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "add_dummy_prefix": False, "vocab_size": 500,
        "user_defined_symbols": ["<start_of_turn>", "<table>"],
    },
    "bpe without bytes": {
        "model_type": "bpe", "vocab_size": 200, "normalization_rule_name": "nfkc",
    },
    "unigram": {
        "model_type": "unigram", "vocab_size": 180, "normalization_rule_name": "identity",
    },
    "unigram with bytes": {
        "model_type": "unigram", "vocab_size": 400, "byte_fallback": True,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "pad_id": 3,
    },
    "characters": {"model_type": "char", "vocab_size": 60, "normalization_rule_name": "identity"},
}  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("eat .,'  0123é🎉"))
MODEL = pytest.mark.parametrize("name", MODELS)


@cache
def trained(name: str) -> tuple[Tokenizer, Any]:
    folder = Path(mkdtemp())
    library.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in TEXTS for line in text.split("\n")]),
        model_prefix=str(folder / "tokenizer"), hard_vocab_limit=False, minloglevel=2,
        num_threads=1, **MODELS[name],
    )  # fmt: skip
    original = library.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return Tokenizer.load(folder), original


@MODEL
@settings(deadline=None)
@given(TEXT)
@example("")
@example("   the  cat  ")
@example("敏捷 🎉👩‍🚀 aaaa")
def test_ids_equal_sentencepiece(name: str, text: str) -> None:
    tokenizer, original = trained(name)
    if any(original.id_to_piece(id) in text for id in range(4)) or "\u2581" in text:
        return
    ids = original.encode(text)
    assert tokenizer.encode(text) == ids
    if tokenizer.token_id("<0x00>") is not None:
        assert tokenizer.decode(ids) == original.decode(ids)


@MODEL
def test_named_ids_and_files(name: str, tmp_path: Path) -> None:
    tokenizer, original = trained(name)
    assert (tokenizer.bos_id, tokenizer.end_id) == (original.bos_id(), original.eos_id())
    assert tokenizer.pad_id == (original.pad_id() if original.pad_id() >= 0 else None)
    assert tokenizer.vocab_size == original.vocab_size()
    assert tokenizer.prefix_ids == (original.bos_id(),)
    tokenizer.save(tmp_path)
    again, other = load_both(tmp_path)
    for text in TEXTS:
        ids = original.encode(text)
        assert again.encode(text) == ids
        assert other(text)["input_ids"] == [original.bos_id(), *ids]


def test_streams_hold_bytes_back() -> None:
    tokenizer, _ = trained("llama")
    ids = tokenizer.encode("ok 🦜!")
    decoder = StreamDecoder(tokenizer)
    shown = [decoder.push(id) for id in ids]
    assert "".join(shown) == "ok 🦜!" and not any("\ufffd" in piece for piece in shown)


def test_raw_bytes_survive() -> None:
    tokenizer, _ = trained("llama")
    data = b"the \xff\x80 cat"
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)).replace(b"  ", b" ") == data
    with pytest.raises(UserError, match="cannot hold the raw bytes"):
        trained("unigram")[0].encode_bytes(b"\xff")


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x0a\x05\x0a\x09abc", b"not a model"])
def test_damage_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(UserError, match=r"tokenizer\.model"):
        Tokenizer.load(tmp_path)


def test_a_model_of_whole_words_is_refused(tmp_path: Path) -> None:
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(tmp_path / "tokenizer"), minloglevel=2,
        model_type="word", vocab_size=20, hard_vocab_limit=False,
    )  # fmt: skip
    with pytest.raises(UserError, match="whole words"):
        Tokenizer.load(tmp_path)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no {WEIGHTS}")
def test_a_published_model() -> None:
    path = WEIGHTS / "babyllama_tok105" / "tok105.model"
    tokenizer, original = Tokenizer.load(path), library.SentencePieceProcessor(model_file=str(path))
    assert tokenizer.vocab_size == 105
    for text in (*TEXTS, 'Once upon a time, there was a girl. She said: "Hi!"'):
        assert tokenizer.encode(text) == original.encode(text)


def write_bin(path: Path, original: Any) -> Path:
    """A tokenizer.bin as llama2.c exports it."""
    size = original.vocab_size()
    pieces = [original.id_to_piece(id).replace("\u2581", " ") for id in range(size)]
    pieces[1], pieces[2] = "\n<s>\n", "\n</s>\n"
    data = struct.pack("<I", max(len(piece.encode()) for piece in pieces))
    for id, piece in enumerate(pieces):
        data += struct.pack("<fi", original.get_score(id), len(piece.encode())) + piece.encode()
    path.write_bytes(data)
    return path


@settings(deadline=None)
@given(TEXT)
def test_llama2c_equals_the_model_that_it_was_exported_from(text: str) -> None:
    exported, original = bin_of_llama()
    if "\u2581" not in text and not any(original.id_to_piece(id) in text for id in range(3)):
        assert exported.encode(text) == original.encode(text)


@cache
def bin_of_llama() -> tuple[Tokenizer, Any]:
    _, original = trained("llama")
    return read_tokenizer(write_bin(Path(mkdtemp()) / "tokenizer.bin", original)), original


def test_llama2c_is_saved_as_a_standard_file(tmp_path: Path) -> None:
    exported, original = bin_of_llama()
    exported.save(tmp_path)
    again, other = load_both(tmp_path)
    assert (again.bos_id, again.end_id) == (1, 2)
    for text in TEXTS:
        assert again.encode(text) == original.encode(text)
        assert other(text)["input_ids"] == [1, *original.encode(text)]


@pytest.mark.parametrize("cut", [0, 3, 11, 200])
def test_a_truncated_file_of_llama2c_is_named(cut: int, tmp_path: Path) -> None:
    path = write_bin(tmp_path / "tokenizer.bin", trained("llama")[1])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"tokenizer\.bin is damaged"):
        read_tokenizer(path)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no {WEIGHTS}")
def test_the_published_file_of_llama2c() -> None:
    tokenizer = read_tokenizer(WEIGHTS / "stories260K" / "tok512.bin")
    assert tokenizer.vocab_size == 512 and tokenizer.prefix_ids == (1,)
    text = "Once upon a time, there was a little girl named Lily."
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and len(ids) < len(text) / 2
