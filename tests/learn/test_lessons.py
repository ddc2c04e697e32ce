from __future__ import annotations

from typing import Any

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.learn.lessons import (
    QA,
    ConversationLesson,
    DocumentLesson,
    Fact,
    body_from_json,
    body_to_json,
    lesson_to_json,
    lessons_of,
    parse_lessons,
)

TURNS = (Message(role="user", content="Hi"), Message(role="assistant", content="Ahoy!"))
BODIES = [
    Fact("The printer is called Bob."),
    QA("What is the code?", "The code is tulip."),
    DocumentLesson("Printers", "Bob is a printer. It is red."),
    ConversationLesson(TURNS),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_json_there_and_back(body: Any) -> None:
    assert body_from_json(body_to_json(body), "lesson") == body


def test_lessons_have_ids_owner_alias_and_time() -> None:
    found = parse_lessons([body_to_json(b) for b in BODIES], owner="ann", alias="work", now=7.0)
    assert [lesson.body for lesson in found] == BODIES
    assert [lesson.kind for lesson in found] == ["fact", "qa", "document", "conversation"]
    assert len({lesson.id for lesson in found}) == 4
    assert {(lesson.owner, lesson.alias, lesson.created) for lesson in found} == {
        ("ann", "work", 7.0)
    }
    assert found[3].text == "Hi\nAhoy!" and found[2].title == "Printers"
    assert lesson_to_json(found[2])["title"] == "Printers"  # the document's, not a label


def test_a_long_text_gets_a_short_title() -> None:
    (lesson,) = lessons_of(["word " * 100])
    assert len(lesson.title) <= 81 and lesson.title.endswith("…")


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("text", "lessons must be a list"),
        ([], "lessons is empty"),
        ([{"kind": "fakt", "text": "x"}], r"lessons\[0\].kind is 'fakt'; did you mean 'fact'"),
        ([{"kind": "fact"}], r"lessons\[0\].text must be text"),
        ([{"kind": "fact", "text": "x", "txt": 1}], "unknown field 'txt'; did you mean 'text'"),
        ([{"kind": "qa", "question": "x"}], r"lessons\[0\].answer must be text"),
        ([{"kind": "conversation", "messages": []}], "teaches nothing"),
        (
            [{"kind": "conversation", "messages": [{"role": "assistant", "content": "x"}]}],
            "teaches nothing",
        ),
        ([{"kind": "conversation", "messages": [{"role": "boss"}]}], r"messages\[0\].role"),
        (["x"], r"lessons\[0\] must be an object"),
    ],
)
def test_what_is_wrong_is_named(items: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_lessons(items)
