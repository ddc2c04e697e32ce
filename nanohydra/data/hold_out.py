"""Which records are kept from training for validation; the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Literal

from nanohydra.core.types import Document, Record
from nanohydra.data.config import HoldOut
from nanohydra.data.records import record_text

Split = Literal["train", "valid"]
FEW = 32  # fewer records than this are too coarse to hold out whole ones


def assign(
    records: Iterable[Record], *, fraction: float, how: HoldOut = "auto"
) -> Iterator[tuple[Split, Record]]:
    """Each record with its split.

    fraction: share to hold out, 0 to 1.
    how: "hash" holds out whole records by a hash of their text, so that equal texts stay
        together; "tail" the end of each document, cut at a character (conversations by hash);
        "auto" is "tail" for fewer than 32 records, such as one book, and else "hash".
    """
    if fraction <= 0:
        return (("train", record) for record in records)
    if fraction >= 1:
        return (("valid", record) for record in records)
    rest = iter(records)
    if how == "auto":
        first = list(islice(rest, FEW))
        how = "tail" if len(first) < FEW else "hash"
        rest = chain(first, rest)
    return chain.from_iterable(_parts(record, fraction, how) for record in rest)


def _parts(record: Record, fraction: float, how: HoldOut) -> list[tuple[Split, Record]]:
    if how == "tail" and isinstance(record, Document):
        cut = int(len(record.text) * (1 - fraction))
        parts: list[tuple[Split, Record]] = [
            ("train", replace(record, text=record.text[:cut])),
            ("valid", replace(record, text=record.text[cut:])),
        ]
        return [(split, part) for split, part in parts if record_text(part).strip()]
    return [("valid" if _share(record_text(record)) < fraction else "train", record)]


def _share(text: str) -> float:
    """A number in [0, 1) that the text alone decides."""
    data = text.encode("utf-8", "replace")
    digest = hashlib.blake2b(data, digest_size=8, person=b"hold-out").digest()
    return int.from_bytes(digest, "big") / 2**64
