"""Tokenizers from elsewhere: ids and text as in transformers, whatever their kind."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers
from tokenizers.processors import TemplateProcessing

from nanohydra.tokenizer import StreamDecoder, Tokenizer
from tests.tokenizer.foreign import KINDS, TEXTS, byte_level, load_both, unigram, write

pytest.importorskip("transformers")

TEXT = st.text(
    st.characters(exclude_categories=("Cs",)) | st.sampled_from("eat .,'\n\t 0123é敏🎉▁<|>")
)
GPT2 = Path(__file__).parents[3] / "shared" / "data" / "weights" / "gpt2_tokenizer"
MARKERS = ("<|im_end|>", "<s>", "</s>", "<unk>", "[CLS]")
KIND = pytest.mark.parametrize("kind", KINDS)


@cache
def pair(kind: str) -> tuple[Tokenizer, Any]:
    return load_both(write(Path(mkdtemp()), KINDS[kind]()))


@KIND
@settings(deadline=None)
@given(TEXT)
@example("")
@example(" ")
@example("  two  spaces ")
@example("\n\nnew\n lines\r\n")
@example("👩‍🚀 3.14159 2026")
def test_ids_and_text_equal_transformers(kind: str, text: str) -> None:
    tokenizer, other = pair(kind)
    if any(marker in text for marker in other.all_special_tokens):
        return
    ids = tokenizer.encode(text)
    assert ids == other(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.encode_batch([text, text]) == [ids, ids]
    spanned, spans = tokenizer.encode_spans(text)
    assert spanned == ids and len(spans) == len(ids)
    assert tokenizer.decode(ids) == other.decode(ids, skip_special_tokens=True)


@KIND
@given(data=st.data())
@settings(deadline=None)
def test_any_ids_stream_to_the_text_that_they_are(kind: str, data: st.DataObject) -> None:
    tokenizer, other = pair(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12))
    decoder = StreamDecoder(tokenizer)
    text = "".join([*map(decoder.push, ids), decoder.flush()])
    assert text == tokenizer.decode(ids)
    expected = other.decode(ids, skip_special_tokens=True)
    if "\ufffd" not in expected:
        assert text == expected


@KIND
@given(TEXT)
@settings(deadline=None, max_examples=40)
def test_nothing_is_half_a_character(kind: str, text: str) -> None:
    tokenizer, _ = pair(kind)
    if "\ufffd" in text or any(marker in text for marker in MARKERS):
        return
    ids = tokenizer.encode(text)
    decoder = StreamDecoder(tokenizer)
    shown = [*map(decoder.push, ids), decoder.flush()]
    if kind.startswith("byte"):  # others have an unknown token for what they lack
        assert not any("\ufffd" in piece for piece in shown)
        assert "".join(shown) == text
        assert tokenizer.decode_bytes(ids, continues=True).endswith(text.encode())


@KIND
def test_a_typed_marker_is_text(kind: str) -> None:
    tokenizer, other = pair(kind)
    for marker in [m for m in other.all_special_tokens if m in MARKERS and m != "<unk>"]:
        for text in (marker, f"the cat{marker}sat", f"{marker}{marker} x", f" {marker}"):
            ids = tokenizer.encode(text)
            assert tokenizer.token_id(marker) not in ids
            assert tokenizer.encode_batch([text]) == [ids]
            if kind.startswith("byte"):
                assert tokenizer.decode(ids) == text


def test_normalization_makes_no_marker(tmp_path: Path) -> None:
    backend = byte_level(["<s>", "</s>"])
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.add_special_tokens([AddedToken("<end>", special=True, normalized=True)])
    tokenizer, other = load_both(write(tmp_path, backend))
    end = tokenizer.token_id("<end>")
    for text in ("＜end＞", "<END>", "a<End>b"):
        assert end in other(text)["input_ids"]
        assert end not in tokenizer.encode(text)


def test_a_vocabulary_that_holds_its_markers_gives_none(tmp_path: Path) -> None:
    tokenizer, _ = load_both(write(tmp_path, unigram(["<|im_end|>"])))
    ids = tokenizer.encode("the </s> cat <s>")
    assert not {tokenizer.token_id("<s>"), tokenizer.token_id("</s>")} & set(ids)


@KIND
def test_numbers_and_names(kind: str, tmp_path: Path) -> None:
    tokenizer, other = pair(kind)
    assert tokenizer.vocab_size == len(other) == len(tokenizer.token_num_bytes)
    assert tokenizer.kind in ("bpe", "unigram", "wordpiece") and not tokenizer.native
    end = tokenizer.token_id("<|im_end|>")
    assert tokenizer.is_special(end) and tokenizer.token_num_bytes[end] == 0
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint


def test_fingerprints_tell_splitting_apart(tmp_path: Path) -> None:
    backend = byte_level(["<s>"])
    one = Tokenizer.load(write(tmp_path / "one", backend))
    backend.normalizer = normalizers.NFC()
    assert Tokenizer.load(write(tmp_path / "two", backend)).fingerprint != one.fingerprint


@pytest.mark.parametrize("adds", [None, True, False])
@pytest.mark.parametrize("processed", [True, False])
def test_what_begins_a_text(adds: bool | None, processed: bool, tmp_path: Path) -> None:
    backend = KINDS["metaspace"]()
    if processed:
        begin = TemplateProcessing(single=["<s>", "$A"], special_tokens=[("<s>", 1)])
        backend.post_processor = begin
    end = {"__type": "AddedToken", "content": "</s>"}
    config: dict[str, Any] = {"bos_token": "<s>", "eos_token": end}
    if adds is not None:
        config["add_bos_token"] = adds
    tokenizer, other = load_both(write(tmp_path, backend, config))
    assert (tokenizer.bos_id, tokenizer.end_id, tokenizer.pad_id) == (1, 2, None)
    assert tokenizer.prefix_ids == ((1,) if processed else ())
    assert tokenizer.start_id == 1
    assert [*tokenizer.prefix_ids, *tokenizer.encode("the cat")] == other("the cat")["input_ids"]


def test_tokens_listed_beside_the_file_count(tmp_path: Path) -> None:
    backend = byte_level(["<s>"])
    size = backend.get_vocab_size()
    listed = {str(size): {"content": "<|late|>", "special": True, "normalized": False}}
    tokenizer, other = load_both(
        write(tmp_path, backend, {"added_tokens_decoder": listed, "eos_token": "<|late|>"})
    )
    assert tokenizer.end_id == other.eos_token_id == size
    assert size not in tokenizer.encode("<|late|>") and tokenizer.vocab_size == size + 1


def test_what_is_saved_is_what_was_read(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 99,
        "own": [1],
    }
    source = write(tmp_path / "source", KINDS["byte level"](), config)
    (source / "special_tokens_map.json").write_text('{"pad_token": "<|im_end|>"}')
    (source / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "rag.jinja").write_text("x")
    tokenizer = Tokenizer.load(source)
    tokenizer.save(tmp_path / "copy")
    names = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()}
    assert names == {
        str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*") if p.is_file()
    }
    for name in names:
        texts = [(folder / name).read_text() for folder in (source, tmp_path / "copy")]
        if name.endswith(".json"):
            assert json.loads(texts[0]) == json.loads(texts[1])
        else:
            assert texts[0] == texts[1]
    again = Tokenizer.load(tmp_path / "copy")
    assert again.pad_id == tokenizer.token_id("<|im_end|>") == tokenizer.pad_id
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


@pytest.mark.skipif(not GPT2.is_dir(), reason=f"no {GPT2}")
def test_the_two_files_of_gpt2(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        data = gzip.decompress((GPT2 / f"gpt2_{name}.gz").read_bytes())
        (tmp_path / "source" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_bytes(data)
    tokenizer = Tokenizer.load(tmp_path / "source")
    assert tokenizer.vocab_size == 50257
    assert (tokenizer.bos_id, tokenizer.end_id, tokenizer.prefix_ids) == (50256, 50256, ())
    assert tokenizer.encode("Hello world, don't!") == [15496, 995, 11, 836, 470, 0]
    tokenizer.save(tmp_path / "copy")
    again, other = load_both(tmp_path / "copy")
    for text in TEXTS:
        assert again.encode(text) == tokenizer.encode(text) == other(text)["input_ids"]
