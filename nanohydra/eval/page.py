"""report.html: one file that shows a report to a person; asks nothing of the network.

Draws what report.json and the curves say and adds no number of its own. Every piece may be
missing, and the page is then shorter.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nanohydra.core.units import amount, duration, flatten, outward, percent, size
from nanohydra.eval.charts import Axis, Chart, Series, line_chart
from nanohydra.eval.curves import Curves

Json = Mapping[str, Any]

SHARES = {
    "tool_accuracy": "Arithmetic through the calculator",
    "facts_accuracy": "Taught facts, asked in other words",
    "reading_accuracy": "Reading a passage and answering",
    "abstain_accuracy": "Abstains when it was never told",
    "known_accuracy": "Answers when it was told",
}
COSTS = {
    "params": "parameters",
    "train_seconds": "of training",
    "tokens_per_second": "tokens per second",
    "peak_memory_bytes": "peak memory",
    "bits_per_byte": "bits per byte",
    "perplexity": "perplexity",
}
VERDICTS = {"met": "met", "close": "not certain", "missed": "missed", None: ""}
TASK_TITLES = {
    "arithmetic": "Arithmetic",
    "facts": "Facts",
    "reading": "Reading",
    "abstain_unknown": "Never told",
    "abstain_known": "Told before",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """One row or one figure of the page, as text, with the geometry of its bar in percent."""

    name: str
    value: str
    label: str
    interval: str = ""
    low: float | None = None
    high: float | None = None
    at: float | None = None
    target: str = ""
    target_at: float | None = None
    verdict: str = ""
    verdict_class: str = ""


def render(report: Json, curves: Curves) -> str:
    """The page as one HTML document."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("nanohydra.eval"), PackageLoader("nanohydra.core")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "amount": amount}
    details = report["details"]
    return environment.get_template("report.html").render(
        report=report,
        created=_date(report["created"]),
        shares=[_share(report, name) for name in _share_names(report)],
        costs=[_cost(report, name) for name in COSTS if report.get(name) is not None],
        likelihood=details["likelihood"],
        charts={axis: _charts(curves, axis) for axis in ("step", "seconds")},
        points=_points_json,
        training=details["training"],
        stages=details["stages"],
        tasks=[_task(task) for task in details["tasks"].values()],
        configuration=flatten(details["configuration"]),
        machine=flatten(details["machine"]),
    )


def _share_names(report: Json) -> list[str]:
    """The measured shares, the known ones first."""
    measured = [task["metric"] for task in report["details"]["tasks"].values()]
    return sorted(
        dict.fromkeys(measured),
        key=lambda name: list(SHARES).index(name) if name in SHARES else len(SHARES),
    )


def _share(report: Json, name: str) -> Measure:
    interval = report["details"]["intervals"].get(name, {})
    judged = report["details"]["targets"].get(name, {})
    low, high, target = interval.get("low"), interval.get("high"), judged.get("target")
    return Measure(
        name=name,
        label=SHARES.get(name, name.removesuffix("_accuracy").replace("_", " ").capitalize()),
        value=percent(report[name]),
        at=100 * report[name],
        interval=outward(low, high) if interval else "",
        low=100 * low if interval else None,
        high=100 * high if interval else None,
        target=f"{100 * target:.4g}%" if judged else "",
        target_at=100 * target if judged else None,
        verdict=VERDICTS[judged.get("verdict")],
        verdict_class=judged.get("verdict") or "",
    )


def _cost(report: Json, name: str) -> Measure:
    interval = report["details"]["intervals"].get(name)
    judged = report["details"]["targets"].get(name)
    shown = f"{interval['low']:.3f} to {interval['high']:.3f}" if interval else ""
    return Measure(
        name=name,
        label=COSTS[name],
        value=_cost_text(name, report[name]),
        interval=shown,
        target=f"at {judged['at']} {_cost_text(name, judged['target'])}" if judged else "",
        verdict=VERDICTS[judged["verdict"]] if judged else "",
        verdict_class=(judged["verdict"] or "") if judged else "",
    )


