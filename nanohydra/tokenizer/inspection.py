"""How well a tokenizer fits named texts: bytes per token, characters per token, round trips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.tokenizer import Tokenizer

SAMPLES: Mapping[str, bytes] = {
    "english": b"The old lighthouse keeper climbed the stairs every evening, lit the lamp, "
    b"and wrote one line in his diary. It wasn't much, but it was his.",
    "code": b"def mean(values: list[float]) -> float:\n    if not values:\n"
    b'        raise ValueError("empty")\n    return sum(values) / len(values)\n',
    "numbers": b"3.14159, 2026-01-31, 1,000,000, 0x7fff, 12 * 34 = 408, 99.9%",
    "other scripts": "Zażółć gęślą jaźń. Быстрая лиса. 敏捷的狐狸 الثعلب السريع 👩‍🚀🎉".encode(),
    "raw bytes": bytes(range(256)),
}


@dataclass(frozen=True, kw_only=True)
class DomainReport:
    """One named text under a tokenizer. `round_trips`: decoding gave the very same bytes.

    `error` says why the text cannot be encoded (kind "characters" only), with zero tokens.
    """

    name: str
    num_bytes: int
    num_tokens: int
    round_trips: bool
    error: str = ""

    @property
    def bytes_per_token(self) -> float:
        """Higher is shorter sequences; 0 for an empty text."""
        return self.num_bytes / self.num_tokens if self.num_tokens else 0.0


def inspect(
    tokenizer: Tokenizer, texts: Mapping[str, str | bytes] = SAMPLES
) -> tuple[DomainReport, ...]:
    """One report per named text, in the order given."""
    reports = []
    for name, text in texts.items():
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        try:
            ids, error = tokenizer.encode_bytes(data), ""
        except UserError as caught:
            ids, error = [], str(caught)
        reports.append(
            DomainReport(
                name=name,
                num_bytes=len(data),
                num_tokens=len(ids),
                round_trips=not error and tokenizer.decode_bytes(ids) == data,
                error=error,
            )
        )
    return tuple(reports)
