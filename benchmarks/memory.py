"""Memory: time from add to found, recall by words, by meaning and fused, and "not found".

Recall@4 is the share of questions of SQuAD's validation set whose paragraph is among the first four
passages, of all paragraphs. For "not found", memories of half of SQuAD's titles and of a few to a
few hundred made-up facts are asked what they hold and what they do not: the same about other names,
and other things. The score is fitted on one half of the questions and measured on the other, every
second one in small letters without its question mark. The last line of standard output is one JSON
object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from nanohydra.data.primer.abstain import no_text, outside
from nanohydra.data.primer.facts import back_question, question, statement
from nanohydra.data.primer.greetings import small_talk
from nanohydra.data.primer.world import Fact, new_facts
from nanohydra.memory import Memory, MemoryConfig, Source, load_embedder
from nanohydra.memory.embedders import Embedder
from nanohydra.memory.memory import Candidate
from nanohydra.memory.ranking import Calibration, Evidence, calibration_of

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "retrieval" / "squad_val.json.gz"
LIMIT = 4
FACTS = {1: (60, 4), 5: (30, 10), 50: (5, 60), 300: (2, 100)}  # facts: memories, questions each
FAR = 1_000  # a place that is not reached


@dataclass(frozen=True)
class Asked:
    """A question and what was considered. gold: the source that answers it, None if none does."""

    kind: str
    gold: str | None
    candidates: list[Candidate]


def found_after(memory: Memory, rounds: int) -> dict[str, float]:
    """Milliseconds from the call of `add` to the end of the search that finds the text."""
    times = []
    for number in range(rounds):
        (fact, *_) = new_facts(Random(f"time {number}"), "train")
        text = statement(fact, Random(number), "train")
        start = time.perf_counter()
        memory.add(Source(id=f"time{number}", owner="squad", title="", text=text))
        hits = memory.search(text, owner="squad")
        times.append(1e3 * (time.perf_counter() - start))
        assert hits and hits[0].source_id == f"time{number}", text
    for number in range(rounds):
        memory.remove(f"time{number}")
    return {"median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}


def document_found_after(memory: Memory, texts: Sequence[str]) -> dict[str, float]:
    """The same for the end of a long document, which its words find before it is embedded."""
    text = "\n\n".join(texts) + "\n\nThe keeper of the lighthouse of Orvandel is Zulema Brask."
    start = time.perf_counter()
    memory.add(Source(id="long", owner="long", title="", text=text))
    hits = memory.search("Who is the keeper of the lighthouse of Orvandel?", owner="long")
    took = 1e3 * (time.perf_counter() - start)
    assert hits and "Zulema Brask" in hits[0].text
    memory.remove("long")
    return {"document_characters": len(text), "document_ms": round(took, 1)}


def recall(memory: Memory, asked: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Recall@4 of each way to find."""
    orders: dict[str, Callable[[Candidate], float]] = {
        "keywords": lambda c: c.by_words or FAR,
        "vectors": lambda c: c.by_meaning or FAR,
        "fused_without_names": lambda c: -sum(1 / (60 + (r or 1e9)) for r in ranks(c)),
        "fused": lambda c: -c.order,
    }
    hits = dict.fromkeys([*orders, "search"], 0)
    for query, gold in asked:
        candidates = memory.candidates(query, owner="squad")
        for name, order in orders.items():
            first = sorted((c for c in candidates if order(c) < FAR), key=order)[:LIMIT]
            hits[name] += any(c.row.source_id == gold for c in first)
        found = memory.search(query, owner="squad", limit=LIMIT)
        hits["search"] += any(hit.source_id == gold for hit in found)
    return {name: round(count / len(asked), 4) for name, count in hits.items()}


def ranks(candidate: Candidate) -> tuple[int | None, int | None]:
    """The places in both rankings."""
    return candidate.by_words, candidate.by_meaning


def typed(query: str, number: int) -> str:
    """Every second query as many people type."""
    return query if number % 2 else query.lower().rstrip("?.! ")


def ask_squad(memory: Memory, pages: Sequence[dict[str, Any]], count: int) -> Iterator[Asked]:
    """Questions about the half of the titles that an owner has, and about the other half."""
    rng = Random(1)
    titles = sorted({page["title"] for page in pages})
    rng.shuffle(titles)
    known = set(titles[::2])
    here: list[tuple[str, str]] = []
    elsewhere: list[str] = []
    for number, page in enumerate(pages):
        questions = [q["question"] for q in page["questions"]]
        if page["title"] in known:
            add(memory, f"half{number}", "half", page["context"], page["title"])
            here += [(q, f"half{number}") for q in questions]
        else:
            elsewhere += questions
    for number, (query, gold) in enumerate(rng.sample(here, count)):
        yield ask(memory, "half", "squad held", typed(query, number), gold)
    for number, query in enumerate(rng.sample(elsewhere, count)):
        yield ask(memory, "half", "squad other pages", typed(query, number), None)


