"""Learning in a real browser: teach, see it live, ask, correct, roll back, forget."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanohydra.testing import FakeChat, wait_for
from nanohydra.testing_learning import FakeLearning

pytestmark = pytest.mark.browser
OpenTaught = Callable[..., tuple[Any, FakeLearning, FakeChat]]
HERON = "The printer on our floor is called Heron."
FERRY = "The ferry to Lark leaves at noon."
ASKED = "Which printer stands on our floor?"


@pytest.fixture
def open_taught(open_page: Callable[..., tuple[Any, Any]]) -> OpenTaught:
    """A page of a server that learns; its jobs take `step_s` for each of their stages."""

    def make(*, step_s: float = 0.05, **settings: Any) -> tuple[Any, FakeLearning, FakeChat]:
        chat = FakeChat(delay_s=0.003)
        learning = FakeLearning(chat, step_s=step_s)
        page, _ = open_page(chat, learning=learning, **settings)
        page.wait_for_selector("aside", state="attached")
        return page, learning, chat

    return make


def ask(page: Any, text: str = ASKED) -> Any:
    """Send a question; the whole answer's turn."""
    before = page.locator(".said").count()
    page.fill("#input", text)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => document.querySelectorAll('.said:not([aria-busy])').length > n", arg=before
    )
    return page.locator(".said").nth(before)


def teach(page: Any, text: str) -> None:
    page.fill("#teach", text)
    page.press("#teach", "Enter")
    page.wait_for_function("() => document.querySelector('#teach').value === ''")


def wait_live(page: Any, count: int = 1) -> None:
    page.wait_for_function(
        "n => [...document.querySelectorAll('.state b')]"
        ".filter(e => e.textContent === 'Live').length >= n",
        arg=count,
    )


def test_a_lesson_goes_from_memory_into_the_weights(open_taught: OpenTaught) -> None:
    page, learning, chat = open_taught(step_s=0.6)
    assert page.inner_text(".teach small") == "One fact a line, or a whole text."
    page.fill("#teach", f"{HERON}\n{FERRY}")
    assert page.inner_text(".teach small") == "2 facts"
    teach(page, f"{HERON}\n{FERRY}")
    page.wait_for_selector(".lesson >> nth=1")
    answer = ask(page)
    assert answer.locator(".md").inner_text() == HERON
    assert "from memory" in answer.locator(".foot").inner_text()
    page.wait_for_selector("aside h2 >> text=2 running")
    page.wait_for_selector(".steps i.n")
    wait_live(page, 2)
    page.wait_for_function(
        "() => document.querySelector('.unseen[role=status]').textContent.startsWith('Live: ')"
    )
    assert page.locator(".lesson >> nth=0 >> .steps i.d").count() == 4
    answer = ask(page)
    assert answer.locator(".md").inner_text() == HERON
    assert "v1" in answer.locator(".foot").inner_text()
    answer.locator(".chip").click()
    assert answer.locator("blockquote").inner_text() == HERON
    assert answer.locator(".chip").get_attribute("aria-expanded") == "true"
    assert ask(page, "hello").locator(".foot span").first.inner_text() == "base"
    assert chat.used == [None, next(iter(learning.versions)), None]
    # And all of it is still there after a reload.
    page.reload()
    page.wait_for_selector(".said .chip >> nth=1")
    assert "v1" in page.inner_text(".said >> nth=1 >> .foot")
    wait_live(page, 2)
    assert page.inner_text(".verdict").startswith("Hardly: 97.5%")
    assert page.inner_text(".tests dd >> nth=1").startswith("100%")


def test_a_wrong_answer_is_corrected_and_taught(open_taught: OpenTaught) -> None:
    page, learning, _ = open_taught()
    question = "Who painted the harbour fresco?"
    answer = ask(page, question)
    answer.locator("text=Correct and teach").click()
    assert page.input_value("#correct").startswith("You said")
    assert page.evaluate("document.activeElement.id") == "correct"
    page.keyboard.press("Escape")
    page.wait_for_selector("#correct", state="detached")
    answer.locator("text=Correct and teach").click()
    page.fill("#correct", "Ines Moreau painted the harbour fresco.")
    page.click("text=Teach this")
    wait_live(page)
    assert learning.said[0]["correction"] == "Ines Moreau painted the harbour fresco."
    assert (learning.said[0]["question"], learning.said[0]["rating"]) == (question, -1)
    page.click(".notice >> text=Ask again")
    page.wait_for_selector(".said:not([aria-busy]) .md >> text=Ines Moreau painted")
    assert page.locator(".said").count() == 1


