"""The gate: whether an adapter, read back from disk, learned its lessons and forgot nothing.

Runs in a process of its own (gate_process.py starts `python -m nanohydra.learn.gate`), so that
what is tested is what lies on disk. Knows nothing of jobs, nor of what becomes of a version.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nanohydra.adapters.base import base_hash
from nanohydra.adapters.files import load_adapter
from nanohydra.adapters.lora import attach_weights
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.checkpoint import Loaded, load
from nanohydra.core.config import from_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.data.notes import with_notes
from nanohydra.learn.checks import (
    Answered,
    check_earlier,
    check_forgetting,
    check_manners,
    check_recall,
    check_size,
    unproven,
)
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.precision import gate_dtype
from nanohydra.learn.probes import Probes
from nanohydra.learn.replies import reply_to_all
from nanohydra.learn.report import GateReport
from nanohydra.learn.study.items import StudyItem, item_from_json, item_to_json


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Questions about earlier lessons, and the folder of the version that they are routed to.

    None means the adapter under test: it replaces the version that held them.
    """

    folder: Path | None
    items: tuple[StudyItem, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        folder = str(self.folder) if self.folder else None
        return {"folder": folder, "items": [item_to_json(item) for item in self.items]}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Earlier:
        """The inverse of `to_json`."""
        folder = Path(body["folder"]) if body["folder"] else None
        return cls(folder=folder, items=tuple(item_from_json(item) for item in body["items"]))


class Gate:
    """Tests adapters of one base. cache: folder that keeps the base's side of the checks."""

    def __init__(self, loaded: Loaded, config: LearnConfig, cache: Path | None = None) -> None:
        self.loaded, self.config, self.cache = loaded, config, cache
        self.base = base_hash(loaded.model)
        self.probes = Probes(loaded, config)

    def run(
        self,
        weights: AdapterWeights,
        items: Sequence[StudyItem],
        earlier: Sequence[Earlier] = (),
        texts: Mapping[str, str] | None = None,
        *,
        divisible: bool = False,
    ) -> GateReport:
        """All checks. items: the held-out ones of the new lessons. texts: what these say, by id.

        divisible: whether some of the lessons may be left out, so that the others pass. Raises
        UserError for an adapter of another base.
        """
        started, cpu = time.monotonic(), time.process_time()
        if weights.base != self.base:
            raise UserError("the adapter was trained on another base than this model")
        config = self.config.gate
        checks = {"size": check_size(self.loaded, weights, config)}
        lessons: dict[str, float] = {}
        remembered: dict[str, float] = {}
        kept: dict[str, float] = {}
        left: Mapping[str, Sequence[str]] = {}
        if checks["size"].passed:  # or no number below would mean anything
            before = self.probes.measure_base(self.loaded, self.base, self.cache)
            own = [item for each in earlier if each.folder is None for item in each.items]
            with self.adapter(weights):
                after = self.probes.measure(self.loaded, before.replies)
                answered = self.ask([*items, *own])
            new = Answered(items=items, replies=answered.replies[: len(items)])
            held = Answered(items=own, replies=answered.replies[len(items) :])
            lessons = new.of(reverse=False).by_lesson()
            remembered = self.ask_from_notes(items, texts or {}).of(reverse=False).by_lesson()
            left = unproven(new, config) if divisible else {}
            left = left if len(left) < len(lessons) else {}
            checks |= check_recall(new.without(left), config)
            checks |= check_forgetting(before, after, config)
            answers = [held, *self.ask_versions(earlier)]
            kept = {id: share for each in answers for id, share in each.by_lesson().items()}
            checks["earlier"] = check_earlier(kept, config)
            checks |= check_manners(self.probes, before, after, new, config)
        return GateReport(
            adapter=weights.id,
            checks=checks,
            lessons=lessons,
            remembered=remembered,
            earlier=kept,
            unproven=left,
            seconds=time.monotonic() - started,
            cpu_seconds=time.process_time() - cpu,
        )

    @contextlib.contextmanager
    def adapter(self, weights: AdapterWeights) -> Iterator[None]:
        """Inside, the model answers with the adapter, whatever it is asked."""
        attached = attach_weights(self.loaded.model, weights)
        try:
            yield
        finally:
            attached.detach()

    def ask(self, items: Sequence[StudyItem]) -> Answered:
        """The model's replies to items, as it is now."""
        replies = reply_to_all(
            self.loaded.model,
            self.loaded.tokenizer,
            [item.messages for item in items],
            max_new_tokens=self.config.train.max_new_tokens,
        )
        return Answered(items=items, replies=replies)

    def ask_from_notes(self, items: Sequence[StudyItem], texts: Mapping[str, str]) -> Answered:
        """Items asked of the base with their lesson's text before them, as a memory finds it."""
        chat = self.loaded.tokenizer.chat
        noted, prompts = [], []
        for item in items:
            if item.lesson_id in texts:
                note = [texts[item.lesson_id]]
                prompt = with_notes(item.messages, note, system=chat.takes_system)
                if chat.takes(prompt):
                    noted.append(item)
                    prompts.append(prompt)
        replies = reply_to_all(
            self.loaded.model,
            self.loaded.tokenizer,
            prompts,
            max_new_tokens=self.config.train.max_new_tokens,
        )
        return Answered(items=noted, replies=replies)

    def ask_versions(self, earlier: Sequence[Earlier]) -> Iterator[Answered]:
        """Earlier lessons asked of their own versions, each read from disk."""
        for each in earlier:
            if each.folder is not None and each.items:
                with self.adapter(load_adapter(each.folder, base=self.base)):
                    yield self.ask(each.items)


def main() -> int:
    """Two lines come in, one goes out; the end of the input ends the process.

    In: `{"model", "config", "cache", "threads"}`, which is read at once and lets the model be
    loaded while the adapter is still trained; then the path of a JSON file `{"adapter", "items",
    "earlier", "texts", "divisible"}`. Out: a report as JSON, or `{"error": why}`.
    """
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what else prints, prints elsewhere
    try:
        setting = sys.stdin.readline()
        if not setting.strip():
            return 0
        about = json.loads(setting)
        torch.set_num_threads(about["threads"])
        config = from_dict(LearnConfig, about["config"])
        model = Path(about["model"])
        loaded = load(model, dtype=gate_dtype(config.train, model))
        gate = Gate(loaded, config, Path(about["cache"]) if about["cache"] else None)
        path = sys.stdin.readline().strip()
        if not path:
            return 0
        request = read_json(Path(path))
        weights = load_adapter(request["adapter"], base=gate.base)
        report = gate.run(
            weights,
            [item_from_json(item) for item in request["items"]],
            [Earlier.from_json(each) for each in request["earlier"]],
            request["texts"],
            divisible=request["divisible"],
        ).to_json()
    except UserError as error:
        report = {"error": str(error)}
    out.write(json.dumps(report) + "\n")
    out.flush()
    return 1 if "error" in report else 0


if __name__ == "__main__":
    sys.exit(main())
