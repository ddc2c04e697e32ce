from __future__ import annotations

import pytest

from nanohydra.core.errors import UserError
from nanohydra.learn.batches import batches, halves
from nanohydra.learn.config import LearnConfig, RetryConfig
from nanohydra.learn.lessons import lessons_of, parse_lessons
from nanohydra.learn.report import narrowest
from nanohydra.learn.retry import next_try, of_part

PEOPLE = ("Ana", "Bo", "Cy", "Dee", "Eli", "Flo", "Gus")


def places(texts: list[str], most: int) -> list[list[int]]:
    """The batches of facts, by their place in the list."""
    lessons = lessons_of(texts)
    order = {lesson.id: place for place, lesson in enumerate(lessons)}
    return [[order[id] for id in batch] for batch in batches(lessons, most=most)]


def test_few_lessons_are_learned_together() -> None:
    texts = [f"{name} works as a baker." for name in PEOPLE]
    assert places(texts, 5) == [[0, 1, 2, 3, 4], [5, 6]]
    assert places(texts, 1) == [[n] for n in range(7)]
    assert batches([], most=5) == []


def test_lessons_of_one_topic_stay_together() -> None:
    texts = ["Ana likes soup.", "Bo likes tea.", "Cy likes rice.", "Ana likes cake."]
    assert places(texts, 2) == [[0, 3], [1, 2]]
    assert places(["Ana likes soup.", "Ana likes cake."], 1) == [[0, 1]]


def test_a_document_counts_as_what_it_tells() -> None:
    text = "Ana works as a baker. Bo works as a guard. Cy works as a nurse."
    lessons = parse_lessons(
        [
            {"kind": "document", "title": "Work", "text": text},
            {"kind": "qa", "question": "Where does Dee live?", "answer": "In Rome."},
            {"kind": "fact", "text": "Eli lives in Oslo."},
        ],
        owner="local",
        alias="default",
    )
    ids = [lesson.id for lesson in lessons]
    assert batches(lessons, most=4) == [ids[:2], ids[2:]]
    assert batches(lessons, most=2) == [ids[:1], ids[1:]]


def test_halves_hold_every_lesson_once() -> None:
    assert halves("abcde") == (["a", "b", "c"], ["d", "e"])
    assert halves("ab") == (["a"], ["b"])


def test_what_is_not_learned_is_trained_longer_and_what_harms_more_gently() -> None:
    first = LearnConfig()
    longer = next_try(first, first, ["reverse"], 6)
    assert longer.train.max_epochs == first.train.max_epochs * first.retry.longer
    assert longer.train.reverse_times == first.train.reverse_times + 1
    assert longer.train.lr == first.train.lr
    gentler = next_try(first, longer, ["recall", "locality"], 6)
    assert gentler.train.lr == first.train.lr * first.retry.lr_factor
    assert gentler.train.max_epochs == longer.train.max_epochs
    upper = next_try(first, gentler, ["locality"], 6)
    assert upper.lora.layers == (3, 4, 5) and upper.train == gentler.train
    assert next_try(first, first, [], 6).train.lr < first.train.lr  # it broke down


def test_a_part_is_trained_less_strongly_or_longer() -> None:
    config = LearnConfig()
    part = of_part(config, ["locality"])
    assert part.train.emphasis == config.retry.emphasis < config.train.emphasis
    assert of_part(config, ["recall"]).train.min_steps > config.train.min_steps


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UserError, match="facts_per_version is 0"):
        LearnConfig(facts_per_version=0)
    with pytest.raises(UserError, match="longer is 0.5"):
        RetryConfig(longer=0.5)


def test_of_several_gates_the_narrowest_checks_are_shown() -> None:
    def check(value: float | None, limit: float, *, passed: bool = True) -> dict[str, object]:
        return {"value": value, "limit": limit, "passed": passed}

    one = {"recall": check(0.97, 0.85), "loss": check(0.01, 0.05), "earlier": check(None, 0.01)}
    two = {"recall": check(0.9, 0.85), "loss": check(-0.2, 0.05), "earlier": check(0.0, 0.01)}
    assert narrowest([one, two]) == {
        "recall": two["recall"], "loss": one["loss"], "earlier": two["earlier"],
    }  # fmt: skip
    failed = {"recall": check(0.5, 0.85, passed=False)}
    assert narrowest([one, failed, two])["recall"] == failed["recall"]
    assert narrowest([]) == {}
