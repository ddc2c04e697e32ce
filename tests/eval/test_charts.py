"""Charts: ticks, thinning, smoothing, and what a line chart is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.eval.charts import (
    Series,
    clock,
    line_chart,
    linear_ticks,
    log_ticks,
    moving_average,
    thin,
    time_ticks,
)
from nanohydra.eval.curves import Point, Stage

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


def points(values: list[float]) -> tuple[Point, ...]:
    return tuple(Point(step=i, seconds=2.0 * i, value=v) for i, v in enumerate(values))


def test_ticks_are_round_and_hold_the_range() -> None:
    assert linear_ticks(0, 5100) == [0, 1000, 2000, 3000, 4000, 5000, 6000]
    assert linear_ticks(3, 3)[0] <= 3 <= linear_ticks(3, 3)[-1]
    assert linear_ticks(0, 3, whole=True) == [0, 1, 2, 3]
    assert log_ticks(0.3, 7.2) == [0.3, 0.7, 1.5, 3, 7]
    assert time_ticks(0, 820) == [0, 300, 600]
    assert time_ticks(0, 10 * 86400)[-1] >= 8 * 86400


@given(FINITE, FINITE)
def test_linear_ticks_surround_any_range(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    ticks = linear_ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack and high - slack <= ticks[-1]
    assert 2 <= len(ticks) <= 9


def test_clock() -> None:
    assert [clock(s) for s in (0, 45, 450, 7500)] == ["0", "45 s", "7:30", "2:05 h"]


def test_thinning_keeps_ends_and_spikes() -> None:
    raw = [(float(x), 100.0 if x == 777 else 0.0) for x in range(5000)]
    kept = thin(raw, 100)
    assert len(kept) <= 102
    assert (kept[0], kept[-1]) == (raw[0], raw[-1])
    assert (777.0, 100.0) in kept
    assert thin(raw[:50], 100) == raw[:50]


def test_moving_average_keeps_ends_and_straight_lines() -> None:
    line = [(float(x), 3.0 * x) for x in range(20)]
    smooth = moving_average(line, 4)
    assert [y for _, y in smooth] == pytest.approx([y for _, y in line])
    assert moving_average([(0, 0), (1, 3), (2, 0)], 1) == [(0, 0), (1, 1), (2, 0)]


def test_a_chart_lies_in_its_box() -> None:
    stages = [
        Stage(name="pretrain", steps=50, seconds=100, first_step=0, first_second=0),
        Stage(name="sft", steps=50, seconds=98, first_step=50, first_second=100),
    ]
    falling = points([10 / (1 + i) for i in range(100)])
    for axis in ("step", "seconds"):
        chart = line_chart(
            "Loss",
            [Series(name="training", points=falling, smooth=True)],
            axis=axis,
            stages=stages,
        )
        assert chart is not None
        assert all(0 <= px <= 100 and 0 <= py <= 100 for _, _, px, py in chart.lines[0].points)
        assert all(0 <= tick.at <= 100 for tick in (*chart.x_ticks, *chart.y_ticks))
        assert chart.lines[0].path.count("M") == 2, "one part per stage"
        assert "training from 10 to 0.1" in chart.description
        assert [stage.text for stage in chart.stages] == ["pretrain", "sft"]


def test_lines_of_one_run_line_up() -> None:
    chart = line_chart("Loss", [Series(name="a", points=points([1, 2]))], axis="step", end=10)
    assert chart is not None
    assert chart.lines[0].points[-1][2] == 10.0


def test_nothing_to_draw() -> None:
    assert line_chart("Loss", [Series(name="a", points=points([1]))], axis="step") is None
    assert line_chart("Loss", [], axis="step") is None


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [-1.0, 1.0], [1e-9, 1e9]])
def test_odd_ranges_are_drawn(values: list[float]) -> None:
    for from_zero in (False, True):
        chart = line_chart(
            "x", [Series(name="a", points=points(values))], axis="step", from_zero=from_zero
        )
        assert chart is not None and len(chart.y_ticks) >= 2
