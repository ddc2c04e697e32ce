"""How well questions find their lesson, and other questions find none.

Lessons are made-up facts; the questions are those of their study that are held out by family.
Questions that must find nothing: the same ones about other names, questions about other relations
of the same subjects, and the primer's test questions. The router's weights are fitted on one half
of the lessons (--fit) and measured on the other. The last line of standard output is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from random import Random

import numpy as np
from made_facts import as_lessons, made_facts, unrelated

from nanohydra.learn.near_misses import change_name
from nanohydra.learn.router import Known, Router, RouterConfig
from nanohydra.learn.study import Study, study
from nanohydra.learn.study.words import common_words
from nanohydra.memory import load_embedder


def known_of(texts: dict[str, str], made: Study) -> list[Known]:
    """Lessons as a server knows them: by their training questions."""
    return [
        Known(
            lesson=lesson, version=f"version of {lesson}", created=float(number), text=text,
            questions=tuple(
                dict.fromkeys(
                    i.question
                    for i in made.select("train", lessons=[lesson])
                    if i.kind != "statement"
                )
            ),
        )
        for number, (lesson, text) in enumerate(texts.items())
    ]  # fmt: skip


def questions_of(made: Study, rng: Random) -> tuple[list[tuple[str, str]], list[str]]:
    """Held-out questions with their lesson, and the same about other names."""
    asked = [
        (item.question, item.lesson_id)
        for item in made.test
        if item.kind in ("qa", "reverse") and item.messages
    ]
    missed = [change_name(question, rng) for question, _ in asked]
    return asked, [question for question in missed if question is not None]


def features(router: Router, questions: Sequence[str]) -> np.ndarray:
    """Similarity, naming and wording of the best lesson for each question, (N, 3)."""
    rows = []
    for question in questions:
        best = router.rank(question)[0]
        rows.append((best.similarity, best.naming, best.wording))
    return np.array(rows)


def fit(good: np.ndarray, bad: np.ndarray, config: RouterConfig) -> RouterConfig:
    """Logistic regression by Newton's method, a wrong answer weighing five times a missed one."""
    x = np.concatenate([good, bad])
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    y = np.concatenate([np.ones(len(good)), np.zeros(len(bad))])
    cost = np.where(y > 0, 0.5 / len(good), 2.5 / len(bad))
    weights = np.zeros(4)
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (cost * (p - y)) + 1e-4 * weights
        hessian = (x * (cost * p * (1 - p))[:, None]).T @ x + 1e-4 * np.eye(4)
        weights -= np.clip(np.linalg.solve(hessian, gradient), -2, 2)
    names = ("similarity", "naming", "wording", "bias")
    return replace(config, **{n: round(float(w), 3) for n, w in zip(names, weights, strict=True)})


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lessons", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embedder", default="auto")
    parser.add_argument("--fit", action="store_true", help="fit the weights on other lessons")
    options = parser.parse_args()
    embedder = load_embedder(options.embedder)
    config = RouterConfig()
    results: dict[str, object] = {"embedder": embedder.name, "lessons": options.lessons}
    for part in ("fit", "test") if options.fit else ("test",):
        rng = Random(f"{options.seed} {part}")
        lessons = as_lessons(made_facts(options.lessons, rng.randrange(10**9)))
        made = study(lessons, seed=options.seed)
        router = Router(embedder.encode, common=common_words(), config=config)
        router.set(known_of({lesson.id: lesson.text for lesson in lessons}, made))
        asked, missed = questions_of(made, rng)
        others = unrelated(1400, rng.randrange(10**6), lessons)
        if part == "fit":
            good = features(router, [question for question, _ in asked])
            config = fit(good, features(router, [*missed, *others]), config)
            results["config"] = asdict(config)
            continue
        start = time.perf_counter()
        routes = [(q, lesson, router.choose(q)) for q, lesson in asked]
        seconds = (time.perf_counter() - start) / len(asked)
        wrong = [(q, r.lessons if r else None) for q, i, r in routes if not r or r.lessons[0] != i]
        false = [q for q in missed if router.choose(q)]
        false_others = [q for q in others if router.choose(q)]
        for line in (*wrong[:25], *false[:15], *false_others[:15]):
            print(line)
        results |= {
            "questions": len(asked),
            "right": 1 - len(wrong) / len(asked),
            "other_names": len(missed),
            "abstained_other_names": 1 - len(false) / len(missed),
            "unrelated": len(others),
            "abstained_unrelated": 1 - len(false_others) / len(others),
            "ms_per_question": round(seconds * 1000, 2),
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
