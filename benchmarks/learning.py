"""What teaching a served model costs and gives: times, recall, retention, forgetting, locality.

Starts the learning of a server on a copy of a model, with the real learner process beside it, and
teaches it made-up facts: first a few at once, then one lesson after another. Everything is asked
again after a restart, in wordings that no training saw, judged on the whole answer with its natural
stop. Writes results.json, lessons.png and forgetting.png; the last line of standard output is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from made_facts import as_lessons, made_facts, unrelated

from nanohydra.chat import ChatModel, ChatParams
from nanohydra.checkpoint import load
from nanohydra.core.config import load_config
from nanohydra.core.runtime import describe_machine
from nanohydra.core.scheduling import react_quickly, take_short_turns
from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig, EngineThread
from nanohydra.eval.stats import wilson
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.opening import open_learning
from nanohydra.learn.service import LearningService
from nanohydra.learn.study import StudyItem, judge

Json = dict[str, Any]
WAIT_SECONDS = 3600.0
IDLE_SECONDS = 20.0
UNRELATED = 700  # questions of the primer's test split
MOST_ASKED = 1000


@dataclass
class Served:
    """A model with its learning, as a server holds it."""

    chat: ChatModel
    service: LearningService

    def teach(
        self, texts: Sequence[str], patience: float = WAIT_SECONDS
    ) -> tuple[Json, list[str], float, float]:
        """Post facts and wait; the job, the lessons, and the seconds until memory and weights.

        patience: seconds after which the job is taken as it is.
        """
        start = time.perf_counter()
        lessons = [{"kind": "fact", "text": text} for text in texts]
        done = asyncio.run(self.service.submit(lessons, alias="default", resolve="keep_both"))
        remembered = time.perf_counter() - start
        job = self.service.wait(done["job"], patience)
        return job, done["lessons"], remembered, time.perf_counter() - start

    def ask(self, items: Sequence[StudyItem], *, model: str = "auto", memory: Any) -> list[bool]:
        """Whether each item is answered right, greedily, as a client of the server would see it."""

        async def one(item: StudyItem) -> bool:
            plan = await self.service.plan(item.messages, model=model, memory=memory)
            params = ChatParams(temperature=0.0, max_tokens=48)
            done = await self.chat.answer(plan.messages, params, adapter=plan.adapter)
            text = done.messages[-1].content if done.messages else ""
            return judge(item, text, finished=done.finish_reason == "stop")

        async def everything() -> list[bool]:
            return [await one(item) for item in items]

        return asyncio.run(everything())

    def gaps(self, until: Callable[[], bool]) -> list[float]:
        """Seconds between the words of stories that the base tells one after another."""
        found: list[float] = []

        async def stream() -> None:
            asked = [Message(role="user", content="Tell me a story about a kind fox.")]
            params = ChatParams(temperature=0.0, max_tokens=200)
            while not until():
                last = None
                async for event in self.chat.stream(asked, params):
                    now = time.perf_counter()
                    if last is not None:
                        found.append(now - last)
                    last = now if event.kind == "text" else None
                    if until():
                        break

        asyncio.run(stream())
        return found

    def untouched(self, questions: Sequence[str]) -> list[bool]:
        """Of each question whether the router leaves it to the base, whose answer is then the same
        to the bit."""

        async def one(question: str) -> bool:
            messages = [Message(role="user", content=question)]
            plan = await self.service.plan(messages, model="auto", memory="off")
            return plan.adapter is None

        async def everything() -> list[bool]:
            return [await one(question) for question in questions]

        return asyncio.run(everything())

    def gates(self) -> Json:
        """The worst of all versions: tokens kept where the adapter is forced on, and loss risen."""
        checks = [info.manifest["gate"]["checks"] for info in self.service.bank.list()]
        rises = [
            check["value"]
            for each in checks
            for name, check in each.items()
            if name.startswith("forgetting/")
        ]
        kept = [each["locality"]["value"] for each in checks]
        return {"locality": min(kept, default=None), "loss_rise": max(rises, default=None)}

    def items(self, lessons: Sequence[str], *, reverse: bool = False) -> list[StudyItem]:
        """The held-out questions of lessons: forward ones, or reverse ones."""
        found = self.service.store.study_items(list(lessons))
        kinds = ("reverse",) if reverse else ("qa", "cloze")
        return [i for i in found if i.split == "test" and i.messages and i.kind in kinds]


@contextmanager
def served(folder: Path, *, learner: bool, config: LearnConfig) -> Iterator[Served]:
    """The model of a folder, served; ended with everything it started."""
    loaded = load(folder / "model")
    thread = EngineThread(Engine(loaded.model, EngineConfig()))
    service = open_learning(
        folder / "learning", folder / "model", loaded, thread.engine, name="model",
        learner=learner, config=config,
    )  # fmt: skip
    try:
        yield Served(ChatModel(loaded, thread), service)
    finally:
        service.close()
        thread.close()


def some(items: Sequence[StudyItem], seed: int) -> list[StudyItem]:
    """At most MOST_ASKED of them, drawn by lot."""
    return list(items) if len(items) <= MOST_ASKED else Random(seed).sample(items, MOST_ASKED)


def share(oks: Sequence[bool]) -> Json:
    """A share with its Wilson interval."""
    if not oks:
        return {"value": None, "count": 0}
    interval = wilson(sum(oks), len(oks))
    return {
        "value": round(sum(oks) / len(oks), 4), "count": len(oks),
        "low": round(interval.low, 4), "high": round(interval.high, 4),
    }  # fmt: skip


def teach_at_once(model: Path, count: int, seed: int, config: LearnConfig, patience: float) -> Json:
    """Teach `count` facts in one job; ask after a restart.

    After `patience` seconds what is done by then is asked.
    """
    with home(model) as folder:
        with served(folder, learner=True, config=config) as now:
            wait_for_learner(now)
            job, lessons, remembered, seconds = now.teach(made_facts(count, seed), patience)
        with served(folder, learner=False, config=config) as again:
            states = {id: again.service.store.lesson(id).state for id in lessons}
            done = [id for id, state in states.items() if state in ("live", "memory_only")]
            forward = some(again.items(done), seed)
            back = some(again.items(done, reverse=True), seed)
            others = unrelated(UNRELATED, seed, as_lessons(made_facts(count, seed)))
            untouched, worst = again.untouched(others), again.gates()
            start = time.perf_counter()
            ways = {"weights": again.ask(forward, memory="off")}
            per_answer = (time.perf_counter() - start) / len(forward)
            ways |= {
                "memory": again.ask(forward, model="base", memory="auto"),
                "both": again.ask(forward, memory="auto"),
                "neither": again.ask(forward, model="base", memory="off"),
            }
            reverse = again.ask(back, memory="off")
            by_fact = {item.lesson_id: True for item in forward}
            for item, ok in zip(forward, ways["weights"], strict=True):
                by_fact[item.lesson_id] &= ok
        size = disk(folder / "learning")
    return {
        "facts": count, "state": job["state"], "reason": job["reason"],
        "seconds_to_memory": round(remembered, 3), "seconds_to_live": round(seconds, 2),
        "facts_right_in_every_wording": sum(by_fact.values()),
        "recall": {name: share(oks) for name, oks in ways.items()}, "reverse": share(reverse),
        "live": sum(state == "live" for state in states.values()),
        "memory_only": sum(state == "memory_only" for state in states.values()),
        "unrelated_left_to_the_base": share(untouched),
        "worst_version_forced_on": worst,
        "seconds_per_answer": round(per_answer, 4),
        "bytes_per_lesson": size // max(len(done), 1),
        "trainings": sum(e["step"] == "trained" for e in job["events"]),
        "versions": len(job["versions"]),
    }  # fmt: skip


def teach_while_answering(model: Path, count: int, seed: int, config: LearnConfig) -> Json:
    """How much longer an answer's tokens take while lessons are learned; seconds."""
    react_quickly()  # as the server's event loop
    take_short_turns()
    with home(model) as folder, served(folder, learner=True, config=config) as now:
        wait_for_learner(now)
        end = time.monotonic() + IDLE_SECONDS
        idle = now.gaps(lambda: time.monotonic() > end)
        texts = [{"kind": "fact", "text": text} for text in made_facts(count, seed)]
        done = asyncio.run(now.service.submit(texts, alias="default", resolve="keep_both"))
        over = threading.Event()  # looked at for every token, so it must cost nothing
        watch = threading.Thread(
            target=lambda: (now.service.wait(done["job"], WAIT_SECONDS, every=0.5), over.set())
        )
        watch.start()
        learning = now.gaps(over.is_set)
        watch.join()
    found: Json = {"tokens": {"idle": len(idle), "learning": len(learning)}}
    for name, q in (("p50", 50), ("p99", 99)):
        before, during = float(np.percentile(idle, q)), float(np.percentile(learning, q))
        found[name] = {
            "idle": round(before, 5), "learning": round(during, 5),
            "ratio": round(during / before, 3),
        }  # fmt: skip
    return found


