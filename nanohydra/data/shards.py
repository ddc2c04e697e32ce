"""Tokenised records on disk, read memory-mapped; checked for damage and for their tokenizer.

A folder holds `manifest.json` and, for each shard, three little-endian files: `.tokens` (uint16 or
uint32 by the size of the vocabulary), `.mask` (one bit per token, 1 = carries loss) and `.offsets`
(int64, where each record begins, and the end). Knows ids only, no text and no tokenizer but its
fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, sha256

FORMAT = "nanohydra-shards"
VERSION = 1
SUFFIXES = ("tokens", "mask", "offsets")

Ids = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """One shard, mapped. `first` is the number of its first record in the folder."""

    name: str
    first: int
    plain: bool
    tokens: Ids
    mask: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def piece(self, record: int, start: int, stop: int) -> tuple[Ids, Mask]:
        begin = int(self.offsets[record - self.first])
        ids = self.tokens[begin + start : begin + stop]
        if self.plain:
            mask = np.ones(stop - start, bool)
            mask[: max(1 - start, 0)] = False
            return ids, mask
        low = (begin + start) // 8
        bits = np.unpackbits(self.mask[low : (begin + stop + 7) // 8], bitorder="little")
        skip = begin + start - 8 * low
        return ids, bits[skip : skip + stop - start].view(bool)


class Shards:
    """The records of a folder: `len(shards)`, and `shards[i]` gives ids and loss mask.

    fingerprint: of the tokenizer that the ids must come from, None = any.
    Opening checks the sizes of all files; `verify` checks every byte. Both raise UserError naming
    the file.
    """

    def __init__(self, folder: Path | str, *, fingerprint: str | None = None) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder / "manifest.json")
        manifest = self.manifest
        try:
            self._open(manifest, fingerprint)
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.folder / 'manifest.json'} is damaged: {error!r}") from error

    def _open(self, manifest: Mapping[str, Any], fingerprint: str | None) -> None:
        self.vocab_size: int = manifest["vocab_size"]
        self.pad_id: int = manifest["pad_id"]
        self.fingerprint: str = manifest["tokenizer"]
        self.num_tokens: int = manifest["num_tokens"]
        self.num_targets: int = manifest["num_targets"]
        if fingerprint is not None and fingerprint != self.fingerprint:
            raise UserError(
                f"{self.folder} was made with another tokenizer ({self.fingerprint[:12]}, not "
                f"{fingerprint[:12]}); prepare the data again with this one"
            )
        self._shards: list[_Shard] = []
        first = 0
        for entry in manifest["shards"]:
            self._shards.append(self._map(entry, first))
            first += entry["num_records"]
        if first != manifest["num_records"]:
            raise UserError(f"{self.folder / 'manifest.json'} counts its records wrongly")
        self._firsts = np.array([shard.first for shard in self._shards])
        steps = [np.diff(shard.offsets) for shard in self._shards]
        self.lengths: NDArray[np.int64] = np.concatenate(steps) if steps else np.zeros(0, np.int64)
        if first and int(self.lengths.min()) < 1:
            raise UserError(f"the offsets of {self.folder} are corrupt; prepare the data again")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, record: int) -> tuple[Ids, Mask]:
        if not 0 <= record < len(self):
            raise IndexError(record)
        return self.piece(record, 0, int(self.lengths[record]))

    @property
    def digest(self) -> str:
        """A hash of all checksums: equal for equal records."""
        return sha256(repr([entry["sha256"] for entry in self.manifest["shards"]]).encode())

    def piece(self, record: int, start: int, stop: int) -> tuple[Ids, Mask]:
        """Ids and mask of the tokens start..stop of a record; the ids are a view of the file."""
        return self._shard(record).piece(record, start, stop)

    def has_target(self, record: int, start: int, stop: int) -> bool:
        """Whether a token after the first of this piece carries loss."""
        shard = self._shard(record)
        if shard.plain:
            return stop - start > 1
        return bool(shard.piece(record, start + 1, stop)[1].any())

    def last_target(self, record: int, stop: int) -> int:
        """Where the last token that carries loss lies before `stop`, or -1."""
        places = np.flatnonzero(self.piece(record, 0, stop)[1])
        return int(places[-1]) if len(places) else -1

    def verify(self) -> None:
        """Check every file against its checksum. Raises UserError naming a file that differs."""
        for entry in self.manifest["shards"]:
            for suffix in SUFFIXES:
                path = self.folder / f"{entry['name']}.{suffix}"
                if sha256(path) != entry["sha256"][suffix]:
                    raise UserError(
                        f"{path} is corrupt: its checksum differs from the manifest; "
                        "fetch it again or prepare the data again"
                    )

    def _shard(self, record: int) -> _Shard:
        if len(self._shards) == 1:
            return self._shards[0]
        return self._shards[int(np.searchsorted(self._firsts, record, "right")) - 1]

    def _map(self, entry: Mapping[str, Any], first: int) -> _Shard:
        count, records = entry["num_tokens"], entry["num_records"]
        stem = self.folder / entry["name"]
        offsets = _map_file(stem.with_suffix(".offsets"), np.dtype("<i8"), records + 1)
        if offsets[0] != 0 or offsets[-1] != count:
            raise UserError(f"{stem}.offsets is corrupt; prepare the data again")
        return _Shard(
            name=entry["name"],
            first=first,
            plain=entry["plain"],
            tokens=_map_file(stem.with_suffix(".tokens"), token_dtype(self.vocab_size), count),
            mask=_map_file(stem.with_suffix(".mask"), np.dtype("u1"), (count + 7) // 8),
            offsets=offsets,
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path.parent} holds no shards: there is no {path.name} in it")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path} is not a manifest of shards")
    if manifest["version"] != VERSION:
        raise UserError(
            f"{path} has format version {manifest['version']}; this program reads {VERSION}"
        )
    return manifest


def _map_file(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """The file as a read-only array. Raises UserError if it has not exactly `count` items."""
    if not path.exists():
        raise UserError(f"{path} is missing; fetch it again or prepare the data again")
    size, expected = path.stat().st_size, count * dtype.itemsize
    if size != expected:
        what = "cut short" if size < expected else "too long"
        raise UserError(f"{path} is {what}: {size} bytes, {expected} by the manifest")
    if not count:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r"))  # plain arrays slice faster than memmaps
