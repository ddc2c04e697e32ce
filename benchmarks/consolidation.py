"""What many versions in one cost, and how much the rest changes: routed as served, and forced on.

Teaches made-up facts, asks them, consolidates their versions into one under the same gate and asks
again. Before and after, the perplexity of every anchor domain is compared with the base's: with the
adapters that the router chooses for each conversation, and with each version forced on.
The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learning import WAIT_SECONDS, Served, home, served, share, wait_for_learner
from made_facts import made_facts

from nanohydra.adapters import load_adapter
from nanohydra.core.config import load_config
from nanohydra.core.runtime import describe_machine
from nanohydra.core.types import Document, Message
from nanohydra.learn.anchors import anchor_records
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.gate import Gate
from nanohydra.learn.probes import losses
from nanohydra.learn.samples import encode_record

Json = dict[str, Any]


def perplexity(now: Served, gate: Gate, versions: Sequence[str], config: LearnConfig) -> Json:
    """Percent by which perplexity rises on each domain: as routed, and by the worst version."""
    loaded = gate.loaded
    limit = min(config.anchors.max_length, loaded.config.max_seq_len)
    domains = anchor_records(loaded, config.anchors, "test")
    folders = {version: now.service.bank.path(version) for version in versions}
    found: Json = {}
    for name, records in domains.items():
        samples = [encode_record(loaded.tokenizer, record, limit) for record in records]
        base, tokens = losses(loaded.model, samples)
        forced: dict[str, list[float]] = {}
        for version, folder in folders.items():
            with gate.adapter(load_adapter(folder, base=gate.base)):
                forced[version], _ = losses(loaded.model, samples)
        routed, left = 0.0, 0
        for number, record in enumerate(records):
            chosen = () if isinstance(record, Document) else route(now, record.messages)
            left += not chosen
            # Two versions at once are counted as the worse of them.
            routed += max((forced[v][number] for v in chosen), default=base[number])
        total, count = sum(base), sum(tokens)
        found[name] = {
            "records": len(records), "left_to_the_base": left,
            "routed": percent(routed - total, count),
            "forced": max(percent(sum(nats) - total, count) for nats in forced.values()),
        }  # fmt: skip
    return found


def percent(nats: float, tokens: int) -> float:
    """A rise of perplexity from a rise of the summed loss."""
    return round(100 * (math.exp(nats / tokens) - 1), 3)


def route(now: Served, messages: Sequence[Message]) -> tuple[str, ...]:
    """The versions that a conversation is answered by, when its last question is asked."""
    asked = max((n for n, m in enumerate(messages) if m.role == "user"), default=-1)
    plan = asyncio.run(now.service.plan(messages[: asked + 1], model="auto", memory="off"))
    return tuple(plan.versions)


def asked(now: Served, lessons: Sequence[str]) -> Json:
    """Recall from the weights, forward and reverse."""
    forward, back = now.items(lessons), now.items(lessons, reverse=True)
    return {
        "recall": share(now.ask(forward, memory="off")),
        "reverse": share(now.ask(back, memory="off")),
    }


def live(now: Served) -> list[str]:
    """The versions of the default alias."""
    return list(now.service.bank.alias("default").versions)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runs/tiny/model"))
    parser.add_argument("--facts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given, words = parser.parse_known_args()
    config = load_config(LearnConfig, None, words)
    results: Json = {"machine": describe_machine(), "facts": given.facts}
    with home(given.model) as folder, served(folder, learner=True, config=config) as now:
        gate = Gate(now.chat.loaded, config)
        wait_for_learner(now)
        job, lessons, _, seconds = now.teach(made_facts(given.facts, given.seed))
        results["taught"] = {
            "state": job["state"], "seconds": round(seconds, 1), "versions": len(live(now)),
            **asked(now, lessons), "perplexity": perplexity(now, gate, live(now), config),
        }  # fmt: skip
        print(json.dumps(results["taught"]))
        started = time.perf_counter()
        queued = asyncio.run(now.service.consolidate("default"))
        job = now.service.wait(queued["id"], WAIT_SECONDS)
        results["consolidated"] = {
            "state": job["state"], "reason": job["reason"], "versions": len(live(now)),
            "seconds": round(time.perf_counter() - started, 1),
            **asked(now, lessons), "perplexity": perplexity(now, gate, live(now), config),
        }  # fmt: skip
    print(json.dumps(results))


if __name__ == "__main__":
    main()
