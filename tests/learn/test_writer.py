"""What a writer adds to a study, with one that writes and answers by rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nanohydra.learn.lessons import Lesson, lessons_of, parse_lessons
from nanohydra.learn.study import (
    Statement,
    Study,
    StudyItem,
    Written,
    judge,
    statements_of,
    study,
    written_about,
)
from nanohydra.learn.study.writer import FAMILY_TOLD
from nanohydra.tasks.judge import says


class Parrot:
    """Writes what it was given, and answers with its note, or with what it knows by itself."""

    def __init__(
        self, *written: Written, reads: Callable[[str], str] = str, knows: str = "I see."
    ) -> None:
        self.written, self.reads, self.knows = written, reads, knows
        self.asked: list[str] = []

    def write(self, statements: Sequence[Statement]) -> list[list[Written]]:
        return [list(self.written) for _ in statements]

    def answers(self, notes: Sequence[str], items: Sequence[StudyItem]) -> list[bool]:
        self.asked += [item.question for item in items]
        replies = [self.reads(note) if note else self.knows for note in notes]
        return [judge(item, reply) for item, reply in zip(items, replies, strict=True)]


def ask(*questions: str, **rest: str) -> tuple[Written, ...]:
    return tuple(Written(question=question, **rest) for question in questions)


def lessons_from(lesson: str | dict[str, Any]) -> list[Lesson]:
    return lessons_of([lesson]) if isinstance(lesson, str) else parse_lessons([lesson])


def kept(lesson: str | dict[str, Any], writer: Parrot) -> tuple[StudyItem, ...]:
    lessons = lessons_from(lesson)
    return written_about(lessons, writer, study(lessons, seed=0)).items


def test_questions_name_the_subject_and_keep_the_answer() -> None:
    writer = Parrot(
        *ask(
            "Please, where is the home of Mara?",
            "Does Mara live in Lisbon?",  # gives the answer away
            "Where does she live?",  # names nobody
            "Mara lives there.",  # no question
            "Where in Portugal does Mara live?",  # Portugal was not told
            "Where did Mara live in 2019?",
            "Where does Mara live according to the statement?",
            "Where does Mara live now? " * 20,
            "PLEASE, where is the home of Mara?",  # the same again
        )
    )
    lessons = lessons_of(["Mara lives in Lisbon."])
    made = study(lessons, seed=0)
    outcome = written_about(lessons, writer, made)
    (item,) = outcome.items
    assert outcome.num_written == 9
    assert item.question == "Please, where is the home of Mara?" and item.split == "train"
    assert item.answer == "Mara lives in Lisbon." and item.accept == ("Lisbon",)
    assert item.lesson_id == lessons[0].id and item.relation == "lives"
    assert made == study(lessons, seed=0)  # what is drawn by the seed stays as it was


def test_what_is_held_out_is_not_written() -> None:
    held = [study(lessons_of(["Mara lives in Lisbon."]), seed=seed) for seed in range(5)]
    unseen = [i.question for each in held for i in each.dev + each.test if i.kind == "qa"]
    assert len(set(unseen)) > 8  # of the families, whatever was drawn of them
    assert not kept("Mara lives in Lisbon.", Parrot(*ask(*unseen)))
    shouted = [question.upper() for question in unseen]
    assert not kept("Mara lives in Lisbon.", Parrot(*ask(*shouted)))


@pytest.mark.parametrize(
    ("writer", "why"),
    [
        ({"reads": lambda note: "In Rome."}, "the statement does not answer it"),
        ({"reads": lambda note: f"{note} " * 4}, "an answer that runs on"),
        ({"knows": "Mara lives in Lisbon."}, "it is answered without the statement"),
    ],
)
def test_a_question_that_fails_the_round_trip_is_dropped(writer: dict[str, Any], why: str) -> None:
    question = ask("Please, where is the home of Mara?")
    assert kept("Mara lives in Lisbon.", Parrot(*question))
    assert not kept("Mara lives in Lisbon.", Parrot(*question, **writer)), why


def test_a_question_speaks_of_what_is_the_users() -> None:
    writer = Parrot(*ask("What is your cat called?", "How do I call the cat?", "My cat is who?"))
    assert [i.question for i in kept("My cat is called Pim.", writer)] == ["My cat is who?"]
    writer = Parrot(*ask("Which city is my home now?", "Which city is home now?"))
    (item,) = kept("I live in Oslo.", writer)
    assert item.question == "Which city is my home now?"


def test_paraphrases_keep_subject_object_and_sense() -> None:
    texts = (
        "The home of Mara is in Lisbon.",
        "Mara's home is Lisbon",  # cut off
        "She is at home in Lisbon.",
        "Mara has a home.",
        "Mara does not live in Lisbon.",
        "Mara has lived in Lisbon since 1990.",
        "Mara lives in Lisbon, Portugal.",
        "Mara lives in Lisbon.",  # as it was told
    )
    writer = Parrot(*(Written(text=text) for text in texts))
    (item,) = kept("Mara lives in Lisbon.", writer)
    assert (item.answer, item.kind, item.messages) == (texts[0], "statement", ())
    assert item.family == FAMILY_TOLD and item.split == "train"
    assert writer.asked == ["Where does Mara live?"]  # a plain question, from the paraphrase alone
    assert not kept("Mara lives in Lisbon.", Parrot(Written(text=texts[0]), reads=lambda _: "No."))
    assert not kept("My cat is called Pim.", Parrot(Written(text="Pim is my cat.")))  # who speaks?


def test_free_wording_is_asked_with_answers_found_in_it() -> None:
    text = "Whenever it rains in Tallo, the museum opens two hours late."
    writer = Parrot(
        Written(question="How late does the museum open when it rains?", text="two hours"),
        Written(question="When does the museum open late?", text="on holidays"),  # no part of it
        Written(question="When is it two hours late?", text="two hours late"),  # is told
        Written(question="And what is that?", text="the museum"),  # stands not by itself
        Written(question="What is told about the museum?", text=text),  # all of it
        Written(text="The museum opens late in Tallo."),
    )
    (item,) = kept(text, writer)
    assert (item.answer, item.accept) == ("Two hours.", ("two hours",))
    assert item.kind == "qa" and item.family == "written"
    document = {"kind": "document", "title": "Tallo", "text": f"{text} Mara lives in Lisbon."}
    assert len(statements_of(lessons_from(document))) == 2


def test_a_question_of_the_users_is_asked_in_other_words() -> None:
    lesson = {
        "kind": "qa",
        "question": "How do we reset the big kiln?",
        "answer": "Hold the red knob for ten seconds.",
    }
    writer = Parrot(*ask("What resets the kiln?", "Which knob is red?", "What now?"))
    (item,) = kept(lesson, writer)
    assert item.question == "What resets the kiln?" and item.answer == lesson["answer"]
    understood = {"kind": "qa", "question": "Where does Mara live?", "answer": "In Lisbon."}
    (statement,) = statements_of(lessons_from(understood))
    assert says(statement.text, ["Lisbon"]) and says(statement.text, ["Mara"])


def test_nothing_is_written_about_conversations_and_long_texts() -> None:
    turns = {
        "kind": "conversation",
        "messages": [
            {"role": "user", "content": "Say the code."},
            {"role": "assistant", "content": "Polly."},
        ],
    }
    assert statements_of(lessons_from(turns)) == []
    assert statements_of(lessons_of(["Whenever " + "very " * 100 + "late it rains."])) == []
    assert written_about([], Parrot(), Study()).items == ()
