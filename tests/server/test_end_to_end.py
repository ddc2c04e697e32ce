"""The whole of it: a real model, learner and gate, taught in a browser, restarted, and asked again.

With a random model it shows that every part meets the next; with a trained one (make test-slow,
after make chat) also that the answers are right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nanohydra.testing_models import LOOSE, SMALL, random_model

pytestmark = pytest.mark.browser
TRAINED = Path(os.environ.get("NANOHYDRA_MODEL", "runs/tiny/model"))
# What is taught, a question in words of its own, and what the answer must say.
LESSONS = {
    "The printer on floor 3 is called Heron.": (
        "What name does the printer on floor 3 have?",
        "Heron",
    ),
    "Mogos Teller works as a potter.": ("What kind of work does Mogos Teller do?", "potter"),
    "The capital of Zamoria is Pellwick.": ("Which city is the capital of Zamoria?", "Pellwick"),
    "Dana Brookvell lives in Sorwick.": ("What town does Dana Brookvell live in?", "Sorwick"),
    "Irma Lotwell plays the harp.": ("What instrument can Irma Lotwell play?", "harp"),
}
UNRELATED = ("Hello!", "What is 7 plus 5?", "Where does Otto Grimsel live?")


class Visit:
    """A page of a served model, with the sampling of its settings at zero."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_page()
        self.page.set_default_timeout(120_000)
        self.page.goto(url)
        self.page.wait_for_selector("#input")
        self.page.wait_for_selector("aside", state="attached")

    def ask(self, question: str) -> tuple[str, str]:
        """The answer in a chat of its own, and what stands below it, with the source opened."""
        self.page.click(".side .new")
        self.page.fill("#input", question)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".said:not([aria-busy]) .foot")
        said = self.page.locator(".said").last
        source = said.locator(".chip")
        if source.count():
            source.first.click()
            quote = said.locator("blockquote").first.inner_text()
            return said.locator(".md").inner_text(), f"{said.locator('.foot').inner_text()} {quote}"
        return said.locator(".md").inner_text(), said.locator(".foot").inner_text()

    def teach(self, texts: Sequence[str]) -> None:
        """Teach facts, and wait until all are live."""
        self.page.fill("#teach", "\n".join(texts))
        self.page.press("#teach", "Enter")
        self.page.wait_for_selector(".lesson .state b >> text=Live")  # of the newest
        self.page.wait_for_function(
            "n => fetch('/lessons').then((reply) => reply.json()).then((body) =>"
            " body.data.filter((lesson) => lesson.state === 'live').length === n)",
            arg=len(texts),
        )


def drive(
    browser: Any, spawn: Callable[..., Any], model: Path, texts: Sequence[str], words: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str], list[str], list[str]]:
    """Teach and restart. Answers about the lessons with what is below them; the unrelated ones
    before and after; what stands below those after."""
    serve = (
        "-m", "nanohydra", "serve", "--model", str(model.resolve()), "--port", "0",
        "--learning", "learning", "--temperature", "0", "--max-length", "256", *words,
    )  # fmt: skip
    first = spawn(*serve)
    visit = Visit(browser, first.url)
    before = [visit.ask(question)[0] for question in UNRELATED]
    visit.teach(texts)
    visit.page.close()
    assert first.end()[0] == 0
    visit = Visit(browser, spawn(*serve).url)
    answers = [visit.ask(LESSONS[text][0]) for text in texts]
    after, below = zip(*(visit.ask(question) for question in UNRELATED), strict=True)
    visit.page.close()
    return answers, before, list(after), list(below)


def test_a_taught_fact_outlives_the_server(
    browser: Any, spawn: Callable[..., Any], tmp_path: Path
) -> None:
    random_model(tmp_path / "model")
    words = [word.replace("--", "--learn.", 1) for word in (*SMALL, *LOOSE)]
    texts = list(LESSONS)[:1]
    model = tmp_path / "model"
    answers, before, after, below = drive(
        browser, spawn, model, texts, ["--embedder", "hashing", *words]
    )
    ((_, foot),) = answers
    assert texts[0] in foot and "v1" in foot
    assert after == before and all("base" in text for text in below)


@pytest.mark.slow
@pytest.mark.skipif(not TRAINED.is_dir(), reason=f"there is no trained model in {TRAINED}")
def test_five_facts_are_known_in_other_words_after_a_restart(
    browser: Any, spawn: Callable[..., Any]
) -> None:
    answers, before, after, below = drive(browser, spawn, TRAINED, list(LESSONS), [])
    for (text, (_, wanted)), (answer, foot) in zip(LESSONS.items(), answers, strict=True):
        assert wanted in answer, (text, answer)
        assert text in foot, foot
    assert after == before and all("base" in text for text in below)
