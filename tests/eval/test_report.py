"""report.json and report.html: honest numbers, missing pieces, nothing from the network."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nanohydra.core.types import Message, ToolCall
from nanohydra.core.units import amount, duration, flatten, outward, percent, size
from nanohydra.eval import (
    Interval,
    Likelihood,
    RunFacts,
    Sample,
    TaskResult,
    build_report,
    report_run,
    wilson,
    write_report,
)
from nanohydra.eval.curves import trace_curves
from nanohydra.eval.likelihood import ScoringProtocol
from nanohydra.eval.report import HEADLINE, judge
from nanohydra.eval.runner import KindCount

EVIL = "</script><script>alert(1)</script>"
VOID = ("meta", "input", "path", "circle", "br")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def results() -> dict[str, TaskResult]:
    call = ToolCall(id="call_1", name="calculator", arguments={"expression": "37 * 24"})
    good = Sample(
        prompt=(user("37 boxes of 24?"),),
        expected="888",
        reply=(
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="888", tool_call_id="call_1"),
            Message(role="assistant", content="There are 888."),
        ),
        score=1.0,
    )
    broken = ToolCall(id="call_1", name="calculator", arguments={"_error": "bad", "_raw": "{"})
    bad = [
        Sample(prompt=(user(EVIL),), expected="7", reply=(), score=0.0),
        Sample(
            prompt=(Message(role="system", content="Be kind."), user("7?")),
            expected="7",
            reply=(Message(role="assistant", content="Well", tool_calls=(broken,)),),
            score=0.0,
        ),
    ]
    return {
        "arithmetic": TaskResult(
            name="arithmetic",
            version=1,
            metric="tool_accuracy",
            split="test",
            seed=0,
            num_examples=200,
            accuracy=0.98,
            interval=wilson(196, 200),
            seconds=2.0,
            by_kind={
                "story": KindCount(right=98, asked=100),
                "bare": KindCount(right=98, asked=100),
            },
            good=(good,),
            bad=tuple(bad),
        )
    }


def likelihood() -> Likelihood:
    return Likelihood(
        nats=1000.0,
        num_tokens=800,
        num_bytes=1600,
        num_documents=5,
        protocol=ScoringProtocol(row_length=256, stride=128),
        bits_per_byte_interval=Interval(low=0.8, high=1.0),
    )


def rows() -> list[dict[str, Any]]:
    pretrain = [
        {
            "step": step, "stage": "pretrain", "seconds": step / 2, "loss": 7 / (1 + step / 50),
            "tokens_per_second": 5000.0, "peak_memory_bytes": 1e9, "grad_norm": 0.5,
            **({"val_loss": 3.0, "val_bits_per_byte": 2.0} if step % 50 == 0 else {}),
        }
        for step in range(0, 201, 10)
    ]  # fmt: skip
    sft = [{"step": s, "stage": "sft", "seconds": s / 2, "loss": 1.0} for s in range(0, 51, 10)]
    return [*pretrain, *sft]


class Tags(HTMLParser):
    """Checks that tags are balanced and collects attributes that load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [f"{k}={v}" for k, v in attrs if k in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(path: Path) -> Tags:
    page = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.loads == []
    assert not re.search(r"@import|url\(|https?://", page)
    return tags


def full(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows())))
    given: dict[str, Any] = {
        "results": results(),
        "likelihood": likelihood(),
        "targets": {"tool_accuracy": 0.95, "train_seconds": 60.0, "reading_accuracy": 0.8},
        **changes,
    }
    facts = RunFacts(
        name="tiny",
        params=2_213_000,
        peak_memory_bytes=1_900_000_000,
        stages={"tokenizer": 4.0},
        configuration={
            "model": {"hidden_size": 192, "layer_types": ["full"] * 4},
            "data": [{"a": 1}],
        },
        machine={"cores": 2, "memory_bytes": 8e9},
        version="1.2.3",
    )
    return report_run(folder, facts, **given)


