"""Finding and unpacking files: odd inputs end in text, a count or a UserError, never silence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from nanohydra.core.errors import UserError
from nanohydra.data.reading import find_files, open_text, plain_suffix, repair


def read(path: Path) -> str:
    with open_text(path) as stream:
        return stream.read()


@pytest.mark.parametrize("pack", [None, gzip.compress, zstandard.ZstdCompressor().compress])
def test_compression_is_transparent(tmp_path, pack):
    text = "héllo\n" * 200_000
    suffix = {None: "", gzip.compress: ".gz"}.get(pack, ".zst")
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(pack(text.encode()) if pack else text.encode())
    assert read(path) == text
    assert plain_suffix(path) == ".txt"


def test_a_zst_file_of_several_frames_is_read_to_its_end(tmp_path):
    compress = zstandard.ZstdCompressor().compress
    path = tmp_path / "a.zst"
    path.write_bytes(compress(b"one ") + compress(b"") + compress(b"two"))
    assert read(path) == "one two"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damage_names_the_file(tmp_path, suffix):
    pack = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
    good = pack(bytes(range(256)) * 3000 + b"some words " * 9000)
    path = tmp_path / f"a{suffix}"
    for data in (good[: len(good) // 2], good[:-1], b"no archive at all"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"a{suffix} is damaged or cut short"):
            read(path)
    path.write_bytes(b"")
    assert read(path) == ""


def test_utf16_is_refused_and_a_mark_dropped(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("hello".encode("utf-16"))
    with pytest.raises(UserError, match="is UTF-16"):
        read(path)
    path.write_bytes(b"\xef\xbb\xbfhello\r\nyou")
    assert read(path) == "hello\nyou"


def test_repair_counts_invalid_places():
    assert repair("plain") == ("plain", 0)
    assert repair("\ufeffa\r\nb\rc") == ("a\nb\nc", 0)
    assert repair(b"a\xffb\xfe\xfd".decode("utf-8", "surrogateescape")) == (
        "a\ufffdb\ufffd\ufffd",
        3,
    )
    assert repair("é \ud83d") == ("é \ufffd", 1)


def test_files_of_a_folder_a_glob_and_a_name(tmp_path):
    for name in ("b.txt", "a.txt.gz", "c.csv", "deep/d.TXT", ".hidden.txt", ".git/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(path: object) -> list[str]:
        return [str(f.relative_to(tmp_path)) for f in find_files(str(path), (".txt",))]

    assert names(tmp_path) == ["a.txt.gz", "b.txt", "deep/d.TXT"]
    assert names(tmp_path / "*.csv") == ["c.csv"]
    assert names(tmp_path / "**" / "*.TXT") == ["deep/d.TXT"]
    assert names(tmp_path / "c.csv") == ["c.csv"]


def test_nothing_found_is_an_error(tmp_path):
    (tmp_path / "a.bin").touch()
    with pytest.raises(UserError, match=r"no file ending in \.txt .*holds 1 others"):
        find_files(str(tmp_path), (".txt",))
    with pytest.raises(UserError, match=r"no file matches .*\*\.txt"):
        find_files(str(tmp_path / "*.txt"))
    with pytest.raises(UserError, match="has no path"):
        find_files("")


def test_a_file_that_may_not_be_read_is_an_error(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path)
