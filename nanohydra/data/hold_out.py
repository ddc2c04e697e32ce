"""Which records are kept from training for validation; the same in every run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Literal

from nanohydra.core.types import Document, Record
from nanohydra.data.config import HoldOut
from nanohydra.data.records import record_text

Split = Literal["train", "valid"]
FEW = 32  # documents; fewer than this are too coarse to hold out whole ones
_ENOUGH = 10  # records expected in the held-out part, so that chance leaves it hardly ever empty
_LOOK_AHEAD = 1024


def assign(
    records: Iterable[Record], *, fraction: float, how: HoldOut = "auto"
) -> Iterator[tuple[Split, Record]]:
    """Each record with its split.

    fraction: share to hold out, 0 to 1.
    how: "hash" holds out the records whose hash lies in the lowest share of all values, so that
        equal texts stay together; "tail" the end of each document, cut at a character
        (conversations by hash); "auto" is "tail" for fewer than 32 documents, such as one book,
        else "hash", but of a small corpus exactly the share, and one record at least.
    """
    if fraction <= 0:
        return (("train", record) for record in records)
    if fraction >= 1:
        return (("valid", record) for record in records)
    rest, limit = iter(records), fraction
    if how == "auto":
        how = "hash"
        ahead = min(max(math.ceil(_ENOUGH / fraction), FEW), _LOOK_AHEAD)
        first = list(islice(rest, ahead))
        if len(first) < FEW and all(isinstance(record, Document) for record in first):
            how = "tail"
        elif len(first) < ahead:
            limit = _limit(first, fraction)
        rest = chain(first, rest)
    return chain.from_iterable(_parts(record, limit, fraction, how) for record in rest)


def _limit(records: Sequence[Record], fraction: float) -> float:
    """Above the hashes of the records to hold out, and below one at least."""
    hashes = sorted({_hash(record_text(record)) for record in records})
    count = min(max(1, round(fraction * len(hashes))), len(hashes) - 1)
    return hashes[count] if len(hashes) > 1 else 0.0


def _parts(
    record: Record, limit: float, fraction: float, how: HoldOut
) -> list[tuple[Split, Record]]:
    if how == "tail" and isinstance(record, Document):
        cut = int(len(record.text) * (1 - fraction))
        parts: list[tuple[Split, Record]] = [
            ("train", replace(record, text=record.text[:cut])),
            ("valid", replace(record, text=record.text[cut:])),
        ]
        return [(split, part) for split, part in parts if record_text(part).strip()]
    return [("valid" if _hash(record_text(record)) < limit else "train", record)]


def _hash(text: str) -> float:
    """A number in [0, 1) that the text alone decides."""
    data = text.encode("utf-8", "replace")
    digest = hashlib.blake2b(data, digest_size=8, person=b"hold-out").digest()
    return int.from_bytes(digest, "big") / 2**64