def ask_facts(memory: Memory, others: Sequence[str]) -> Iterator[Asked]:
    """Questions to memories of made-up facts: held, about other names, about other things."""
    for size, (memories, count) in FACTS.items():
        for repeat in range(memories):
            owner, rng = f"facts{size}.{repeat}", Random(f"{size} {repeat}")
            facts = [rng.choice(new_facts(rng, rng.choice(["train", "test"]))) for _ in range(size)]
            for number, fact in enumerate(facts):
                add(memory, f"{owner}.{number}", owner, statement(fact, rng, "train"))
            for number in range(count):
                gold = rng.randrange(size)
                (other, *_) = new_facts(rng, "test", facts[gold].relation.kind)
                for kind, query, answer in (
                    ("held", asking(facts[gold], rng), f"{owner}.{gold}"),
                    ("other names", question(other, rng, "test"), None),
                    ("other things", other_thing(rng, number % 4, others), None),
                ):
                    query = typed(query, number // 4 + number)
                    yield ask(memory, owner, f"{size} facts {kind}", query, answer)


def other_thing(rng: Random, kind: int, others: Sequence[str]) -> str:
    """A question about the world, one about a text that is not there, small talk, or SQuAD."""
    if kind == 0:
        return outside(rng, "test")
    if kind == 1:
        return no_text(rng, "test")
    return small_talk(rng, "test")[0] if kind == 2 else rng.choice(others)


def asking(fact: Fact, rng: Random) -> str:
    """A question that the fact answers, three in ten in reverse where that is possible."""
    reverse = fact.relation.back and rng.random() < 0.3
    return back_question(fact, rng, "test") if reverse else question(fact, rng, "test")


def add(memory: Memory, id: str, owner: str, text: str, title: str = "") -> None:
    """Remember a text."""
    memory.add(Source(id=id, owner=owner, title=title, text=text))


def ask(memory: Memory, owner: str, kind: str, query: str, gold: str | None) -> Asked:
    """Ask, and keep what was considered."""
    return Asked(kind, gold, memory.candidates(query, owner=owner)[:10])


def features(evidence: Evidence) -> list[float]:
    """What the score is made of, with a one for the bias."""
    return [evidence.similarity or 0.0, evidence.coverage, evidence.names_missing, 1.0]


def fit(asked: Sequence[Asked]) -> Calibration:
    """Logistic regression: passages that answer against the first ones where none does.

    Every kind of question weighs the same within its class, and both classes weigh the same.
    """
    rows: list[list[float]] = []
    labels: list[float] = []
    kinds: list[str] = []
    for a in asked:
        for c in a.candidates[: None if a.gold else 3]:
            if a.gold in (None, c.row.source_id):
                rows.append(features(c.evidence))
                labels.append(float(a.gold is not None))
                kinds.append(a.kind)
    x, y = np.array(rows), np.array(labels)
    sizes = {kind: kinds.count(kind) for kind in kinds}
    weights = np.array([1.0 / sizes[kind] for kind in kinds])
    for label in (0.0, 1.0):
        weights[y == label] *= 0.5 * len(y) / weights[y == label].sum()
    w = np.zeros(x.shape[1])
    for _ in range(50):  # Newton's method with a little ridge
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (weights * (p - y)) + 0.01 * w
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + 0.01 * np.eye(len(w))
        w -= np.linalg.solve(hessian, gradient)
    similarity, coverage, names_missing, bias = (round(float(value), 2) for value in w)
    return Calibration(
        similarity=similarity, coverage=coverage, names_missing=names_missing, bias=bias
    )


def judge(asked: Sequence[Asked], calibration: Calibration) -> dict[str, float]:
    """Of what is held: the answer is among the first four hits. Of what is not: there is no hit."""
    right: dict[str, list[bool]] = {}
    for a in asked:
        hits = [
            c.row.source_id
            for c in sorted(a.candidates, key=lambda c: -calibration.probability(c.evidence))
            if calibration.probability(c.evidence) >= calibration.threshold
        ]
        right.setdefault(a.kind, []).append(a.gold in hits[:LIMIT] if a.gold else not hits)
    return {kind: round(sum(values) / len(values), 3) for kind, values in sorted(right.items())}


def measure(embedder: Embedder, pages: list[dict[str, Any]], options: Any) -> dict[str, Any]:
    """Everything, for one embedder."""
    rng = Random(0)
    result: dict[str, Any] = {"embedder": embedder.name}
    with tempfile.TemporaryDirectory() as folder:
        config = MemoryConfig(eager_seconds=1e9, batch=64)
        memory = Memory(Path(folder) / "memory.db", embedder, config)
        for number, page in enumerate(pages):
            add(memory, f"page{number}", "squad", page["context"], page["title"])
        result["passages"] = memory.count()
        pairs = [(q["question"], f"page{n}") for n, p in enumerate(pages) for q in p["questions"]]
        result["recall_at_4"] = recall(memory, rng.sample(pairs, options.questions))
        print(json.dumps(result["recall_at_4"]))
        if options.times:
            usual = Memory(Path(folder) / "memory.db", embedder)
            result |= found_after(usual, options.rounds)
            result |= document_found_after(usual, [page["context"] for page in pages[:100]])
            usual.close()
        asked = [*ask_squad(memory, pages, options.unknown)]
        asked += ask_facts(memory, [query for query, _ in pairs])
        memory.close()
    rng.shuffle(asked)
    half = len(asked) // 2
    fitted = fit(asked[:half])
    print(f"fitted for {embedder.name}: {fitted}")
    result["fitted"] = judge(asked[half:], fitted)
    result["built_in"] = judge(asked[half:], calibration_of(embedder.name))
    for kind, value in result["built_in"].items():
        print(f"{kind:24} {value:.3f}   fitted {result['fitted'][kind]:.3f}")
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--squad", type=Path, default=DATA)
    parser.add_argument("--embedder", default="auto")
    parser.add_argument("--questions", type=int, default=1_000, help="for recall")
    parser.add_argument("--unknown", type=int, default=400, help="for not found, of either kind")
    parser.add_argument("--rounds", type=int, default=30, help="of the time from add to found")
    parser.add_argument("--times", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    with gzip.open(options.squad, "rt", encoding="utf-8") as file:
        pages = json.load(file)
    result = measure(load_embedder(options.embedder), pages, options)
    print(json.dumps({"benchmark": "memory", **result}))


if __name__ == "__main__":
    main()
