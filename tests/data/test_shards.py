"""Shards: what was written is read; damage and foreign tokenizers are refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.data import Shards, ShardWriter


def write(folder: Path, records, *, vocab_size=300, tokens_per_shard=1 << 20) -> Shards:
    with ShardWriter(
        folder,
        vocab_size=vocab_size,
        fingerprint="abc",
        pad_id=1,
        tokens_per_shard=tokens_per_shard,
    ) as writer:
        for ids, mask in records:
            writer.add(ids, mask)
    return Shards(folder)


RECORDS = st.lists(
    st.lists(st.tuples(st.integers(0, 299), st.booleans()), min_size=1, max_size=30), max_size=20
)


@settings(max_examples=20, deadline=None)
@given(records=RECORDS, plain=st.booleans(), vocab=st.sampled_from([300, 1 << 17]))
def test_reads_what_was_written(tmp_path_factory, records, plain, vocab):
    pairs = [([i for i, _ in r], [m for _, m in r]) for r in records]
    if plain:
        pairs = [(ids, [False, *[True] * (len(ids) - 1)]) for ids, _ in pairs]
    folder = tmp_path_factory.mktemp("made") / "x"
    shards = write(folder, pairs, vocab_size=vocab, tokens_per_shard=40)
    assert len(shards) == len(pairs)
    assert shards.num_tokens == sum(len(ids) for ids, _ in pairs) == shards.lengths.sum()
    assert shards.num_targets == sum(sum(mask[1:]) for _, mask in pairs)
    for number, (ids, mask) in enumerate(pairs):
        got_ids, got_mask = shards[number]
        assert got_ids.dtype == (np.uint16 if vocab == 300 else np.uint32)
        assert got_ids.tolist() == ids and got_mask.tolist() == mask
        assert got_mask.dtype == bool
        middle = len(ids) // 2
        assert shards.piece(number, middle, len(ids))[1].tolist() == mask[middle:]
        assert shards.has_target(number, middle, len(ids)) == any(mask[middle + 1 :])
        last = max((i for i, m in enumerate(mask) if m), default=-1)
        assert shards.last_target(number, len(ids)) == last
    shards.verify()
    with pytest.raises(IndexError):
        shards[len(pairs)]


def test_equal_records_have_equal_digests(tmp_path):
    one = write(tmp_path / "a", [([1, 2], [False, True])])
    two = write(tmp_path / "b", [([1, 2], [False, True])])
    three = write(tmp_path / "c", [([1, 3], [False, True])])
    assert one.digest == two.digest != three.digest


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match=r"token ids 5\.\.300 exceed 300 ids"):
        write(tmp_path / "x", [([1], [True]), ([5, 300], [False, True])])
    with pytest.raises(KeyError), ShardWriter(tmp_path / "x", vocab_size=9, fingerprint="") as w:
        w.add([1], [True])
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path) -> Path:
    records = [(list(range(n)), [False, *[True] * (n - 1)]) for n in (100, 50, 80)]
    write(tmp_path / "x", records, tokens_per_shard=120)
    return tmp_path / "x"


@pytest.mark.parametrize("suffix", ["tokens", "mask", "offsets"])
def test_a_truncated_grown_or_missing_file_is_refused_at_open(folder, suffix):
    file = folder / f"00001.{suffix}"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(UserError, match=rf"00001\.{suffix} is cut short"):
        Shards(folder)
    file.write_bytes(data + b"\0")
    with pytest.raises(UserError, match=rf"00001\.{suffix} is too long"):
        Shards(folder)
    file.unlink()
    with pytest.raises(UserError, match=rf"00001\.{suffix} is missing"):
        Shards(folder)


@pytest.mark.parametrize("suffix", ["tokens", "mask"])
def test_a_flipped_bit_is_found_by_verify(folder, suffix):
    file = folder / f"00000.{suffix}"
    data = bytearray(file.read_bytes())
    data[3] ^= 4
    file.write_bytes(bytes(data))
    shards = Shards(folder)
    with pytest.raises(UserError, match=rf"00000\.{suffix} is corrupt"):
        shards.verify()


def test_corrupt_offsets_are_refused_at_open(folder):
    file = folder / "00000.offsets"
    offsets = np.fromfile(file, "<i8")
    for place, value in ((0, 1), (-1, 10**9), (1, 10**6)):
        bad = offsets.copy()
        bad[place] = value
        bad.tofile(file)
        with pytest.raises(UserError, match="offsets"):
            Shards(folder)


def test_another_tokenizer_is_refused(folder):
    Shards(folder, fingerprint="abc")
    with pytest.raises(UserError, match=rf"{folder} was made with another tokenizer"):
        Shards(folder, fingerprint="xyz")


def test_a_folder_that_holds_no_shards_is_refused(folder):
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    for text, what in (
        ('{"format"', "cannot read"),
        ("[]", "is not a manifest"),
        (json.dumps({**content, "version": 2}), "format version 2"),
        (json.dumps({k: v for k, v in content.items() if k != "vocab_size"}), "damaged"),
        (json.dumps({**content, "num_records": 99}), "counts its records wrongly"),
    ):
        manifest.write_text(text)
        with pytest.raises(UserError, match=what):
            Shards(folder)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="holds no shards"):
        Shards(folder)
