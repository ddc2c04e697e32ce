"""Sources to shards: read, clean, hold out, tokenise and write, with an account of every record.

The folder that comes out holds `train/NAME` and `valid/NAME`, each a folder of shards, and
`report.json`; it appears whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, write_json
from nanohydra.core.types import Document, Record
from nanohydra.data.clean.cleaner import Cleaner
from nanohydra.data.config import CleanConfig, HoldOut, SourceConfig
from nanohydra.data.hold_out import Split, assign
from nanohydra.data.shard_writer import ShardWriter
from nanohydra.data.shards import Shards
from nanohydra.data.sources import Source, open_source
from nanohydra.data.tally import Tally
from nanohydra.tokenizer import Tokenizer, render

REPORT = "report.json"
_CHUNK_RECORDS = 512
_CHUNK_CHARACTERS = 1 << 21

_NAME = re.compile(r"\w[\w.-]*")

Progress = Callable[[int, int], None]  # records read and tokens written so far


def prepare(
    sources: Mapping[str, SourceConfig],
    clean: CleanConfig,
    tokenizer: Tokenizer,
    out_dir: Path,
    progress: Progress | None = None,
    *,
    heldout: Mapping[str, SourceConfig] | None = None,
    valid_fraction: float = 0.0,
    hold_out: HoldOut = "auto",
) -> dict[str, Any]:
    """Make shards of named sources; returns what `report.json` says.

    heldout: named sources that are for validation only. They are read first, so that a training
        record that duplicates one of them is dropped where `clean` drops duplicates.
    valid_fraction, hold_out: share of `sources` to hold out instead, see `hold_out.assign`.
    Raises UserError for what cannot be read, a source of which nothing is left, and a hold-out
    that is asked for and gets no record.
    """
    assert sources, "no sources"
    assert not (heldout and valid_fraction), "both would write valid/NAME"
    _check_target(out_dir)
    cleaner = Cleaner(clean)
    held = dict(heldout or {})
    for name in (*sources, *held):
        if not _NAME.fullmatch(name):
            raise UserError(f"source name {name!r} becomes a folder; use letters, digits, . _ -")
    with atomic_path(out_dir) as folder:
        folder.mkdir()
        job = _Job(folder, tokenizer, cleaner, progress)
        for name, config in held.items():
            job.run(name, config, fraction=1.0, how=hold_out)
        for name, config in sources.items():
            job.run(name, config, fraction=valid_fraction, how=hold_out)
        if valid_fraction > 0 and not (folder / "valid").exists():
            raise UserError(
                f"no record was held out with valid_fraction={valid_fraction}; raise it, or give "
                "a source for validation"
            )
        report = {
            "tokenizer": tokenizer.fingerprint,
            "clean": to_dict(clean),
            "valid_fraction": valid_fraction,
            "evaluation": _evaluation(cleaner),
            "sources": job.sources,
            "splits": job.splits,
        }
        write_json(folder / REPORT, report)
    return report


def open_split(folder: Path, split: Split, *, fingerprint: str | None = None) -> dict[str, Shards]:
    """The shards of a prepared folder by name, {} if it has none of that split.

    Raises UserError for damage and, if `fingerprint` is given, for another tokenizer.
    """
    if not (folder / REPORT).exists():
        raise UserError(f"{folder} is not prepared data; `nanohydra data prepare` makes it")
    paths = sorted(path.parent for path in (folder / split).glob("*/manifest.json"))
    return {path.name: Shards(path, fingerprint=fingerprint) for path in paths}


class _Job:
    """Writes source after source into one folder and keeps the account."""

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, cleaner: Cleaner, progress: Progress | None
    ) -> None:
        self.sources: list[dict[str, Any]] = []
        self.splits: dict[str, dict[str, dict[str, int]]] = {}
        self._folder = folder
        self._tokenizer = tokenizer
        self._cleaner = cleaner
        self._progress = progress
        self._records = 0
        self._tokens = 0

    def run(self, name: str, config: SourceConfig, *, fraction: float, how: HoldOut) -> None:
        """Read one source to its end. Raises UserError if nothing is left of it."""
        source = open_source(config)
        account: dict[str, Any] = {
            "name": name,
            "heldout": fraction >= 1,
            "config": to_dict(config),
        }
        with ExitStack() as stack:
            writers: dict[Split, ShardWriter] = {}
            split_records = assign(self._kept(source), fraction=fraction, how=how)
            for chunk in _chunks(split_records):
                for split, ids, mask in self._encode(chunk, source.tally):
                    if split not in writers:
                        writer = self._writer(split, name)
                        writers[split] = stack.enter_context(writer)
                    writers[split].add(ids, mask)
                    self._tokens += len(ids)
                if self._progress:
                    self._progress(self._records, self._tokens)
            account |= source.tally.to_dict()
            if "train" not in writers and (fraction < 1 or not writers):
                raise UserError(_nothing_left(name, config, source.tally))
            for split, writer in writers.items():
                writer.extra["source"] = account
                self.splits.setdefault(split, {})[name] = {
                    "records": writer.num_records,
                    "tokens": writer.num_tokens,
                    "targets": writer.num_targets,
                }
        self.sources.append(account)

    def _writer(self, split: Split, name: str) -> ShardWriter:
        return ShardWriter(
            self._folder / split / name,
            vocab_size=self._tokenizer.vocab_size,
            fingerprint=self._tokenizer.fingerprint,
            pad_id=self._tokenizer.pad_id or 0,
        )

    def _kept(self, source: Source) -> Iterator[Record]:
        for record in source.records():
            self._records += 1
            why = self._cleaner.reason(record)
            if why:
                source.tally.dropped[why] += 1
            else:
                yield record

    def _encode(
        self, chunk: Sequence[tuple[Split, Record]], tally: Tally
    ) -> Iterator[tuple[Split, list[int], list[bool]]]:
        """Ids and loss mask of each record; one with nothing to learn is dropped and counted."""
        texts = [record.text for _, record in chunk if isinstance(record, Document)]
        encoded = iter(self._tokenizer.encode_batch(texts))
        for split, record in chunk:
            if isinstance(record, Document):
                prefix, body = self._tokenizer.prefix_ids, next(encoded)
                ids = [*prefix, *body]
                mask = [False] * len(prefix) + [True] * len(body)
            else:
                rendered = render(self._tokenizer, record.messages)
                ids, mask = rendered.ids, rendered.mask
            if any(mask[1:]):
                yield split, ids, mask
            else:
                tally.dropped["no target"] += 1


def _chunks(pairs: Iterable[tuple[Split, Record]]) -> Iterator[list[tuple[Split, Record]]]:
    """Lists of records that are worth encoding at once and fit in memory."""
    chunk: list[tuple[Split, Record]] = []
    characters = 0
    for pair in pairs:
        chunk.append(pair)
        characters += len(pair[1].text) if isinstance(pair[1], Document) else 1000
        if len(chunk) >= _CHUNK_RECORDS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _check_target(out_dir: Path) -> None:
    """Refuse to replace a folder that is something else. Raises UserError."""
    if out_dir.is_file():
        raise UserError(f"{out_dir} is a file; choose a folder for the shards")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / REPORT).exists():
        raise UserError(f"{out_dir} holds other files; choose an empty or a new folder")


def _evaluation(cleaner: Cleaner) -> dict[str, int] | None:
    overlap = cleaner.overlap
    if overlap is None:
        return None
    return {"checked": overlap.num_texts, "too short to check": overlap.num_too_short}


def _nothing_left(name: str, config: SourceConfig, tally: Tally) -> str:
    dropped = ", ".join(f"{count} {why}" for why, count in tally.dropped.most_common())
    return (
        f"nothing is left of source {name!r} ({config.label}): {tally.read} records read"
        + (f", dropped: {dropped}" if dropped else "")
        + "; check the path and the column, or clean less"
    )
