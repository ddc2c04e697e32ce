"""Bytes per token per named text."""

from __future__ import annotations

from nanohydra.tokenizer import Tokenizer, inspect


def test_report_per_domain(bpe: Tokenizer) -> None:
    reports = inspect(bpe, {"cats": "The cat sat", "raw": bytes(range(256)), "none": ""})
    assert [report.name for report in reports] == ["cats", "raw", "none"]
    assert all(report.round_trips and not report.error for report in reports)
    assert reports[0].bytes_per_token == 11 / len(bpe.encode("The cat sat")) > 1
    assert reports[1].num_bytes == 256
    assert reports[2].bytes_per_token == 0


def test_samples_need_no_files(bpe: Tokenizer) -> None:
    assert all(report.round_trips for report in inspect(bpe))


def test_characters_tell_what_they_cannot_hold(letters: Tokenizer) -> None:
    good, bad = inspect(letters, {"cats": "The cat", "russian": "лиса"})
    assert good.round_trips and good.bytes_per_token == 1
    assert not bad.round_trips and "U+043B" in bad.error and bad.num_tokens == 0
