"""A server with many lessons: how soon a new one is in memory, and how long and how well it routes.

The lessons go through the server's own door (curated, remembered, queued). In the place of the
learner, which would take days for a thousand, every five of them get a version with small random
factors: the size, the bank, the router and the engine's loading are real, what it would answer is
not. The last line of standard output is one JSON object.

    python benchmarks/many_lessons.py --model runs/tiny/model --counts 1 10 100 1000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from learning import UNRELATED, Served, disk, home, served, share
from made_facts import as_lessons, made_facts, unrelated

from nanohydra.adapters import AdapterWeights, LoraConfig, attach
from nanohydra.adapters.base import base_hash
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import describe_machine
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.lessons import Lesson
from nanohydra.learn.planner import Live
from nanohydra.learn.study import study

Json = dict[str, Any]
PER_JOB = 5
ASKED = 300


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("runs/tiny/model"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    results = [measure(given.model, count, given.seed) for count in given.counts]
    rows = [
        (
            f"{each['lessons']} lessons",
            f"{each['post_ms']['p99']:.0f} ms to memory at p99",
            f"{each['plan_ms']['p50']:.1f} ms a plan",
            f"{each['routed_right']:.1%} right",
        )
        for each in results
    ]
    summary_table("many lessons", rows)
    print(json.dumps({"benchmark": "many_lessons", "counts": results,
                      "machine": describe_machine()}))  # fmt: skip


def measure(model: Path, count: int, seed: int) -> Json:
    """One size, in a learning home of its own."""
    with home(model) as folder, served(folder, learner=False, config=LearnConfig()) as now:
        texts = made_facts(count, seed)
        posts = []
        for start in range(0, count, PER_JOB):
            begun = time.perf_counter()
            body = [{"kind": "fact", "text": text} for text in texts[start : start + PER_JOB]]
            asyncio.run(now.service.submit(body, alias="default", resolve="keep_both"))
            posts.append(time.perf_counter() - begun)
            publish(now, seed + start)
        refreshed = refresh(now)
        asked = now.items([lesson.id for lesson in now.service.store.lessons()])
        Random(seed).shuffle(asked)
        right, first, again = [], [], []
        for item in asked[:ASKED]:
            for times in (first, again):  # the version may come from disk first, and is there then
                begun = time.perf_counter()
                plan = now.service.planner._plan(item.messages, "auto", True)
                times.append(time.perf_counter() - begun)
            right.append(item.lesson_id in [lesson["id"] for lesson in plan.lessons])
        others = unrelated(UNRELATED, seed, as_lessons(texts))
        return {
            "lessons": count,
            "versions": len(now.service.bank.list()),
            "post_ms": percentiles(posts),
            "router_refresh_s": round(refreshed, 2),
            "router_refresh_after_a_restart_s": round(refresh(now, forget=True), 2),
            "plan_first_ms": percentiles(first),
            "plan_ms": percentiles(again),
            "routed_right": round(float(np.mean(right)), 4),
            "unrelated_left_to_the_base": share(now.untouched(others)),
            "bytes_per_lesson": disk(folder / "learning") // count,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def refresh(now: Served, *, forget: bool = False) -> float:
    """Seconds until the planner knows what is live; forget: all that a new process would lack."""
    planner = now.service.planner
    if forget:
        planner._live = Live()
        planner.router.set([])
    begun = time.perf_counter()
    planner.refresh()
    return time.perf_counter() - begun


def publish(now: Served, seed: int) -> None:
    """What the learner does with the job at the head of the queue, without training."""
    service = now.service
    job = service.store.claim("benchmark", lease_s=60.0)
    assert job is not None
    lessons: Sequence[Lesson] = service.store.lessons_by_id(job.lesson_ids)
    service.store.save_study(study(lessons, seed=0).items)
    version = service.bank.publish(
        random_version(now, seed), service.config, manifest={"alias": job.alias}
    )
    service.store.record_version(version, new=dict.fromkeys(job.lesson_ids, 1.0), replay=[])
    versions = service.bank.alias(job.alias).versions
    service.bank.activate(job.alias, (version, *versions))
    service.store.update(job.id, worker="benchmark", state="live", version=version)
    service.store.record("live", job=job.id, version=version)


def random_version(now: Served, seed: int) -> AdapterWeights:
    """Small factors on every linear layer, as large on disk as those of a lesson."""
    model = now.chat.loaded.model
    attached = attach(model, LoraConfig(), seed=seed)
    weights = attached.weights(base_hash(model))
    attached.detach()
    generator = torch.Generator().manual_seed(seed)
    for pair in weights.pairs.values():
        pair.b_OR.normal_(std=1e-3, generator=generator)
    return weights


def percentiles(seconds: Sequence[float]) -> Json:
    """Milliseconds."""
    return {
        f"p{q}": round(1000 * float(np.percentile(seconds, q)), 2) for q in (50, 99)
    }  # fmt: skip


if __name__ == "__main__":
    main()
