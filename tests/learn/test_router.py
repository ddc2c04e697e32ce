"""Which lesson a question is about, or none; with an embedder that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.router import Known, Router, RouterConfig, words_of
from nanohydra.learn.store import LearningStore
from nanohydra.learn.study.words import common_words
from nanohydra.memory import load_embedder

LOOSE = RouterConfig(similarity=4.0, naming=6.0, wording=2.0, bias=-8.0)


def known(lesson: str, version: str, text: str, *questions: str, created: float = 0.0) -> Known:
    return Known(lesson=lesson, version=version, created=created, questions=questions, text=text)


PRINTER = known(
    "printer", "v1", "The printer on our floor is called Heron.",
    "What is the printer called?", "What is the name of the printer on our floor?",
)  # fmt: skip
MOGOS = known("mogos", "v1", "Mogos lives in Fulby.", "Where does Mogos live?", "Who is in Fulby?")
DANA = known("dana", "v2", "Dana plays the cello.", "What does Dana play?", "Who plays the cello?")


@pytest.fixture
def router() -> Router:
    made = Router(load_embedder("hashing").encode, common=common_words(), config=LOOSE)
    made.set([PRINTER, MOGOS, DANA])
    return made


@pytest.mark.parametrize(
    ("question", "lesson"),
    [
        ("What is our printer called?", "printer"),
        ("Tell me where Mogos lives.", "mogos"),
        ("Which instrument does Dana play?", "dana"),
        ("Who plays the cello?", "dana"),
    ],
)
def test_questions_find_their_lesson(router: Router, question: str, lesson: str) -> None:
    route = router.choose(question)
    assert route is not None
    assert route.lessons == (lesson,)


@pytest.mark.parametrize(
    "question",
    [
        "Where does Lina live?",  # the same question about another name
        "What is my dog called?",
        "What is 12 times 12?",
        "Tell me a story about a brave duck.",
        "",
    ],
)
def test_questions_about_other_things_go_to_the_base(router: Router, question: str) -> None:
    assert router.choose(question) is None


def test_only_allowed_versions_and_lessons_are_chosen(router: Router) -> None:
    assert router.choose("Where does Mogos live?", {"v2"}) is None
    assert router.choose("Where does Mogos live?", None, {"dana"}) is None
    assert router.choose("Where does Mogos live?", {"v1"}, {"mogos"}) is not None


def test_two_lessons_in_two_versions_are_taken_together(router: Router) -> None:
    route = router.choose("Where does Mogos live and what does Dana play?")
    assert route is not None
    assert set(route.versions) == {"v1", "v2"}
    assert set(route.lessons) == {"mogos", "dana"}


def test_a_word_of_many_lessons_joins_no_two() -> None:
    towns = [
        known(town, town, f"The mayor of {town} is {who}.", f"Who is the mayor of {town}?")
        for town, who in (("Fulby", "Ann"), ("Pelin", "Ben"), ("Kelford", "Tim"))
    ]
    told, asked = "The founder of Kilfield is Dozol.", "Who is the founder of Kilfield?"
    dozol = known("dozol", "v9", told, asked)
    router = Router(load_embedder("hashing").encode, config=LOOSE)
    router.set([*towns, dozol])
    assert router.choose("Who is the mayor of Pelin?") is not None
    route = router.choose("Who is the mayor of Kilfield?")
    assert route is None or len(route.lessons) == 1


def test_no_name_is_put_together_from_two_lessons() -> None:
    said = "The gada bell was invented by Mona."
    bell = known("bell", "v1", said, "Who invented the gada bell?")
    garage = known("garage", "v2", "The garage belongs to Leva.", "Who has the garage?")
    router = Router(load_embedder("hashing").encode, config=LOOSE)
    router.set([bell, garage])
    for question in ("Who invented the leva bell?", "Who invented the Leva-Bell?"):
        route = router.choose(question)
        assert route is None or len(route.lessons) == 1, question
    route = router.choose("Who invented the gada bell, and what belongs to Leva?")
    assert route is not None
    assert set(route.lessons) == {"bell", "garage"}


def test_a_word_of_grammar_with_a_capital_is_a_name(router: Router) -> None:
    will = known("will", "v4", "Will lives in Pelin.", "Where does Will live?")
    router.set([MOGOS, will])
    route = router.choose("Where does Will live?")
    assert route is not None
    assert route.lessons == ("will",)
    assert router.rank("Where does Will live?")[1].naming == 0.0
    # at the start of a sentence, or among capitals, it tells nothing
    for question in ("Will Mogos live there?", "WHERE DOES MOGOS LIVE?"):
        assert router.rank(question)[0].known is MOGOS
        assert router.rank(question)[0].naming == 1.0


def test_of_two_answers_to_one_question_the_newer_counts(router: Router) -> None:
    moved = known("moved", "v3", "Mogos lives in Belby.", "Where does Mogos live?", created=5.0)
    router.set([MOGOS, moved, DANA])
    route = router.choose("Where does Mogos live?")
    assert route is not None
    assert (route.versions, route.lessons) == (("v3",), ("moved",))


def test_what_is_no_longer_known_is_not_chosen(router: Router) -> None:
    router.set([DANA])
    assert router.choose("Where does Mogos live?") is None
    router.set([])
    assert router.choose("What does Dana play?") is None


def test_only_new_lessons_are_embedded() -> None:
    embedder = load_embedder("hashing")
    asked: list[int] = []

    def encode(texts):  # type: ignore[no-untyped-def]
        asked.append(len(texts))
        return embedder.encode(texts)

    router = Router(encode, config=LOOSE)
    router.set([PRINTER, MOGOS])
    router.set([PRINTER, MOGOS, DANA])
    router.set([PRINTER, DANA])
    assert asked == [6, 3]


def test_words_meet_in_their_forms() -> None:
    assert words_of("Mogos's printers, the PRINTER") == ["mogo", "printer", "the", "printer"]


def test_all_lessons_at_once_are_scored_as_each_alone(router: Router) -> None:
    """The arrays hold what the definition says, computed lesson by lesson."""
    question = "Where does Mogos live, and who plays the cello on our floor?"
    vector = router.encode([question])[0]
    words = words_of(question)
    naming = [word for word in words if word not in router.common]
    ranked = {candidate.known.lesson: candidate for candidate in router.rank(question)}
    assert len(ranked) == 3
    for each in (PRINTER, MOGOS, DANA):
        texts = (*each.questions, each.text)
        own = {word for text in texts for word in words_of(text)}
        found = ranked[each.lesson]
        assert found.similarity == pytest.approx(float((router.encode(texts) @ vector).max()))
        assert found.naming == pytest.approx(sum(w in own for w in naming) / len(naming))


def test_without_a_rare_word_all_that_are_not_grammar_name_the_thing() -> None:
    common = ["What color is the house, the hall or the garden?"]
    router = Router(load_embedder("hashing").encode, common=common, config=LOOSE)
    router.set([known("hall", "v1", "Our hall is painted gray.", "What color is our hall?")])
    assert router.choose("What color is the hall?") is not None
    assert router.choose("What color is the house?") is None
    (found,) = router.rank("What color is the house?")
    assert found.naming == 0.5


def test_a_lesson_that_is_gone_is_no_longer_known(router: Router) -> None:
    router.set([MOGOS])
    assert router.choose("Who plays the cello?") is None
    assert router.choose("Where does Mogos live?") is not None
    router.set([])
    assert router.choose("Where does Mogos live?") is None and router.rank("Mogos") == []


def test_vectors_are_kept_for_the_next_start(tmp_path: Path) -> None:
    embedder = load_embedder("hashing")
    lesson = lessons_of(["Mogos lives in Fulby."])[0]
    mogos = known(lesson.id, "v1", lesson.text, "Where does Mogos live?")
    strange = known("unknown", "v1", "Dana plays the cello.", "What does Dana play?")
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return embedder.encode(texts)

    def start(name: str = "hashing") -> Router:
        asked.clear()
        router = Router(encode, config=LOOSE, shelf=store, embedder=name)
        router.set([mogos, strange])
        return router

    with LearningStore(tmp_path / "learning.db") as store:
        store.add_lessons([lesson])
        first = start().rank("Where is Mogos?")
        again = start()
        assert asked == list(strange.texts)  # a lesson that the store does not have is not kept
        assert again.rank("Where is Mogos?") == first
        start("another embedder")
        assert asked == [*mogos.texts, *strange.texts]
        store.delete_lesson(lesson.id)
        assert store.vectors([lesson.id]) == {}
        store.keep_vectors({lesson.id: ("key", b"")})
        assert store.vectors([lesson.id]) == {}
