"""A model card: README.md of an exported model, with what was measured and nothing else.

Every figure comes from a report; where there is none, the card says that nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nanohydra.model import ModelConfig


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the card is told. report: a report.json, or empty.

    base: the hub's name and commit, where the model came from there. adapter: the version that
    was taught; merged: whether it is in the weights, or beside them. checks: what its test found.
    """

    name: str
    architecture: str
    config: ModelConfig
    num_parameters: int
    dtype: str
    report: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    revision: str = ""
    adapter: str = ""
    merged: bool = False
    checks: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """The text of README.md."""
    parts = [
        *_front_matter(facts), f"# {facts.name}", "", _introduction(facts), "", *_shape(facts), "",
        "## Use", "", *_use(facts), "", "## Measured", "", *_measured(facts),
    ]  # fmt: skip
    if facts.adapter:
        parts += ["", "## Taught", "", *_taught(facts)]
    return "\n".join(parts) + "\n"


def _front_matter(facts: CardFacts) -> list[str]:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    if facts.base:
        lines += [f"base_model: {facts.base}"]
    return [*lines, "tags:", "- nanohydra", "---", ""]


def _introduction(facts: CardFacts) -> str:
    if facts.base:
        commit = f", commit {facts.revision}" if facts.revision else ""
        came = f"It is {facts.base}{commit}; that model's own licence and limits hold."
    elif imported := facts.manifest.get("imported"):
        came = f"Its weights were imported from {imported['file']} ({imported['format']})."
    else:
        recipe = facts.manifest.get("recipe", {}).get("name")
        came = f"It was trained with the recipe {recipe!r}." if recipe else ""
    return f"A language model exported by nanohydra. {came}".strip()


def _shape(facts: CardFacts) -> list[str]:
    config = facts.config
    return [
        "| | |",
        "|---|---|",
        f"| architecture | {facts.architecture} |",
        f"| parameters | {facts.num_parameters:,} |",
        f"| weights | {facts.dtype} |",
        f"| layers, width, heads | {config.num_layers}, {config.hidden_size}, {config.num_heads} |",
        f"| vocabulary | {config.vocab_size:,} |",
        f"| context | {config.max_seq_len:,} tokens |",
    ]


def _use(facts: CardFacts) -> list[str]:
    lines = [
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        'model = AutoModelForCausalLM.from_pretrained("FOLDER")',
        "```",
    ]
    if facts.adapter and not facts.merged:
        load = 'model = PeftModel.from_pretrained(model, "FOLDER/adapter")'
        lines[-1:] = ["", "from peft import PeftModel", "", load, "```"]
    return lines


def _measured(facts: CardFacts) -> list[str]:
    rows = [*_task_rows(facts.report), *_text_rows(facts.report)]
    if not rows:
        return ["Nothing was measured of this model."]
    header = ["| measure | value | 95% interval | of |", "|---|---|---|---|"]
    lines = [*header, *(f"| {' | '.join(row)} |" for row in rows)]
    changed = "before the adapter was merged, " if facts.merged else ""
    when = str(facts.report.get("created", ""))[:10]
    version = facts.report.get("version", "")
    return [*lines, "", f"Measured {changed}on {when} with nanohydra {version}."]


def _task_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for task in report.get("details", {}).get("tasks", {}).values():
        low, high = task["interval"]["low"], task["interval"]["high"]
        name = f"{task['name']} ({task['metric']})"
        of = f"{task['num_examples']} unseen examples"
        rows.append((name, f"{task['accuracy']:.1%}", f"{low:.1%} to {high:.1%}", of))
    return rows


def _text_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    found = report.get("details", {}).get("likelihood")
    if not found:
        return []
    protocol = found["protocol"]
    of = (
        f"{found['num_tokens']:,} tokens of {protocol['text']}, windows of "
        f"{protocol['row_length']}, stride {protocol['stride']}"
    )
    spread = found.get("bits_per_byte_interval")
    interval = f"{spread['low']:.4f} to {spread['high']:.4f}" if spread else ""
    return [
        ("bits per byte", f"{report['bits_per_byte']:.4f}", interval, of),
        ("perplexity per token", f"{report['perplexity']:.4g}", "", of),
    ]


def _taught(facts: CardFacts) -> list[str]:
    where = "is in the weights" if facts.merged else "lies beside them, in `adapter`"
    lines = [f"The adapter {facts.adapter}, which nanohydra trained on lessons, {where}."]
    if not facts.checks:
        return [*lines, "No test of it is on record."]
    lines += [
        "Before it went live it was tested:",
        "",
        "| check | value | limit |",
        "|---|---|---|",
    ]
    for name, check in facts.checks.items():
        value = "-" if check["value"] is None else f"{check['value']:.4g}"
        lines.append(f"| {name} | {value} | {check['limit']:.4g} |")
    return lines
