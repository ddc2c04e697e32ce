"""The page in a real browser: markdown that may be hostile, themes, narrow screens, troubles."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from nanohydra.testing import FakeChat, wait_for

pytestmark = pytest.mark.browser
Open = Callable[..., tuple[Any, Any]]

# Both each line for itself, and all in one block.
ATTACKS = """\
<script>window.hit = 1</script>

<img src=x onerror="window.hit = 2">

<svg onload="window.hit = 3"></svg>

[a](javascript:window.hit=4) [b](data:text/html,x) [c]( java\tscript:window.hit=5 )

![d](https://evil.example/leak.png)

<a href="javascript:window.hit=6" onclick="window.hit=7">e</a>

<style>body { display: none }</style>

<form action="https://evil.example"><input name=q autofocus onfocus="window.hit=8"></form>

<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=hit()&gt;">

`<b>code</b>` and [fine](https://example.org "title")

```html"><img src=x onerror=window.hit=10>
<script>window.hit = 11</script>
```
"""
MARKDOWN = """\
# Title

Some **bold** and `code`, a [link](https://example.org).

| a | b |
|---|---|
| 1 | 2 |

- [x] done

```python
def area(r):  # a comment
    return 3.14 * r ** 2
```
"""


def show(page: Any, text: str = "show") -> None:
    """Ask, and wait for the answer."""
    page.fill("#input", text)
    page.keyboard.press("Enter")
    page.wait_for_selector(".said:not([aria-busy])")


def style(page: Any, selector: str, name: str) -> str:
    value: str = page.eval_on_selector(selector, f"e => getComputedStyle(e).{name}")
    return value


def test_hostile_markdown_stays_text(open_page: Open) -> None:
    together = ATTACKS.replace("\n\n", "\n")
    page, _ = open_page(FakeChat({"show": f"{ATTACKS}\n\n{together}"}))
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    show(page, "show")
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    tags = page.eval_on_selector_all(".md *", "all => all.map(e => e.localName)")
    allowed = {"p", "a", "br", "code", "pre", "div", "span", "button"}
    assert set(tags) <= allowed
    links = page.eval_on_selector_all(".md a", "all => all.map(e => e.getAttribute('href'))")
    assert [link for link in links if link] == [
        "https://evil.example/leak.png",
        "https://example.org",
    ]
    handlers = "all => all.flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.eval_on_selector_all(".md *", handlers) == []
    rel = page.eval_on_selector_all(".md a[href]", "all => all.map(e => e.rel)")
    assert set(rel) == {"noopener noreferrer"}
    assert "<script>window.hit = 1</script>" in page.inner_text(".said .md")
    assert not [url for url in fetched if "evil" in url]
    # The person's own words are never read as markdown or HTML.
    page.fill("#input", "<img src=x onerror='window.hit=12'> **b**")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bubble >> nth=1")
    assert page.inner_text(".bubble >> nth=1") == "<img src=x onerror='window.hit=12'> **b**"
    assert page.evaluate("window.hit") is None


def test_hostile_titles_stay_text(open_page: Open) -> None:
    page, live = open_page()
    live.journal.create(title="<img src=x onerror='window.hit=1'>")
    page.reload()
    page.wait_for_selector(".conv >> text=onerror")
    assert page.evaluate("window.hit") is None


def test_markdown_is_drawn_with_colours_and_copy(open_page: Open) -> None:
    page, _ = open_page(
        FakeChat({"show": MARKDOWN}),
        context={"permissions": ["clipboard-read", "clipboard-write"]},
    )
    show(page)
    assert page.inner_text(".md h1") == "Title"
    assert page.inner_text(".md strong") == "bold"
    assert page.locator(".md td").count() == 2
    page.wait_for_selector(".md .hljs-keyword >> text=def")
    assert page.inner_text(".code > div > span") == "python"
    page.click(".code button")
    page.wait_for_selector(".code button >> text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "def area(r):  # a comment\n    return 3.14 * r ** 2\n"
    page.click(".said .foot >> text=Copy")
    wait_for(lambda: "# Title" in page.evaluate("navigator.clipboard.readText()"))


def test_the_theme_follows_the_system_and_can_be_chosen(open_page: Open) -> None:
    page, _ = open_page(context={"color_scheme": "light"})
    paper = style(page, "body", "backgroundColor")
    page.emulate_media(color_scheme="dark")
    dark = style(page, "body", "backgroundColor")
    assert paper == "rgb(251, 250, 247)"
    assert dark == "rgb(20, 22, 26)"
    page.click("[aria-label^='Theme: as the system']")
    assert style(page, "body", "backgroundColor") == paper
    page.click("[aria-label='Theme: light']")
    page.emulate_media(color_scheme="light")
    assert style(page, "body", "backgroundColor") == dark
    page.reload()
    page.wait_for_selector("#input")
    assert style(page, "body", "backgroundColor") == dark


def test_narrow_screens_have_a_drawer(open_page: Open) -> None:
    page, _ = open_page(context={})
    page.set_viewport_size({"width": 390, "height": 700})
    show(page, "hello")
    page.wait_for_selector(".side .new", state="hidden")
    page.click(".burger")
    page.wait_for_selector(".side .new", state="visible")
    assert page.get_attribute(".burger", "aria-expanded") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector(".side .new", state="hidden")
    page.click(".burger")
    page.click(".side .conv a")
    page.wait_for_selector(".side .new", state="hidden")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    box = page.locator(".box").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 700


def test_the_keyboard_alone_will_do(open_page: Open) -> None:
    page, _ = open_page()
    assert page.evaluate("document.activeElement.id") == "input"
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    assert page.input_value("#input") == "first\nsecond"
    page.keyboard.press("Enter")
    page.wait_for_selector(".said:not([aria-busy])")
    assert page.inner_text(".bubble") == "first\nsecond"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        where = page.evaluate("document.activeElement.id || document.activeElement.localName")
        assert ring != "none" or where in ("input", "body"), where
    assert {"New chat", "Import", "Copy", "Edit", "Again", "Settings"} <= reached
    page.click("text=Settings")
    page.wait_for_selector("dialog[open]")
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Settings"


def test_screen_readers_are_told(open_page: Open) -> None:
    page, _ = open_page()
    show(page, "hello")
    page.wait_for_function(
        "() => document.querySelector('.unseen[role=status]').textContent"
        ".startsWith('Answer: You said')"
    )
    names = page.eval_on_selector_all(
        "button, input, textarea, nav, dialog",
        "all => all.filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))"
        ".map(e => e.outerHTML)",
    )
    assert names == []
    assert page.get_attribute("html", "lang") == "en"


def test_a_full_queue_is_told_and_tried_again(open_page: Open) -> None:
    chat = FakeChat(max_requests=0)
    page, _ = open_page(chat)
    page.fill("#input", "hello")
    page.keyboard.press("Enter")
    page.wait_for_selector(".trouble >> text=The model is busy with other questions.")
    assert page.inner_text(".bubble") == "hello"
    chat.engine.max_requests = 5
    page.click(".trouble button")
    page.wait_for_selector(".said .md >> text=You said: hello")
    assert page.locator(".trouble").count() == 0
    assert page.locator(".bubble").count() == 1


def test_a_server_that_goes_away_is_told(open_page: Open) -> None:
    chat = FakeChat(delay_s=0.03)
    page, live = open_page(chat)
    page.fill("#input", "count to 2000")
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-busy] .md >> text=/1 2 3/")
    live.server.handle_exit(2, None)
    live.server.handle_exit(2, None)
    page.wait_for_selector(".trouble")
    text = page.inner_text(".trouble")
    assert re.search("cannot be reached|shutting down", text)
    assert turns_kept(page)
    page.wait_for_function("() => document.querySelector('#input').placeholder.includes('reached')")


def turns_kept(page: Any) -> bool:
    """Whether what was written before the end is still there."""
    text: str = page.inner_text(".said .md")
    return text.startswith("1 2 3")


def test_a_key_is_asked_for(open_page: Open) -> None:
    page, _ = open_page(api_key="secret")
    page.wait_for_function("() => document.querySelector('#input').placeholder.includes('API key')")
    page.click("text=Settings")
    page.fill("#key", "secret")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('#input').placeholder === 'Ask something'")
    show(page, "hello")


def test_the_page_waits_for_the_model(open_page: Open) -> None:
    page, live = open_page()
    live.service.status = "loading"
    page.reload()
    page.wait_for_function("() => document.querySelector('#input').placeholder.includes('loading')")
    live.service.status = "ready"
    page.wait_for_function("() => document.querySelector('#input').placeholder === 'Ask something'")
    show(page, "hello")
