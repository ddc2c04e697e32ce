"""The page in a real browser: what a person does with it, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanohydra.testing import FakeChat, wait_for

pytestmark = pytest.mark.browser
Open = Callable[..., tuple[Any, Any]]


def ask(page: Any, text: str) -> None:
    """Send a question and wait for the end of its answer."""
    before = page.locator(".said").count()
    page.fill("#input", text)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => document.querySelectorAll('.said:not([aria-busy])').length > n", arg=before
    )


def turns(page: Any) -> list[str]:
    """What is said, in order: bubbles and answers, without their buttons."""
    return [text.strip() for text in page.locator(".bubble, .said .md").all_inner_texts()]


def test_a_question_is_answered_and_stays_after_a_reload(open_page: Open) -> None:
    page, live = open_page()
    ask(page, "hello there")
    assert turns(page)[0] == "hello there"
    assert turns(page)[1].startswith("You said: hello there")
    assert page.input_value("#input") == ""
    page.wait_for_selector(".conv.on >> text=hello there")
    assert re.search(r"#/c/\w+$", page.url)
    assert page.title() == "hello there · nanohydra"
    said = turns(page)
    page.reload()
    page.wait_for_selector(".said")
    assert turns(page) == said
    assert re.search(r"\d+ tok/s", page.inner_text(".meter"))
    assert re.search(r"\d+ / 2048", page.inner_text(".meter"))


def test_an_answer_grows_and_can_be_stopped(open_page: Open) -> None:
    chat = FakeChat(delay_s=0.03)
    page, live = open_page(chat)
    page.fill("#input", "count to 2000")
    page.click("[aria-label=Send]")
    page.wait_for_selector("[aria-busy] .md >> text=/1 2 3/")
    page.click("[aria-label=Stop]")
    page.wait_for_selector(".note >> text=stopped")
    wait_for(lambda: chat.engine.running == 0)
    assert chat.engine.aborted == 1
    assert page.evaluate("document.activeElement.id") == "input"
    said = turns(page)
    wait_for(lambda: not live.service.recorders)
    page.reload()
    page.wait_for_selector(".note >> text=stopped")
    assert turns(page)[1].startswith(said[1][:20])
    # And by keyboard, in the same chat.
    page.fill("#input", "count to 2000")
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-busy] .md >> text=/1 2 3/")
    page.keyboard.press("Escape")
    page.wait_for_selector("[aria-busy]", state="detached")
    wait_for(lambda: chat.engine.aborted == 2)


def test_a_tool_call_is_shown(open_page: Open) -> None:
    page, _ = open_page()
    ask(page, "There are 37 boxes with 24 apples in each. How many apples is that?")
    shown = re.sub(r"\s+", " ", page.inner_text(".tool"))
    assert shown == "calculator 37 * 24 = 888"
    assert turns(page)[1] == "The answer is 888."
    page.reload()
    page.wait_for_selector(".tool >> text=888")
    ask(page, "1 / 0")
    page.wait_for_selector(".tool.wrong >> text=error: division by zero")


def test_a_question_is_edited_and_its_answer_written_again(open_page: Open) -> None:
    page, live = open_page()
    for text in ("one", "two"):
        ask(page, text)
    page.hover(".bubble >> nth=0")
    page.click(".you >> nth=0 >> text=Edit")
    assert page.input_value(".edit textarea") == "one"
    page.fill(".edit textarea", "three")
    page.keyboard.press("Escape")
    assert turns(page)[0] == "one"
    page.click(".you >> nth=0 >> text=Edit")
    page.fill(".edit textarea", "three")
    page.keyboard.press("Enter")
    page.wait_for_selector(".said .md >> text=You said: three")
    assert len(turns(page)) == 2
    # Later turns went away with it, and can be had back.
    page.click(".notice >> text=Undo")
    page.wait_for_selector(".bubble >> text=two")
    assert [text.split(" (")[0] for text in turns(page)][::2] == ["one", "two"]
    page.reload()
    page.wait_for_selector(".bubble >> text=two")


def test_an_answer_is_written_again(open_page: Open) -> None:
    chat = FakeChat()
    page, _ = open_page(chat)
    ask(page, "hello")
    page.click(".said >> text=Again")
    wait_for(lambda: len(chat.seen) == 2)
    page.wait_for_selector(".said:not([aria-busy])")
    assert len(turns(page)) == 2
    assert chat.seen[0][0] == chat.seen[1][0]


def test_settings_reach_the_model_and_stay(open_page: Open) -> None:
    chat = FakeChat()
    page, _ = open_page(chat)
    page.click("text=Settings")
    page.fill("#system", "Be brief.")
    page.click("text=Use for new chats")
    for name, value in {
        "temperature": "0.2",
        "top_k": "12",
        "max_tokens": "3",
        "seed": "9",
    }.items():
        page.fill(f"#{name}", value)
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    ask(page, "count to 50")
    messages, params = chat.seen[-1]
    assert [(m.role, m.content) for m in messages][0] == ("system", "Be brief.")
    assert (params.temperature, params.top_k, params.max_tokens, params.seed) == (0.2, 12, 3, 9)
    assert turns(page)[1] == "1 2 3"
    assert page.inner_text(".said .note") == "cut at the length limit"
    page.reload()
    page.click("text=New chat")
    page.click("text=Settings")
    assert page.input_value("#system") == "Be brief."
    assert page.input_value("#seed") == "9"
    page.click("text=Back to the defaults")
    assert page.input_value("#seed") == ""


def test_chats_are_searched_by_keyboard(open_page: Open) -> None:
    page, _ = open_page()
    for text in ("the printer upstairs", "boxes and apples"):
        ask(page, text)
        page.click("text=New chat")
    page.keyboard.press("Control+k")
    page.wait_for_selector(".search [role=option] >> nth=1")
    page.keyboard.type("printer")
    page.wait_for_function("() => document.querySelectorAll('.search [role=option]').length === 1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bubble >> text=the printer upstairs")
    page.keyboard.press("Control+k")
    page.keyboard.type("no such words")
    page.wait_for_selector(".search >> text=Nothing found.")
    page.keyboard.press("Escape")
    page.wait_for_selector(".search", state="detached")


def test_a_chat_is_renamed_deleted_and_brought_back(open_page: Open) -> None:
    page, live = open_page()
    ask(page, "hello")
    page.click("[aria-label^='Options for']")
    page.click(".menu >> text=Rename")
    page.fill(".conv input", "A better name")
    page.keyboard.press("Enter")
    page.wait_for_selector(".conv >> text=A better name")
    assert [each.title for each in live.journal.recent()] == ["A better name"]
    page.click("[aria-label^='Options for']")
    page.keyboard.press("ArrowUp")  # from the first to the last: Delete
    page.keyboard.press("Enter")
    page.wait_for_selector(".none >> text=Your chats will be here.")
    assert live.journal.recent() == []
    page.wait_for_selector(".empty")
    page.click(".notice >> text=Undo")
    page.click(".conv >> text=A better name")
    page.wait_for_selector(".bubble >> text=hello")


def test_chats_are_exported_and_imported(open_page: Open, tmp_path: Path) -> None:
    page, live = open_page()
    ask(page, "37 * 24")
    with page.expect_download() as download:
        page.click(".base >> text=Export")
    file = tmp_path / "chats.json"
    download.value.save_as(file)
    assert re.fullmatch(r"nanohydra-chats-[\d-]+\.json", download.value.suggested_filename)
    exported = json.loads(file.read_text())
    assert exported["conversations"][0]["title"] == "37 * 24"
    page.set_input_files("input[type=file]", file)
    page.wait_for_selector(".notice >> text=1 chat imported.")
    assert len(live.journal.recent()) == 2
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{")
    page.set_input_files("input[type=file]", wrong)
    page.wait_for_selector(".notice >> text=wrong.json is not a JSON file.")


def test_the_suggestions_start_a_chat(open_page: Open) -> None:
    page, _ = open_page()
    assert page.locator(".chips button").count() == 4
    page.click(".chips >> text=37 boxes")
    page.wait_for_selector(".tool >> text=888")


def test_chats_stay_apart_while_one_is_answered(open_page: Open) -> None:
    page, live = open_page(FakeChat(delay_s=0.03))
    page.fill("#input", "count to 60")
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-busy] .md")
    page.click("text=New chat")
    page.wait_for_selector(".empty")
    ask(page, "hello")
    assert turns(page)[0] == "hello"
    page.click(".conv >> text=count to 60")
    page.wait_for_selector(".said:not([aria-busy]) .md >> text=/ 60$/")
    assert len(turns(page)) == 2
