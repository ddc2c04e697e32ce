"""The report of a comparison: its figures against hand-worked ones, its drawings, its page."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nanohydra.continual.drawings import (
    NUM_COLOURS,
    forgetting_curves,
    matrices,
    memory_plot,
    place_names,
    styles,
)
from nanohydra.continual.figures import bytes_text, figures, lost_text, lost_unit, score_text
from nanohydra.continual.page import render
from nanohydra.continual.plots import write_plots
from nanohydra.continual.report import write_report
from nanohydra.continual.results import Results, SeedResult
from nanohydra.core.errors import UserError

TASKS = ("stories", "code", "abstracts")
NONE: tuple[float | None, ...] = (None, None, None)


def nats(*perplexities: float) -> tuple[float | None, ...]:
    return tuple(-math.log(p) for p in perplexities)


def seed(number: int, R: Any, *, memory: int = 0, added: int = 0) -> SeedResult:
    return SeedResult(
        seed=number,
        R=R,
        seconds=(10.0, 20.0, 30.0),
        memory_bytes=(0, memory, memory),
        added_parameters=(0, added, added),
    )


@pytest.fixture
def run() -> Results:
    base = nats(40, 60, 50)
    naive = (base, nats(10, 60, 50), nats(15, 8, 50), nats(20, 12, 20))
    other = (base, nats(10, 60, 50), nats(15, 8, 50), nats(30, 12, 20))
    replay = (base, nats(11, 60, 50), nats(11.5, 9, 50), nats(12.1, 9, 22))
    joint = (base, NONE, NONE, nats(10, 8, 21))
    return Results(
        name="three_tasks",
        tasks=TASKS,
        metrics=("log_likelihood",) * 3,
        strategies={
            "joint": (replace(seed(0, joint), seconds=(None, None, 60.0)),),
            "naive": (seed(0, naive), seed(1, other)),
            "replay": (seed(0, replay, memory=2**20),),
            "lora_per_task": (seed(0, replay, added=1000),),
        },
        sources={"stories": ["a <b> & c"]},
        machine={"cores": 2},
        recipe={"continual": {"train": {"lr": 0.1}}, "sft": {"lr": 1}},
    )


def test_figures_by_hand(run: Results) -> None:
    joint, naive, replay, lora = figures(run)
    assert lost_unit(run) == "%"
    # stories 10 -> 20 and 10 -> 30, code 8 -> 12: (100 + 50) / 2 and (200 + 50) / 2
    assert naive.lost is not None and naive.lost.mean == pytest.approx(100)
    assert naive.lost_by_task == pytest.approx((150, 50))
    assert naive.R[3][0] == pytest.approx(-math.log(600) / 2)
    assert replay.lost is not None and replay.lost.mean == pytest.approx(5)
    assert replay.lost.high is None  # one seed has no interval
    assert joint.lost is None and joint.learned is None and joint.seconds == 20
    assert naive.seconds == 20 and replay.bytes_beside == 2**20 and lora.bytes_beside == 4000
    assert replay.learned == pytest.approx(-math.log(11 * 9 * 22) / 3)
    accuracy = replace(run, metrics=("accuracy",) * 3, strategies={
        "naive": (seed(0, ((0.1,) * 3, (0.9, 0.1, 0.1), (0.7, 0.8, 0.1), (0.5, 0.7, 0.9))),)
    })  # fmt: skip
    (found,) = figures(accuracy)
    assert lost_unit(accuracy) == "points"
    assert found.lost is not None and found.lost.mean == pytest.approx((40 + 10) / 2)
    assert lost_unit(replace(run, metrics=("accuracy", "log_likelihood", "accuracy"))) == "points"


def test_a_seed_that_was_not_evaluated_makes_no_mean(run: Results) -> None:
    cut = seed(2, (nats(40, 60, 50), nats(10, 60, 50), NONE, NONE))
    partial = replace(run, strategies={"naive": (*run.strategies["naive"], cut)})
    (found,) = figures(partial)
    assert found.lost is None and found.average is None and found.R[3] == NONE
    assert found.R[1][0] == pytest.approx(-math.log(10))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (score_text(-math.log(12.345), "log_likelihood"), "12.35"),
        (score_text(-math.log(123456), "log_likelihood"), "123,456"),
        (score_text(-1e6, "log_likelihood")[:3], "10,"),
        (score_text(0.1234, "accuracy"), "12.3%"),
        (score_text(None, "accuracy"), "–"),
        (lost_text(3.21, "%"), "+3.2%"),
        (lost_text(321.4, "%"), "+321%"),
        (lost_text(4.5, "points"), "-4.5"),
        (lost_text(0.0, "points"), "0.0"),
        (lost_text(-0.01, "%"), "0.0%"),
        (bytes_text(0), "0"),
        (bytes_text(3 * 2**19), "1.5 MiB"),
    ],
)
def test_numbers_as_text(said: str, expected: str) -> None:
    assert said == expected


def test_curves_begin_where_a_task_was_learned_and_have_gaps(run: Results) -> None:
    stories, code = forgetting_curves(run, figures(run))
    assert "stories" in stories.title and len(stories.x_ticks) == 3 and len(code.x_ticks) == 2
    paths = {name: path for name, _, path in stories.paths}
    assert paths["naive"].count("L") == 2 and paths["joint"].count("L") == 0
    joint = [dot for dot in stories.dots if dot.name == "joint"]
    assert [dot.title for dot in joint] == ["joint, after abstracts: 10.00"]
    heights = {dot.title: dot.y for dot in stories.dots}
    assert heights["naive, after abstracts: 24.49"] < heights["replay, after abstracts: 12.10"]
    assert all(0 <= dot.x <= 100 and 0 <= dot.y <= 100 for dot in stories.dots + code.dots)


def test_a_colour_of_a_matrix_means_the_same_in_all_of_its_column(run: Results) -> None:
    joint, naive, *_ = matrices(run, figures(run))
    assert joint.rows[1][1][0].strength is None and joint.rows[1][1][0].text == "–"
    assert "not evaluated" in joint.rows[1][1][0].title
    cells = naive.rows[1][1]
    assert cells[0].own and not cells[1].own
    assert cells[0].strength == 1 and naive.rows[0][1][0].strength == 0


def test_memory_has_a_place_for_nothing(run: Results) -> None:
    plot = memory_plot(run, figures(run))
    assert plot is not None
    places = {dot.name: dot for dot in plot.dots}
    assert places["naive"].x < places["lora_per_task"].x < places["replay"].x
    assert places["naive"].y < places["replay"].y  # more is lost, so higher
    assert (
        memory_plot(run, figures(replace(run, strategies={"joint": run.strategies["joint"]})))
        is None
    )


def test_names_keep_off_each_other() -> None:
    sides = place_names(["first", "second", "third"], [(50, 50), (54, 50), (99, 20)])
    assert sides[0] != "right" and sides[1] == "right" and sides[2] == "left"


def test_every_strategy_has_a_look_of_its_own() -> None:
    names = ["joint", "naive", *(f"s{n}" for n in range(2 * NUM_COLOURS))]
    looks = styles(names)
    assert len(set(looks.values())) == len(names) and looks["naive"] == "naive"


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order."""

    VOID = ("meta", "path", "circle", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_holds_everything_and_asks_for_nothing(run: Results) -> None:
    page = render([run])
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"(?:src|href)=|https?://|url\(", page)
    assert "a &lt;b&gt; &amp; c" in page and "three tasks" in page
    for name in run.strategies:
        assert page.count(f">{name}<") >= 3
    assert "+100%" in page and "+5.0%" in page
    assert "continual.train.lr" in page and "sft.lr" not in page
    assert "least lost with one model" in page and ">replay<" in page


