"""report.json: the numbers of a run, flat for machines, with the details that make them checkable.

Knows nothing of models and of how it is drawn (page.py). Whatever was not evaluated is null,
never 0. A target is met when the worse end of its interval meets it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanohydra.core.files import atomic_path, write_json
from nanohydra.eval.curves import Curves, Row, read_metrics, trace_curves
from nanohydra.eval.likelihood import Likelihood
from nanohydra.eval.runner import TaskResult

FORMAT = 1
HEADLINE = (
    "tool_accuracy",
    "facts_accuracy",
    "reading_accuracy",
    "abstain_accuracy",
    "known_accuracy",
    "bits_per_byte",
    "perplexity",
    "pretrained_bits_per_byte",
    "train_seconds",
    "tokens_per_second",
    "params",
    "peak_memory_bytes",
)
LESS_IS_BETTER = ("bits_per_byte", "perplexity", "train_seconds", "params", "peak_memory_bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the report is told about the run besides what was measured by evaluation.

    stages: seconds by name of what the metrics file does not time (tokenizer, data, eval, ...).
    train_seconds: training alone; None takes the sum of the stages in the metrics file.
    pretrained: likelihood of the same text before fine-tuning, where the run has both models.
    """

    name: str
    params: int | None = None
    train_seconds: float | None = None
    peak_memory_bytes: int | None = None
    stages: Mapping[str, float] = dataclasses.field(default_factory=dict)
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    machine: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: str = ""
    pretrained: Likelihood | None = None


def build_report(
    facts: RunFacts,
    *,
    results: Mapping[str, TaskResult] | None = None,
    likelihood: Likelihood | None = None,
    curves: Curves | None = None,
    targets: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The whole report as plain JSON types; every argument but the first may be missing."""
    results, curves, targets = results or {}, curves or Curves(), targets or {}
    numbers: dict[str, Any] = dict.fromkeys(HEADLINE)
    numbers |= {result.metric: result.accuracy for result in results.values()}
    numbers |= _training_numbers(facts, curves)
    if likelihood is None:
        numbers |= _validation_numbers(curves)
    intervals: dict[str, Any] = {
        result.metric: dataclasses.asdict(result.interval) for result in results.values()
    }
    if likelihood is not None:
        numbers["bits_per_byte"] = likelihood.bits_per_byte
        numbers["perplexity"] = likelihood.perplexity
        if likelihood.bits_per_byte_interval is not None:
            intervals["bits_per_byte"] = dataclasses.asdict(likelihood.bits_per_byte_interval)
    if facts.pretrained is not None:
        numbers["pretrained_bits_per_byte"] = facts.pretrained.bits_per_byte
    return {
        "format": FORMAT,
        "name": facts.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": facts.version,
        **numbers,
        "details": {
            "intervals": intervals,
            "targets": {
                name: judge(name, target, numbers.get(name), intervals.get(name))
                for name, target in targets.items()
            },
            "tasks": {name: dataclasses.asdict(result) for name, result in results.items()},
            "likelihood": dataclasses.asdict(likelihood) if likelihood else None,
            "pretrained": dataclasses.asdict(facts.pretrained) if facts.pretrained else None,
            "training": [dataclasses.asdict(stage) for stage in curves.stages],
            "stages": dict(facts.stages),
            "configuration": dict(facts.configuration),
            "machine": dict(facts.machine),
        },
    }


def judge(
    name: str, target: float, value: float | None, interval: Mapping[str, float] | None
) -> dict[str, Any]:
    """Whether a target is met.

    verdict: "met" where the interval's worse end (or the value, if it has no interval) meets it,
    "close" where only the value does, "missed" where it does not, None where nothing was measured.
    """
    less = name in LESS_IS_BETTER
    verdict = None
    if value is not None:
        worst = value if interval is None else interval["high" if less else "low"]
        reached, sure = (value <= target, worst <= target) if less else (
            value >= target, worst >= target
        )  # fmt: skip
        verdict = "met" if sure else "close" if reached else "missed"
    return {"target": target, "at": "most" if less else "least", "verdict": verdict}


def write_report(folder: Path, report: Mapping[str, Any], rows: Sequence[Row] = ()) -> list[Path]:
    """Write report.json and report.html, each atomically; `rows` are drawn as curves."""
    from nanohydra.eval.page import render

    paths = [folder / "report.json", folder / "report.html"]
    write_json(paths[0], report)
    page = render(report, trace_curves(rows))
    with atomic_path(paths[1]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return paths


def report_run(
    folder: Path,
    facts: RunFacts,
    *,
    results: Mapping[str, TaskResult] | None = None,
    likelihood: Likelihood | None = None,
    targets: Mapping[str, float] | None = None,
    metrics: Path | None = None,
) -> dict[str, Any]:
    """Build and write a report, with the curves of `metrics` (None: folder/metrics.jsonl)."""
    rows = read_metrics(metrics or folder / "metrics.jsonl")
    report = build_report(
        facts,
        results=results,
        likelihood=likelihood,
        curves=trace_curves(rows),
        targets=targets,
    )
    write_report(folder, report, rows)
    return report


def _validation_numbers(curves: Curves) -> dict[str, Any]:
    """The last validation of training, where no text was scored: held-out rows as it packs them."""
    numbers: dict[str, Any] = {}
    if bits := curves.of("val_bits_per_byte"):
        numbers["bits_per_byte"] = bits[-1].value
    if loss := curves.of("val_loss"):
        numbers["perplexity"] = math.exp(loss[-1].value)
    return numbers


def _training_numbers(facts: RunFacts, curves: Curves) -> dict[str, Any]:
    """What the run cost. Tokens per second is over the whole of training, not its best moment."""
    seconds = facts.train_seconds
    times = [stage.seconds for stage in curves.stages if stage.seconds is not None]
    if seconds is None and times and len(times) == len(curves.stages):
        seconds = sum(times)
    timed = [(s.tokens_per_second, s.seconds) for s in curves.stages]
    known = [(rate, time) for rate, time in timed if rate is not None and time is not None]
    whole = sum(time for _, time in known)
    speed = sum(rate * time for rate, time in known) / whole if whole else None
    peaks = [point.value for point in curves.of("peak_memory_bytes")]
    if facts.peak_memory_bytes is not None:
        peaks.append(facts.peak_memory_bytes)
    return {
        "train_seconds": seconds,
        "tokens_per_second": speed,
        "params": facts.params,
        "peak_memory_bytes": round(max(peaks)) if peaks else None,
    }
