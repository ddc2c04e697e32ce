"""The report in a real browser: nothing asked of the network, no errors, nothing cut off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanohydra.eval import EvalConfig, RunFacts, report_run, run_tasks
from nanohydra.tasks import load_task

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    lines = [
        f'{{"step": {step}, "seconds": {step}, "loss": {9 / (1 + step)}, "val_loss": 3}}'
        for step in range(0, 400, 5)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    tasks = {name: load_task(name) for name in EvalConfig().tasks}
    replies = {task.prompt(e): task.gold(e) for task in tasks.values() for e in task.load("test")}

    def answer(asked: Any) -> Any:
        return [list(replies[prompt]) if i % 5 else [] for i, prompt in enumerate(asked)]

    results = run_tasks(tasks, answer, EvalConfig(counts={}, count=20, seed=0))
    configuration = {"model": {f"some_quite_long_key_{i}": "x" * 8 * i for i in range(12)}}
    facts = RunFacts(name="a-run-with-a-rather-long-name", configuration=configuration)
    report_run(folder, facts, results=results, targets={"tool_accuracy": 0.95})
    return folder / "report.html"


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page(browser: Any, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(report.as_uri())

    loss = page.locator(".by-step .chart").first
    loss.locator(".box").hover()
    assert "step" in loss.locator("output").inner_text()
    page.mouse.move(2, 2)
    assert "step" not in loss.locator("output").text_content()

    page.locator("#by-time").check(force=True)
    assert not page.locator(".by-step").is_visible()
    assert page.locator(".by-seconds .chart").first.is_visible()
    for summary in page.locator("summary").all()[1:]:
        summary.click()
    assert page.locator(".sample").first.is_visible()

    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, "nothing reaches beyond the screen"
    assert errors == []
    assert asked == [report.as_uri()]
    context.close()