def test_runs_side_by_side(run: Results) -> None:
    other = replace(run, name="with_dora", strategies={"naive": run.strategies["naive"]})
    page = render([run, other])
    assert "with dora" in page and "not run" in page and page.count('class="run"') == 2


def test_what_is_written(run: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths = write_report([run], tmp_path / "r")
    assert [p.name for p in paths] == [
        "report.html", "forgetting.png", "matrices.png", "memory.png",
    ]  # fmt: skip
    assert all(p.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for p in paths[1:])
    several = write_report([run, run], tmp_path / "s")
    assert len(several) == 7 and len({p.parent for p in several}) == 3
    with pytest.raises(UserError, match="no results"):
        write_report([replace(run, strategies={})], tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_one_task_and_unknown_numbers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    alone = Results(
        name="one", tasks=("a",), metrics=("accuracy",),
        strategies={"naive": (SeedResult(seed=0, R=((0.5,), (None,)), seconds=(None,),
                                         memory_bytes=(None,), added_parameters=(None,)),)},
    )  # fmt: skip
    assert "naive" in render([alone]) and write_plots(alone, tmp_path)


def test_without_matplotlib_there_is_the_page(
    run: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert [p.name for p in write_report([run], tmp_path)] == ["report.html"]


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


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_the_page_in_a_browser(
    browser: Any, run: Results, tmp_path: Path, scheme: str, width: int
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render([run, replace(run, name="again")]), encoding="utf-8")
    page = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ).new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    one = page.locator(".run").first
    one.locator('button[data-s="replay"]').click()
    page.mouse.move(2, 2)
    assert "focused" in (one.get_attribute("class") or "")
    assert one.locator(".line.on").count() == 2
    one.locator('button[data-s="replay"]').click()
    page.mouse.move(2, 2)
    assert "focused" not in (one.get_attribute("class") or "")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert errors == [] and asked == [path.as_uri()]
    page.context.close()
