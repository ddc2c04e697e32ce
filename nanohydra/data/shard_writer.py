"""Writes tokenised records to a folder of shards, which appears whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, write_json
from nanohydra.data.shards import FORMAT, SUFFIXES, VERSION, token_dtype

TOKENS_PER_SHARD = 1 << 28
_FLUSH_RECORDS = 1 << 14


class ShardWriter:
    """Writes records to a folder, which appears whole when the context ends without an error.

    vocab_size, pad_id, fingerprint: of the tokenizer that made the ids.
    extra: more for the manifest; may be filled until the context ends.
    """

    def __init__(
        self,
        folder: Path,
        *,
        vocab_size: int,
        fingerprint: str,
        pad_id: int = 0,
        tokens_per_shard: int = TOKENS_PER_SHARD,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.vocab_size = vocab_size
        self.extra: dict[str, Any] = dict(extra or {})
        self.num_records = 0
        self.num_tokens = 0
        self.num_targets = 0
        self._header = {
            "format": FORMAT,
            "version": VERSION,
            "dtype": token_dtype(vocab_size).name,
            "vocab_size": vocab_size,
            "pad_id": pad_id,
            "tokenizer": fingerprint,
        }
        self._tokens_per_shard = tokens_per_shard
        self._shards: list[dict[str, Any]] = []
        self._open: _OpenShard | None = None
        self._context = ExitStack()

    def __enter__(self) -> ShardWriter:
        self._temporary = self._context.enter_context(atomic_path(self.folder))
        self._temporary.mkdir()
        return self

    def add(self, ids: Sequence[int], mask: Sequence[bool]) -> None:
        """Append one record. Raises UserError if an id is outside the vocabulary."""
        assert len(ids) == len(mask) > 0, (len(ids), len(mask))
        if max(ids) >= self.vocab_size or min(ids) < 0:
            raise UserError(f"token ids {min(ids)}..{max(ids)} exceed {self.vocab_size} ids")
        if self._open is None:
            dtype = token_dtype(self.vocab_size)
            self._open = _OpenShard(self._temporary / f"{len(self._shards):05d}", dtype)
        self._open.add(ids, mask)
        self.num_records += 1
        self.num_tokens += len(ids)
        self.num_targets += sum(mask[1:])  # nothing predicts the first token
        if self._open.num_tokens >= self._tokens_per_shard:
            self._shards.append(self._open.close())
            self._open = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            if self._open is not None:
                self._open.abandon()
            self._context.__exit__(kind, error, trace)
            return
        with self._context:
            self._finish()

    def _finish(self) -> None:
        if self._open is not None:
            self._shards.append(self._open.close())
            self._open = None
        totals = {
            "num_records": self.num_records,
            "num_tokens": self.num_tokens,
            "num_targets": self.num_targets,
        }
        manifest = {**self._header, **totals, "shards": self._shards, **self.extra}
        write_json(self._temporary / "manifest.json", manifest)


class _OpenShard:
    """The three files of the shard being written. Bits of the mask join up across records."""

    def __init__(self, stem: Path, dtype: np.dtype[Any]) -> None:
        self.stem = stem
        self.dtype = dtype
        self.num_tokens = 0
        self.plain = True  # all masks are [False, True, True, ...], as for documents
        self.offsets = [0]
        self._ids: list[int] = []
        self._mask: list[bool] = []
        self._since_flush = 0
        self._files = {s: _HashedFile(stem.with_suffix(f".{s}")) for s in SUFFIXES}

    def add(self, ids: Sequence[int], mask: Sequence[bool]) -> None:
        self._ids += ids
        self._mask += mask
        self.num_tokens += len(ids)
        self.offsets.append(self.num_tokens)
        self.plain = self.plain and not mask[0] and all(mask[1:])
        self._since_flush += 1
        if self._since_flush >= _FLUSH_RECORDS or len(self._ids) >= 1 << 20:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        self._files["tokens"].write(np.asarray(self._ids, self.dtype))
        whole = len(self._mask) if last else len(self._mask) // 8 * 8
        bits = np.packbits(np.asarray(self._mask[:whole], bool), bitorder="little")
        self._files["mask"].write(bits)
        self._ids, self._mask, self._since_flush = [], self._mask[whole:], 0

    def abandon(self) -> None:
        """Close the files, whatever is in them."""
        for file in self._files.values():
            file.close()

    def close(self) -> dict[str, Any]:
        """Finish the files; their entry for the manifest."""
        self._flush(last=True)
        self._files["offsets"].write(np.asarray(self.offsets, "<i8"))
        return {
            "name": self.stem.name,
            "num_records": len(self.offsets) - 1,
            "num_tokens": self.num_tokens,
            "plain": self.plain,
            "sha256": {suffix: file.close() for suffix, file in self._files.items()},
        }


class _HashedFile:
    """A file whose SHA-256 is computed on the way out."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()

    def write(self, array: NDArray[Any]) -> None:
        data = array.tobytes()
        self._file.write(data)
        self._hash.update(data)

    def close(self) -> str:
        self._file.close()
        return self._hash.hexdigest()
