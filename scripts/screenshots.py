"""Pictures of the page for the README, taken of a running server: light, dark and narrow.

Usage: python scripts/screenshots.py [URL [FOLDER]]     (http://127.0.0.1:8000 and docs/images)
Asks the model three questions in a new chat, and deletes the chat again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

QUESTIONS = (
    "Who are you?",
    "There are 37 boxes with 24 apples in each. How many apples is that?",
    "Tell me a story about a brave duck.",
)
SIZES = {"light": (1240, 800), "dark": (1240, 800), "narrow": (390, 760)}
# The arguments that let Chromium run as root in a container, and call nobody.
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main(url: str = "http://127.0.0.1:8000", folder: str = "docs/images") -> None:
    """Take the pictures."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        page = browser.new_page(device_scale_factor=2)
        page.set_default_timeout(120_000)
        page.goto(url)
        for number, question in enumerate(QUESTIONS):
            ask(page, question, number)
        for name, (width, height) in SIZES.items():
            page.emulate_media(color_scheme="dark" if name == "dark" else "light")
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.move(0, 0)
            page.wait_for_timeout(400)
            page.screenshot(path=out / f"page-{name}.png")
            print(out / f"page-{name}.png")
        page.request.delete(f"{url}/api/conversations/{page.url.rpartition('/')[2]}")
        browser.close()


def ask(page: Page, question: str, number: int) -> None:
    """Send a question and wait until its answer is whole."""
    page.wait_for_selector("#input[placeholder^=Ask]")
    page.fill("#input", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".said:not([aria-busy]) >> nth={number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
