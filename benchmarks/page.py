"""How long a person waits in the page: from Enter to the first words, and to a hundred tokens.

Serves a model in a process of its own and asks it in a headless Chromium; the times are taken
inside the page, by its own clock, when the text of the answer changes. The last line of standard
output is one JSON object.

    python benchmarks/page.py --model runs/tiny
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nanohydra.core.log import summary_table
from nanohydra.core.runtime import describe_machine

QUESTION = "Tell me a story about a {} fox."
TRAITS = "kind clever lazy brave curious shy merry proud quiet happy".split()
TOKENS = 100
LIMITS_MS = {"first": 100.0, "hundred": 2000.0}
# Notes when Enter was pressed, and when the newest answer's text changed for the first time. The
# page's own count of tokens per second tells how long a hundred of them take.
SETTLED_SECONDS = 8.0  # until the learner beside the server has loaded what it needs
WATCH = """
() => {
  window.times = {};
  document.querySelector("#input").addEventListener("keydown", (event) => {
    if (event.key === "Enter") window.times = { start: performance.now() };
  }, true);
  new MutationObserver(() => {
    const said = [...document.querySelectorAll(".said")].at(-1);
    const length = said?.querySelector(".md")?.innerText.trim().length ?? 0;
    if (!window.times.start || !length) return;
    window.times.first ??= performance.now();
    window.times.last = performance.now();
    window.times.length = length;
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("runs/tiny"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "nanohydra", "serve", "--model", str(given.model)]
        words += ["--port", "0", "--journal", f"{folder}/journal.db", "--temperature", "0"]
        words += ["--learning", f"{folder}/learning"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found, "the server did not start"
            time.sleep(SETTLED_SECONDS)
            asked = ask(found[0])
        finally:
            server.terminate()
            server.wait(30)
    result: dict[str, Any] = {"benchmark": "page", "answers": len(asked)}
    for name in ("first", "hundred"):
        values = sorted(each[name] for each in asked)
        result[f"{name}_ms"] = {
            "median": round(statistics.median(values), 1), "max": round(values[-1], 1)
        }  # fmt: skip
        result.setdefault("met", {})[name] = values[-1] <= LIMITS_MS[name]
    result["machine"] = describe_machine()
    rows = [
        (name, f"{result[f'{name}_ms']['median']} ms", f"at most {result[f'{name}_ms']['max']} ms")
        for name in LIMITS_MS
    ]
    summary_table("the page", rows)
    print(json.dumps(result))


def ask(url: str) -> list[dict[str, float]]:
    """Milliseconds of each answer; the first one warms up and does not count."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#input")
        page.evaluate(WATCH)
        for number, trait in enumerate(["good", *TRAITS]):
            page.click(".side .new")
            page.fill("#input", QUESTION.format(trait))
            page.keyboard.press("Enter")
            page.wait_for_selector(".said:not([aria-busy]) .foot")
            times = page.evaluate("window.times")
            speed = float(page.inner_text(".speed").split()[0].replace(",", ""))
            first = times["first"] - times["start"]
            hundred = first + 1000 * TOKENS / speed
            if number:
                asked.append({"first": first, "hundred": hundred})
        browser.close()
    return asked


if __name__ == "__main__":
    main()