def teach_in_turn(model: Path, count: int, seed: int, config: LearnConfig) -> Json:
    """Teach one fact after another; after each, ask all so far. R[t][i] is the share right."""
    matrix: list[list[float | None]] = []
    states: list[str] = []
    times: list[float] = []
    taught: list[str] = []
    with home(model) as folder:
        with served(folder, learner=True, config=config) as now:
            wait_for_learner(now)
            for text in made_facts(count, seed):
                job, lessons, _, seconds = now.teach([text])
                taught += lessons
                states.append(job["state"])
                times.append(round(seconds, 2))
                row: list[float | None] = []
                for lesson in taught:
                    oks = now.ask(now.items([lesson])[:4], memory="off")
                    row.append(round(sum(oks) / len(oks), 3) if oks else None)
                matrix.append([*row, *[None] * (count - len(row))])
                print(f"lesson {len(taught)}: {job['state']} after {seconds:.1f} s, {row}")
        size = disk(folder / "learning")
    last, diagonal = matrix[-1], [matrix[i][i] for i in range(count)]
    pairs = [(end or 0.0, first or 0.0) for end, first in zip(last, diagonal, strict=True)]
    bwt = [end - first for end, first in pairs[:-1]]
    return {
        "lessons": count, "states": states, "seconds": times, "matrix": matrix,
        "recall_at_the_end": round(float(np.mean([end for end, _ in pairs])), 4),
        "bwt": round(float(np.mean(bwt)), 4) if bwt else None,
        "bytes_per_lesson": size // count,
    }  # fmt: skip