def test_versions_go_back_and_forth(open_taught: OpenTaught) -> None:
    page, learning, chat = open_taught()
    for number, text in enumerate((HERON, FERRY), 1):
        teach(page, text)
        wait_live(page, number)
    first, second = learning.versions
    page.click("[aria-label='Roll back: v1']")
    page.wait_for_selector("[aria-label='Bring back: v2']")
    assert learning.names["default"].versions == [first]
    page.click("[aria-label='Bring back: v2']")
    wait_for(lambda: learning.names["default"].versions == [second, first])
    page.wait_for_selector("[aria-label='Roll back: v1']")
    page.click("text=Undo the last change")
    wait_for(lambda: learning.names["default"].versions == [first])
    page.click("[aria-label='Roll back to the base']")
    page.wait_for_selector("[aria-label='Bring back: v1']")
    # The base, or one version, can be asked for by name.
    page.select_option("[aria-label='Who answers']", label="default @ v1")
    ask(page)
    page.select_option("[aria-label='Who answers']", "base")
    assert ask(page).locator(".md").inner_text().startswith("You said")
    assert chat.used == [first, None]
    page.click("summary >> text=Adapter library")
    page.click("[aria-label='Delete version v2']")
    wait_for(lambda: list(learning.versions) == [first])


def test_a_lesson_is_forgotten(open_taught: OpenTaught) -> None:
    page, learning, _ = open_taught()
    teach(page, HERON)
    wait_live(page)
    page.hover(".lesson")
    page.click(".bin")
    assert page.evaluate("document.activeElement.textContent") == "Forget"
    page.keyboard.press("Escape")
    page.wait_for_selector(".sure", state="detached")
    assert page.evaluate("document.activeElement.className") == "bin"
    page.keyboard.press("Enter")
    page.wait_for_selector(".sure")
    page.keyboard.press("Enter")
    page.wait_for_selector(".lesson", state="detached")
    assert learning.versions == {}
    assert ask(page).locator(".md").inner_text().startswith("You said")


def test_a_refusal_says_why_in_words(open_taught: OpenTaught) -> None:
    page, _, _ = open_taught()
    teach(page, "The moon is made of cheese.")
    page.wait_for_selector(".state.bad >> text=Refused")
    assert page.inner_text(".state.bad span") == "kept in memory"
    assert "made of rock" in page.inner_text(".lesson .why")
    assert page.inner_text(".tests dd.bad").startswith("15%")
    assert "of the earlier lessons are lost" in page.inner_text(".tests dd.bad")
    page.wait_for_selector(".versions >> text=v1 · refused")


def test_a_job_is_cancelled(open_taught: OpenTaught) -> None:
    page, learning, _ = open_taught(step_s=60)
    teach(page, HERON)
    page.click("summary >> text=Jobs")
    page.click("[aria-label='Cancel the job of 1 lesson']")
    page.wait_for_selector(".state >> text=In memory only")
    assert page.inner_text(".lesson .why") == "It was cancelled."
    # As the learner's store has it: the lesson is as it was, and its job says why.
    for lesson in learning.all_lessons.values():
        lesson |= {"state": "remembered", "reason": None}
    page.reload()
    page.wait_for_selector(".state >> text=learning was cancelled")
    assert page.inner_text(".lesson .why") == "It was cancelled."


def test_a_contradiction_is_settled_by_the_person(open_taught: OpenTaught) -> None:
    page, learning, _ = open_taught(step_s=5)
    stork = "The printer on our floor is called Stork."

    def texts() -> list[str]:
        return [v["text"] for v in learning.lessons(limit=9)]

    teach(page, HERON)
    page.fill("#teach", stork)
    page.press("#teach", "Enter")
    page.wait_for_selector("dialog >> text=This contradicts an earlier lesson")
    assert page.locator(".versus dd").all_inner_texts() == [stork, HERON]
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.input_value("#teach") == stork  # what was written is not lost
    assert texts() == [HERON]
    for choice, left in (("Reject", [HERON]), ("Keep both", [stork, HERON])):
        page.fill("#teach", stork)
        page.press("#teach", "Enter")
        page.click(f"dialog button >> text={choice}")
        page.wait_for_selector("dialog", state="detached")
        wait_for(lambda left=left: texts() == left)
    page.fill("#teach", "The printer on our floor is called Crane.")
    page.press("#teach", "Enter")
    page.click("dialog button >> text=Replace")
    page.wait_for_selector(".lesson >> text=Crane")
    assert HERON not in texts() or stork not in texts()


