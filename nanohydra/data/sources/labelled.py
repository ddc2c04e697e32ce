"""Texts with labels as conversations: the text and the choices are asked, the label is answered.

The text-to-text form in which O-LoRA (arXiv 2310.14152) learns AG News, Amazon, Yelp and others
one after another. The choices are read from labels.json beside the file, or else are those that
occur; they are part of the question, so that no task has to be guessed from its labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.data.config import SourceConfig
from nanohydra.data.reading import find_files
from nanohydra.data.sources import SUFFIXES
from nanohydra.data.sources.base import Row, RowSource
from nanohydra.data.sources.jsonl import JsonlSource

LABELS = "labels.json"
TEXT, LABEL = ("sentence", "text", "content"), "label"
# The answer stands at the end, where a row that is too short would cut it off: long texts lose
# their own end instead. The reviews' opinion is mostly in their first sentences.
MAX_CHARS = 400


class LabelledSource(RowSource):
    """Rows of JSON with a text and a label; `column` names the text's."""

    def rows(self) -> Iterator[Row]:
        """Conversations. Raises UserError for a file without labels."""
        for path in find_files(self.config.path, SUFFIXES["jsonl"]):
            if path.name == LABELS:
                continue
            found = [(where, row) for where, row in self._read(path) if self._fits(where, row)]
            choices = known_labels(path) or sorted({str(row[LABEL]) for _, row in found})
            for where, row in found:
                yield where, {"messages": conversation(self._text(row), str(row[LABEL]), choices)}

    def _read(self, path: Path) -> Iterator[Row]:
        source = JsonlSource(
            SourceConfig(kind="jsonl", path=str(path), bad_rows=self.config.bad_rows)
        )
        yield from source.rows()
        self.tally.read += sum(source.tally.dropped.values())
        self.tally.dropped.update(source.tally.dropped)

    def _fits(self, where: str, row: Any) -> bool:
        if self._text(row) and isinstance(row.get(LABEL), str | int):
            return True
        self.refuse(where, f"no text and {LABEL!r} among its columns: {', '.join(row)}")
        return False

    def _text(self, row: Any) -> str:
        names = (self.config.column,) if self.config.column else TEXT
        texts = [row[name] for name in names if isinstance(row.get(name), str)]
        return texts[0].strip() if texts else ""


def conversation(text: str, label: str, choices: list[str]) -> list[dict[str, str]]:
    """The question and its answer in the OpenAI format."""
    question = f"{shortened(text)}\n\nWhich of these: {', '.join(choices)}?"
    return [{"role": "user", "content": question}, {"role": "assistant", "content": label}]


def shortened(text: str, limit: int = MAX_CHARS) -> str:
    """The beginning of a text, cut between two words."""
    if len(text) <= limit:
        return text
    head, found, _ = text[:limit].rpartition(" ")
    return head if found else text[:limit]


def known_labels(path: Path) -> list[str]:
    """The labels of labels.json in the file's folder; none if it is not there."""
    place = path.parent / LABELS
    if not place.is_file():
        return []
    labels = read_json(place)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise UserError(f"{place} must be a list of texts")
    return labels
