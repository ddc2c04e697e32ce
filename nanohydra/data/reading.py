"""Files to lines of text: finds the files, unpacks .gz and .zst, and lets no damage pass unseen.

Invalid UTF-8 arrives as lone surrogates (PEP 383), which `repair` turns into U+FFFD and counts.
Knows nothing of rows, records or formats.
"""

from __future__ import annotations

import glob
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from nanohydra.core.errors import UserError

COMPRESSED = (".gz", ".zst")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CHUNK = 1 << 20


def plain_suffix(path: Path) -> str:
    """The suffix without .gz or .zst, in lower case: `a.jsonl.gz` gives `.jsonl`."""
    path = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return path.suffix.lower()


def find_files(path: str, suffixes: Sequence[str] | None = None) -> list[Path]:
    """The files behind a path that is a file, a folder or a glob, in sorted order.

    A folder gives the files in it, at any depth, that end in one of `suffixes` (None = any),
    compressed or not, without hidden ones. Raises UserError if there are none.
    """
    whole = Path(path).expanduser()
    if not path:
        raise UserError("the source has no path; give a file, a folder or a glob")
    if whole.is_file():
        return [whole]
    if whole.is_dir():
        files = [f for f in sorted(whole.rglob("*")) if f.is_file() and not _hidden(f, whole)]
        found = [f for f in files if suffixes is None or plain_suffix(f) in suffixes]
        if not found:
            wanted = " or ".join(suffixes or ()) or "any name"
            raise UserError(
                f"folder {path} has no file ending in {wanted} (also .gz, .zst); "
                f"it holds {len(files)} others"
            )
        return found
    found = [Path(name) for name in sorted(glob.glob(str(whole), recursive=True))]
    found = [file for file in found if file.is_file()]
    if not found:
        raise UserError(f"no file matches {path}")
    return found


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """The unpacked bytes of a file. Raises UserError naming it if it is missing or damaged."""
    try:
        suffix = path.suffix.lower()
        if suffix == ".gz":
            with gzip.GzipFile(path, "rb") as packed, io.BufferedReader(packed, _CHUNK) as stream:
                yield stream
        elif suffix == ".zst":
            with path.open("rb") as raw, io.BufferedReader(_Zstd(raw), _CHUNK) as stream:
                yield stream
        else:
            with path.open("rb") as raw:
                yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged or cut short: {error}; fetch it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The text of a file as UTF-8 without its byte-order mark; see `open_bytes`.

    newline: as in `open`; None turns every line end into "\\n".
    """
    with open_bytes(path) as raw:
        if raw.peek(2)[:2] in _UTF16_MARKS:
            raise UserError(f"{path} is UTF-16; convert it to UTF-8 first (iconv -f UTF-16)")
        text = io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline=newline)
        try:
            yield text
        finally:
            text.detach()


def repair(text: str) -> tuple[str, int]:
    """The text as valid Unicode with "\\n" line ends, and how many places were invalid.

    Each invalid byte or lone surrogate becomes U+FFFD; a byte-order mark at the start goes.
    """
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text, 0
    return _SURROGATE.subn("\ufffd", text)


class _Zstd(io.RawIOBase):
    """Unpacked bytes of a Zstandard file of one or more frames.

    The library's own reader takes a file that is cut short for a complete one; this one does not.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        try:
            import zstandard
        except ImportError:
            raise UserError("reading .zst needs the package zstandard; pip install it") from None
        self._packed = packed
        self._library = zstandard
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")  # a view, because cutting bytes copies what is left
        self._inside = False  # between a frame's first byte and its last

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `target` from the start; 0 at the end. Raises EOFError in the middle of a frame."""
        while not self._ready:
            rest: bytes = self._frame.unused_data if self._frame.eof else b""
            packed = rest or self._packed.read(1 << 16)
            if not packed:
                if self._inside:
                    raise EOFError("the last Zstandard frame has no end")
                return 0
            if self._frame.eof:
                self._frame = self._library.ZstdDecompressor().decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(packed))
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from error
            self._inside = not self._frame.eof
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