def test_questions_and_files_are_taught(open_taught: OpenTaught, tmp_path: Path) -> None:
    page, learning, _ = open_taught(max_upload_bytes=2**20)
    page.click(".kinds >> text=Question")
    page.fill("[aria-label=Question]", "Who keeps the archive key?")
    page.fill("[aria-label=Answer]", "Mara keeps the archive key.")
    page.press("[aria-label=Answer]", "Enter")
    page.wait_for_selector(".lesson >> text=Mara")
    page.click(".kinds >> text=File")
    note = tmp_path / "ferry.md"
    note.write_text(f"# Ferries\n\n{FERRY} It is blue.")
    page.set_input_files(".drop input", note)
    page.wait_for_selector(".lesson >> text=ferry.md")
    wait_live(page, 2)
    answer = ask(page, "When leaves the ferry to Lark?")
    assert FERRY in answer.locator(".md").inner_text()
    answer.locator(".chip").click()
    assert re.match(r"ferry\.md, characters \d+ to \d+", answer.locator("figcaption").inner_text())
    wrong = tmp_path / "tune.mp3"
    wrong.write_text("x")
    page.set_input_files(".drop input", wrong)
    page.wait_for_selector(".teach .why >> text=Tune.mp3 is no .txt")
    wrong.write_bytes(b"x" * (2**20 + 1))
    page.set_input_files(".drop input", wrong)
    page.wait_for_selector(".teach .why >> text=tune.mp3 is too large: at most 1 MB.")
    assert len(learning.all_lessons) == 2


def test_memory_is_switched_off_for_one_chat(open_taught: OpenTaught) -> None:
    page, _, _ = open_taught(step_s=60)
    teach(page, HERON)
    page.click("text=Memory on")
    assert ask(page).locator(".md").inner_text().startswith("You said")
    page.reload()
    page.wait_for_selector("[role=switch] >> text=Memory off")
    page.click("text=New chat")
    page.wait_for_selector("[role=switch] >> text=Memory on")
    assert ask(page).locator(".md").inner_text() == HERON
    page.click("text=Memory on")
    page.wait_for_selector("[role=switch] >> text=Memory off")
    page.click("[role=switch]")
    assert ask(page, f"Say, {ASKED}").locator(".md").inner_text() == HERON


def test_narrow_screens_have_a_drawer_on_the_right(open_taught: OpenTaught) -> None:
    page, _, _ = open_taught()
    page.set_viewport_size({"width": 390, "height": 700})
    page.wait_for_selector("aside .teach", state="hidden")
    page.click(".opener")
    page.wait_for_selector("aside .teach", state="visible")
    assert page.evaluate("document.activeElement.className") == "shut"
    page.keyboard.press("Escape")
    page.wait_for_selector("aside .teach", state="hidden")
    assert page.evaluate("document.activeElement.className") == "opener"
    page.click(".box >> text=Teach")
    assert page.evaluate("document.activeElement.id") == "teach"
    page.keyboard.type(HERON)
    page.keyboard.press("Enter")
    wait_live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("aside", ".lesson", ".chart", ".versions"):
        box = page.locator(name).first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, name
    page.click(".shut")
    page.wait_for_selector("aside .teach", state="hidden")
    answer = ask(page)
    answer.locator(".chip").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".opener").bounding_box()
    assert box["x"] + box["width"] <= 390
    # A drawer that is left open does not lock the page once there is room for a column.
    page.click(".opener")
    page.set_viewport_size({"width": 1300, "height": 700})
    page.wait_for_function("() => !document.querySelector('main').inert")


def test_everything_has_a_name_and_a_ring(open_taught: OpenTaught) -> None:
    page, _, _ = open_taught()
    hostile = "<img src=x onerror='window.hit=1'> is <b>bold</b>."
    teach(page, hostile)
    wait_live(page)
    assert page.inner_text(".lesson p >> nth=0") == hostile
    assert page.evaluate("window.hit") is None
    for kind in ("Question", "File", "Text"):
        page.click(f".kinds >> text={kind}")
        names = page.eval_on_selector_all(
            "button, input, textarea, select, aside, section",
            "all => all.filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))"
            ".map(e => e.outerHTML)",
        )
        assert names == []
    page.focus("#teach")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim().slice(0, 15)"))
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        where = page.evaluate("document.activeElement.id || document.activeElement.localName")
        assert ring != "none" or where in ("input", "body", "textarea"), where
    assert {"Every lesson af", "Undo the last c", "Jobs 1", "Ledger 2"} <= reached


def test_many_lessons_are_found_again(open_taught: OpenTaught) -> None:
    page, _, _ = open_taught()
    teach(page, "\n".join(f"The name of drawer {number} is box {number}." for number in range(9)))
    wait_live(page, 4)
    assert page.locator(".lesson").count() == 4
    page.click("text=Show all 9")
    assert page.locator(".lesson").count() == 9
    page.fill(".find-lesson", "drawer 7")
    page.wait_for_function("() => document.querySelectorAll('.lesson').length === 1")
    page.click("text=Show fewer")
    page.wait_for_function("() => document.querySelectorAll('.lesson').length === 4")


def test_a_server_that_does_not_learn_has_no_column(
    open_page: Callable[..., tuple[Any, Any]],
) -> None:
    page, _ = open_page()
    page.wait_for_function("() => document.querySelector('#input').placeholder === 'Ask something'")
    assert page.locator("aside, .opener, .switch, .who").count() == 0
    assert ask(page, "hello").locator("text=Correct and teach").count() == 0
