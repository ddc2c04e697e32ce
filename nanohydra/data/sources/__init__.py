"""Where records come from: one table of sources, `name -> "module:Class"`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table
from nanohydra.data.config import SourceConfig
from nanohydra.data.reading import find_files, plain_suffix
from nanohydra.data.sources.base import Source

SOURCES = Table(
    "data source",
    {
        "csv": "nanohydra.data.sources.csv:CsvSource",
        "dated": "nanohydra.data.sources.dated:DatedSource",
        "hf": "nanohydra.data.sources.hf:HubSource",
        "jsonl": "nanohydra.data.sources.jsonl:JsonlSource",
        "labelled": "nanohydra.data.sources.labelled:LabelledSource",
        "parquet": "nanohydra.data.sources.parquet:ParquetSource",
        "primer": "nanohydra.data.sources.primer:PrimerSource",
        "pycode": "nanohydra.data.sources.pycode:PyCodeSource",
        "pydocs": "nanohydra.data.sources.pydocs:PyDocsSource",
        "text": "nanohydra.data.sources.text:TextSource",
    },
)
__all__ = ["SOURCES", "SUFFIXES", "Source", "guess_kind", "open_source"]
SUFFIXES: dict[str, Sequence[str]] = {
    "csv": (".csv", ".tsv"),
    "jsonl": (".jsonl", ".json", ".ndjson"),
    "parquet": (".parquet",),
    "text": (".txt", ".text", ".md", ".rst"),
}


def open_source(config: SourceConfig) -> Source:
    """The source that a config names. Raises UserError for an unknown kind."""
    kind = guess_kind(config.path) if config.kind == "auto" else config.kind
    source: Source = SOURCES.load(kind)(replace(config, kind=kind))
    return source


def guess_kind(path: str) -> str:
    """The kind of source that reads this file, folder or glob, by suffix.

    Raises UserError if no suffix is known, or if a folder holds files of several kinds.
    """
    kind_of = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
    files = find_files(path)
    known = Counter(kind_of[s] for s in map(plain_suffix, files) if s in kind_of)
    if len(known) == 1:
        return next(iter(known))
    if known:
        found = ", ".join(f"{count} {kind}" for kind, count in known.most_common())
        raise UserError(f"{path} holds files of several kinds ({found}); choose one with kind=")
    names = ", ".join(sorted({plain_suffix(Path(f)) or Path(f).name for f in files})[:8])
    raise UserError(
        f"cannot tell the kind of {path} from {names}; choose one with kind=: {', '.join(SUFFIXES)}"
    )
