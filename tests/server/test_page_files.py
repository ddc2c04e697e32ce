"""The page's files: served, unchanged from their packages, small, readable, of enough contrast."""

from __future__ import annotations

import hashlib
import re
from itertools import product
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import nanohydra.server

STATIC = Path(nanohydra.server.__file__).parent / "static"
VENDOR = STATIC / "vendor"
OURS = sorted([*STATIC.glob("js/*.js"), *STATIC.glob("css/*.css")])
ROW = re.compile(
    r"^\| `(?P<file>[^`]+)` \| (?P<package>[^|]+) \| (?P<version>[\d.]+) \| [^|]+ "
    r"\| (?P<licence>[^|]+) \| `(?P<hash>[0-9a-f]{64})` \|$",
    re.MULTILINE,
)


def test_vendored_files_are_what_the_table_says() -> None:
    rows = list(ROW.finditer((VENDOR / "README.md").read_text()))
    listed = {row["file"]: row["hash"] for row in rows}
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "README.md" and not path.name.startswith("LICENSE-")
    }
    assert found == listed


def test_every_vendored_package_has_its_licence() -> None:
    texts = [path.read_text() for path in sorted(VENDOR.glob("LICENSE-*"))]
    assert [path.name.removeprefix("LICENSE-") for path in sorted(VENDOR.glob("LICENSE-*"))] == [
        "DOMPurify",
        "Inter",
        "highlight.js",
        "htm",
        "marked",
        "preact",
    ]
    assert all(len(text) > 1000 for text in texts)


def test_the_page_stays_small() -> None:
    size = sum(path.stat().st_size for path in VENDOR.rglob("*") if path.is_file())
    assert size < 400_000
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < 500_000


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert text.startswith("// " if path.suffix == ".js" else "/* ")
    # No code and no style by string: the policy forbids it, and so do we.
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(", text)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_the_page_has_no_inline_code_or_style() -> None:
    text = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


def test_every_file_that_a_module_imports_is_there() -> None:
    for path in STATIC.glob("js/*.js"):
        for target in re.findall(r'(?:from|import|import\()\s*"(\.[^"]+)"', path.read_text()):
            assert (path.parent / target).is_file(), f"{path.name} imports {target}"


def test_files_are_served_with_types_that_browsers_accept(client: TestClient) -> None:
    types = {
        "/": "text/html",
        "/static/js/main.js": "text/javascript",
        "/static/css/tokens.css": "text/css",
        "/static/vendor/inter.woff2": "font/woff2",
        "/static/icon.svg": "image/svg+xml",
    }
    for path, kind in types.items():
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(kind)
        assert response.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"if-none-match": response.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/static/../config.py", "/static/%2e%2e/config.py", "/static/no"])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert "error" in response.json()


def luminance(colour: str) -> float:
    """Relative luminance, as in WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_formula() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(theme: int) -> None:
    tokens = (STATIC / "css" / "tokens.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", tokens)
    colours = {name: (light, dark)[theme] for name, light, dark in pairs}
    texts = [name for name in colours if name in ("ink", "soft", "accent", "warn")]
    texts += [name for name in colours if name.startswith("code-")]
    assert len(texts) == 8
    for text, ground in product(texts, ("paper", "panel", "raise")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["accent-ink"], colours["accent"]) >= 4.5
    assert contrast(colours["paper"], colours["ink"]) >= 4.5  # notices are inverted
