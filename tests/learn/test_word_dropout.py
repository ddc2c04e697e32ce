from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from nanohydra.core.types import Message
from nanohydra.learn.samples import Mixture, Sample
from nanohydra.learn.study import StudyItem
from nanohydra.learn.word_dropout import VARIANTS, variants, with_fewer_words

Make = Callable[..., StudyItem]
QUESTION = "What kind of instrument does Dana Brook really play?"
ANSWER = "Dana Brook plays the cello."


def test_names_and_the_answers_words_stay_and_the_order_too() -> None:
    rng = Random(0)
    for _ in range(40):
        words = with_fewer_words(QUESTION, ANSWER, 0.5, rng).split()
        assert {"Dana", "Brook"} <= set(words)
        assert words == [word for word in QUESTION.split() if word in words]
    assert with_fewer_words(QUESTION, ANSWER, 1.0, rng) == "Dana Brook"
    assert with_fewer_words("who is it?", "Ann.", 1.0, rng) == "who is it?"  # nothing would be left


def test_a_share_of_the_other_words_goes() -> None:
    rng, left = Random(1), 0
    for _ in range(500):
        left += len(with_fewer_words(QUESTION, ANSWER, 0.25, rng).split()) - 2
    assert abs(left / (500 * 7) - 0.75) < 0.03


def test_only_questions_have_variants(make_item: Make) -> None:
    item = make_item(QUESTION, ANSWER, "cello")
    made = variants(item, 0.5, Random(0))
    assert 1 < len(made) <= VARIANTS
    assert all(each.answer == ANSWER and each.question != QUESTION for each in made)
    assert all(each.messages[-1].role == "user" for each in made)
    assert variants(item, 0.0, Random(0)) == []
    told = StudyItem(
        lesson_id="1", kind="statement", messages=(), answer=ANSWER, split="train",
        family="", accept=(),
    )  # fmt: skip
    assert variants(told, 0.5, Random(0)) == []
    before = (Message(role="user", content="Hello."), Message(role="assistant", content="Hello."))
    again = make_item("Who plays?", "Dana.", "Dana")
    long = StudyItem(**{**again.__dict__, "messages": (*before, *again.messages)})
    assert all(each.messages[:2] == before for each in variants(long, 0.9, Random(0)))


def test_the_mixture_takes_a_variant_every_second_time() -> None:
    whole = [Sample(ids=(n, 1, 2, 3), mask=(False, False, True, True)) for n in (10, 20)]
    fewer = Sample(ids=(10, 2, 3), mask=(False, True, True))
    mixture = Mixture(
        {"new": whole}, {"new": 1.0}, row_length=12, seed=0, variants={whole[0]: [fewer]}
    )
    drawn: Counter[tuple[int, int]] = Counter()
    for _ in range(50):
        batch = mixture.rows(4).batch
        for ids, segments in zip(batch.ids_BT.tolist(), batch.segments_BT.tolist(), strict=True):
            for segment in set(segments) - {-1}:
                size = segments.count(segment)
                drawn[ids[segments.index(segment)], size] += 1
    assert set(drawn) == {(10, 3), (10, 2), (20, 3)}
    assert 0.4 < drawn[10, 2] / (drawn[10, 2] + drawn[10, 3]) < 0.6
    assert abs(drawn[20, 3] - drawn[10, 2] - drawn[10, 3]) < 12  # both are drawn as often