def test_the_flat_numbers_and_their_details(tmp_path: Path) -> None:
    full(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(HEADLINE) <= set(report)
    assert report["tool_accuracy"] == 0.98
    assert report["bits_per_byte"] == pytest.approx(1000 / 0.6931471805599453 / 1600)
    assert report["perplexity"] == pytest.approx(2.718281828459045 ** (1000 / 800))
    assert report["train_seconds"] == 125.0
    assert report["tokens_per_second"] == 5000.0
    assert (report["params"], report["peak_memory_bytes"]) == (2_213_000, 1_900_000_000)
    details = report["details"]
    assert details["intervals"]["tool_accuracy"]["low"] == pytest.approx(0.9497, abs=1e-3)
    assert details["likelihood"]["protocol"]["stride"] == 128
    assert [stage["name"] for stage in details["training"]] == ["pretrain", "sft"]
    assert details["stages"] == {"tokenizer": 4.0}
    assert details["tasks"]["arithmetic"]["good"][0]["reply"][1]["content"] == "888"
    assert details["machine"]["cores"] == 2


def test_what_was_not_evaluated_is_null(tmp_path: Path) -> None:
    report = full(tmp_path)
    assert report["reading_accuracy"] is None
    assert report["details"]["targets"]["reading_accuracy"]["verdict"] is None
    empty = build_report(RunFacts(name="nothing"))
    assert [empty[name] for name in HEADLINE] == [None] * len(HEADLINE)
    assert empty["details"]["likelihood"] is None


def test_a_target_is_met_by_the_worse_end() -> None:
    interval = {"low": 0.94, "high": 0.99}
    assert judge("tool_accuracy", 0.90, 0.97, interval)["verdict"] == "met"
    assert judge("tool_accuracy", 0.95, 0.97, interval)["verdict"] == "close"
    assert judge("tool_accuracy", 0.98, 0.97, interval)["verdict"] == "missed"
    assert judge("bits_per_byte", 0.98, 0.97, interval)["verdict"] == "close"
    assert judge("bits_per_byte", 0.99, 0.97, interval)["verdict"] == "met"
    assert judge("train_seconds", 720, 500.0, None) == {
        "target": 720,
        "at": "most",
        "verdict": "met",
    }


def test_the_page_shows_it_all_and_loads_nothing(tmp_path: Path) -> None:
    full(tmp_path)
    tags = parse(tmp_path / "report.html")
    text = " ".join(" ".join(tags.text).split())
    for part in (
        "98.0%", "94.9% to 99.3%", "target 95%", "not certain",
        "2 min 5 s", "at most 1 min", "missed", "There are 888.", "37 * 24", "expected",
        "no answer", "Be kind.", "no result", "row length 256, stride 128", "model.hidden_size",
        "4 x full", "data.0.a", "pretrain", "sft", "tokenizer", "8 GB", "1.2.3",
    ):  # fmt: skip
        assert part in text, part


def test_text_of_the_model_cannot_become_markup(tmp_path: Path) -> None:
    full(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "alert(1)" in page
    assert EVIL not in page


def test_missing_pieces_make_a_smaller_report(tmp_path: Path) -> None:
    paths = write_report(tmp_path, build_report(RunFacts(name="nothing")))
    assert [path.name for path in paths] == ["report.json", "report.html"]
    text = " ".join(parse(paths[1]).text)
    for heading in ("Training", "How well", "Answers", "Machine", "Configuration", "Stages"):
        assert heading not in text
    for changes in ({"results": None}, {"likelihood": None}, {"targets": None}):
        full(tmp_path, **changes)
        parse(tmp_path / "report.html")


def test_a_run_without_sft_validation_or_times(tmp_path: Path) -> None:
    bare = [{"step": step, "loss": 2.0} for step in range(5)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, bare)))
    assert report_run(tmp_path, RunFacts(name="bare"))["train_seconds"] is None
    report = report_run(tmp_path, RunFacts(name="bare", train_seconds=3.0))
    assert (report["train_seconds"], report["tokens_per_second"]) == (3.0, None)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('class="chart"') == 1, "loss by step, and no axis of time"


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full(tmp_path)
    before = (tmp_path / "report.html").read_text(encoding="utf-8")
    monkeypatch.setattr(Path, "write_text", _fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, build_report(RunFacts(name="other")))
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["name"] == "tiny"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "metrics.jsonl",
        "report.html",
        "report.json",
    ]


def test_numbers_as_people_read_them() -> None:
    assert [amount(n) for n in (0, 7.25, 950, 5012, 48_210, 2_213_000, 1.3e9)] == [
        "0", "7.25", "950", "5,012", "48.2 k", "2.21 M", "1.3 B",
    ]  # fmt: skip
    assert [duration(s) for s in (4.21, 48, 552, 600, 7500)] == [
        "4.2 s", "48 s", "9 min 12 s", "10 min", "2 h 5 min",
    ]  # fmt: skip
    assert [size(n) for n in (820e6, 1.92e9)] == ["820 MB", "1.92 GB"]
    assert [percent(p) for p in (1.0, 0.9999, 0.5)] == ["100%", "99.9%", "50.0%"]
    assert outward(0.94972, 0.99221) == "94.9% to 99.3%"
    assert outward(0.0, 1.0) == "0.0% to 100%"


def test_settings_are_flattened() -> None:
    nested: dict[str, Any] = {
        "a": {"b": [1, 2], "c": {}},
        "d": None,
        "e": [],
        "f": "text",
        "g": True,
    }
    assert flatten(nested) == [
        ("a.b", "[1, 2]"),
        ("a.c", "{}"),
        ("d", "null"),
        ("e", "[]"),
        ("f", "text"),
        ("g", "true"),
    ]


def _fail(*args: object, **options: object) -> None:
    raise OSError("disk full")


def test_validation_stands_in_where_no_text_was_scored() -> None:
    rows = [
        {"step": 1, "stage": "pretrain", "seconds": 1, "val_loss": 2.0, "val_bits_per_byte": 1.5},
        {"step": 2, "stage": "pretrain", "seconds": 2, "val_loss": 0.0, "val_bits_per_byte": 1.25},
    ]
    report = build_report(RunFacts(name="plays"), curves=trace_curves(rows))
    assert (report["bits_per_byte"], report["perplexity"]) == (1.25, 1.0)
    assert build_report(RunFacts(name="nothing"))["bits_per_byte"] is None