def _cost_text(name: str, value: float) -> str:
    if name == "train_seconds":
        return duration(value)
    if name == "peak_memory_bytes":
        return size(value)
    if name in ("bits_per_byte", "perplexity"):
        return f"{value:.3f}" if value < 100 else f"{value:,.0f}"
    return amount(value)


def _charts(curves: Curves, axis: Axis) -> list[Chart]:
    """Loss, validation, speed and memory, as far as they were logged."""
    places = [getattr(point, axis) for points in curves.curves.values() for point in points]
    if not any(places):
        return []
    train, validation = curves.of("loss"), curves.of("val_loss")
    memory = curves.of("peak_memory_bytes")
    gigabytes = tuple(dataclasses.replace(point, value=point.value / 1e9) for point in memory)
    losses = [
        Series(name="training", points=train, style="faded" if validation else "a", smooth=True),
        Series(name="validation", points=validation),
    ]

    def draw(title: str, *series: Series, **options: Any) -> Chart | None:
        stages = curves.stages if len(curves.stages) > 1 else ()
        return line_chart(title, series, axis=axis, stages=stages, end=max(places), **options)

    made = (
        draw("Loss, nats per token", *losses),
        draw(
            "Validation, bits per byte",
            Series(name="validation", points=curves.of("val_bits_per_byte")),
        ),
        draw(
            "Tokens per second",
            Series(name="training", points=curves.of("tokens_per_second"), smooth=True),
            label=amount,
            from_zero=True,
        ),
        draw("Peak memory, GB", Series(name="peak", points=gigabytes), from_zero=True),
    )
    return [chart for chart in made if chart is not None]


def _points_json(chart: Chart) -> str:
    """What the read-out under the pointer needs."""
    return json.dumps(
        [
            {
                "name": line.name,
                "points": [[x, float(f"{y:.5g}"), px, py] for x, y, px, py in line.points],
            }
            for line in chart.lines
        ]
    )


def _task(task: Json) -> dict[str, Any]:
    """A task's samples as turns, with the shares by kind."""
    right = task["accuracy"] * task["num_examples"]
    return {
        "name": task["name"],
        "title": TASK_TITLES.get(task["name"], task["name"].replace("_", " ").capitalize()),
        "right": f"{right:.4g}",
        "asked": task["num_examples"],
        "seconds": task["seconds"],
        "by_kind": [
            (kind, percent(count["right"] / count["asked"]), count["asked"])
            for kind, count in task["by_kind"].items()
        ],
        "good": [_sample(sample) for sample in task["good"]],
        "bad": [_sample(sample) for sample in task["bad"]],
    }


def _sample(sample: Json) -> dict[str, Any]:
    return {
        "turns": [*_turns(sample["prompt"]), *_turns(sample["reply"])],
        "answered": any(m["role"] == "assistant" for m in sample["reply"]),
        "expected": sample["expected"],
        "right": sample["score"] >= 1.0,
    }


def _turns(messages: Sequence[Json]) -> list[dict[str, str]]:
    """Messages as what is shown: text of a role, or a tool call joined with its result."""
    results = {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"}
    turns = []
    for message in messages:
        if message["role"] == "tool":
            continue
        if message["content"]:
            turns.append({"role": message["role"], "text": message["content"]})
        for call in message["tool_calls"]:
            arguments = list(call["arguments"].values())
            single = len(arguments) == 1 and isinstance(arguments[0], str)
            turns.append(
                {
                    "role": "call",
                    "tool": call["name"],
                    "text": arguments[0] if single else json.dumps(dict(call["arguments"])),
                    "result": results.get(call["id"], "no result"),
                }
            )
    return turns


def _date(text: str) -> str:
    """An ISO date and time as people write it: 20 November 2026, 15:07 UTC."""
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