@contextmanager
def home(model: Path) -> Iterator[Path]:
    """A copy of the model in a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model, Path(folder) / "model")
        yield Path(folder)


def wait_for_learner(now: Served) -> None:
    """Teach nothing before the learner's process is up, which a running server has behind it."""
    asyncio.run(
        now.service.plan([Message(role="user", content="hello")], model="auto", memory="auto")
    )
    time.sleep(8)


def disk(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def plot_counts(results: Sequence[Json], path: Path) -> None:
    """How recall, unrelated questions, time and place on disk go with the number of lessons."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    counts = [each["facts"] for each in results]
    panels: dict[str, dict[str, list[float]]] = {
        "share answered right": {
            **{
                name: [each["recall"][name]["value"] for each in results]
                for name in ("weights", "memory", "both")
            },
            "reverse": [each["reverse"]["value"] or 0.0 for each in results],
        },
        "share left as it was": {
            "routed": [each["unrelated_left_to_the_base"]["value"] for each in results],
            "forced, tokens": [
                each["worst_version_forced_on"]["locality"] or 0 for each in results
            ],
        },
        "seconds a lesson until live": {
            "": [each["seconds_to_live"] / each["facts"] for each in results]
        },
        "kB on disk a lesson": {"": [each["bytes_per_lesson"] / 1e3 for each in results]},
    }
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), layout="constrained")
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for name, values in lines.items():
            ax.plot(counts, values, "o-", label=name)
        ax.set(title=title, xscale="log", xlabel="lessons", xticks=counts, xticklabels=counts)
        ax.minorticks_off()
        if title.startswith("share"):
            ax.set(ylim=(0, 1.05))
            ax.legend()
        else:
            ax.set(ylim=(0, None))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot(matrix: Sequence[Sequence[float | None]], path: Path) -> None:
    """The mean recall of all lessons so far after each lesson, and of the first five."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    steps = range(1, len(matrix) + 1)
    known = [[value or 0.0 for value in row[:t]] for t, row in enumerate(matrix, 1)]
    axes.plot(steps, [np.mean(row) for row in known], label="all lessons so far")
    axes.plot(steps, [np.mean(row[:5]) for row in known], "--", label="the first five")
    axes.set(xlabel="lessons taught", ylabel="recall in held-out wordings", ylim=(0, 1.05))
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runs/tiny/model"))
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 5, 10])
    parser.add_argument("--while-answering", type=int, default=5)
    parser.add_argument("--in-turn", type=int, default=20)
    parser.add_argument("--patience", type=float, default=600.0, help="minutes for those at once")
    parser.add_argument("--seed", type=int, default=0)
    given, words = parser.parse_known_args()
    config = load_config(LearnConfig, None, words)  # as --train.lr=0.001
    given.out.mkdir(parents=True, exist_ok=True)
    results: Json = {"machine": describe_machine(), "model": given.model.name}
    results["at_once"] = []
    for count in given.at_once:
        results["at_once"].append(
            teach_at_once(given.model, count, given.seed, config, 60 * given.patience)
        )
        print(json.dumps(results["at_once"][-1]), flush=True)
    if results["at_once"]:
        plot_counts(results["at_once"], given.out / "lessons.png")
    if given.while_answering:
        results["while_answering"] = teach_while_answering(
            given.model, given.while_answering, given.seed, config
        )
        print(json.dumps(results["while_answering"]))
    if given.in_turn:
        results["in_turn"] = teach_in_turn(given.model, given.in_turn, given.seed, config)
        plot(results["in_turn"]["matrix"], given.out / "forgetting.png")
    (given.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
