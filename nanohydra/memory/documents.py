"""Uploaded files to plain text: .txt, .md, .pdf and .jsonl, with limits and plain refusals.

What the text says is left alone: control characters become spaces, and tokens of the chat layout
stay the letters they are, since no text is ever encoded to them. Knows nothing of lessons.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table
from nanohydra.memory.text import CONTROL, clean_text

DOCUMENT_TYPES = Table(
    "type of document",
    {
        ".txt": "nanohydra.memory.documents:read_text",
        ".md": "nanohydra.memory.documents:read_text",
        ".pdf": "nanohydra.memory.pdf:read_pdf",
        ".jsonl": "nanohydra.memory.documents:read_jsonl",
    },
)
# UTF-32 first: its mark begins with that of UTF-16
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
MAX_CONTROL_SHARE = 0.01  # of the characters; with more it is no text


@dataclass(frozen=True, kw_only=True)
class DocumentLimits:
    """What is refused as too large. pages: of a PDF; seconds: of reading one."""

    megabytes: float = 20.0
    characters: int = 5_000_000
    pages: int = 2_000
    seconds: float = 60.0


def read_document(name: str, data: bytes, limits: DocumentLimits | None = None) -> str:
    """The text of a file, chosen by the ending of its name, with plain line ends.

    Raises UserError for a file that is too large, of an unknown type, damaged, not what its name
    says, in another encoding than UTF-8 (or UTF-16 and UTF-32 with a mark), or without text.
    """
    limits = limits or DocumentLimits()
    name = shown_name(name)
    if len(data) > limits.megabytes * 1e6:
        raise UserError(
            f"{name} has {len(data) / 1e6:.1f} MB; the limit is {limits.megabytes:g} MB: split it"
        )
    ending = PurePath(name).suffix.lower()
    if ending not in DOCUMENT_TYPES:
        raise UserError(f"cannot read {name}; known: {', '.join(DOCUMENT_TYPES)}")
    if not data.strip():
        raise UserError(f"{name} is empty")
    read = cast(Callable[[str, bytes, DocumentLimits], str], DOCUMENT_TYPES.load(ending))
    text = clean_text(re.sub(r"\r\n?|\f", "\n", read(name, data, limits))).strip()
    if not text:
        raise UserError(f"{name} has no text")
    if len(text) > limits.characters:
        raise UserError(
            f"{name} has {len(text):,} characters; the limit is {limits.characters:,}: split it"
        )
    return text


def shown_name(name: str) -> str:
    """The last part of a file's name, fit for a message."""
    last = re.split(r"[/\\]", clean_text(name))[-1]
    return " ".join(last.split())[-120:] or "the file"


def read_text(name: str, data: bytes, limits: DocumentLimits) -> str:
    """A text file. Guessing among the old 8-bit encodings would garble in silence: they go back."""
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in data[:4096]:
            raise UserError(f"{name} is no text file; known: {', '.join(DOCUMENT_TYPES)}") from None
        raise UserError(
            f"{name} is not {encoding.removesuffix('-sig').upper()}: byte 0x{data[error.start]:02x}"
            f" at {error.start:,}; save it as UTF-8 and send it again"
        ) from None
    if len(CONTROL.findall(text)) > MAX_CONTROL_SHARE * len(text) + 2:
        raise UserError(f"{name} is no text file; known: {', '.join(DOCUMENT_TYPES)}")
    return text


def read_jsonl(name: str, data: bytes, limits: DocumentLimits) -> str:
    """A file of JSON lines as text, a paragraph for each.

    A line is a string or an object with "text" (and a "title"), "question" and "answer", or
    "messages".
    """
    return "\n\n".join(_paragraphs(name, read_text(name, data, limits)))


def _paragraphs(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name}, line {number} is not JSON: {error}") from None
        paragraph = _text_of(record)
        if paragraph is None:
            raise UserError(
                f'{name}, line {number}: expected a text, or an object with "text", with '
                '"question" and "answer", or with "messages"'
            )
        yield paragraph


def _text_of(record: Any) -> str | None:
    """The text of one line, None if it is of no known form."""
    if isinstance(record, str):
        return record
    if not isinstance(record, Mapping):
        return None
    if isinstance(messages := record.get("messages"), list):
        spoken = [_strings(m, "role", "content") for m in messages if isinstance(m, Mapping)]
        whole = len(spoken) == len(messages) and all(spoken)
        return "\n".join(f"{s[0]}: {s[1]}" for s in spoken if s) if whole else None
    if texts := _strings(record, "text"):
        title = record.get("title")
        return f"{title}\n{texts[0]}" if isinstance(title, str) and title else texts[0]
    texts = _strings(record, "question", "answer")
    return "\n".join(texts) if texts else None


def _strings(record: Mapping[str, Any], *keys: str) -> list[str] | None:
    """The values of these keys if all of them are strings."""
    values = [record.get(key) for key in keys]
    return (
        [v for v in values if isinstance(v, str)]
        if all(isinstance(v, str) for v in values)
        else None
    )
