"""Wilson's interval against published values, and the ratio of sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.eval import wilson
from nanohydra.eval.stats import ratio_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_holds_the_share_and_mirrors(pair: tuple[int, int]) -> None:
    successes, trials = pair
    interval, mirror = wilson(successes, trials), wilson(trials - successes, trials)
    assert 0 <= interval.low <= successes / trials <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


def test_nothing_asked_says_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_ratio_interval_of_equal_documents_is_a_point() -> None:
    interval = ratio_interval([2.0, 4.0], [1, 2])
    assert interval is not None
    assert (interval.low, interval.high) == (2.0, 2.0)


def test_ratio_interval_is_the_mean_interval_when_sizes_are_equal() -> None:
    interval = ratio_interval([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1])
    assert interval is not None
    spread = 1.959963984540054 * (5 / 3) ** 0.5 / 2  # standard deviation over root of 4
    assert (interval.low, interval.high) == pytest.approx((2.5 - spread, 2.5 + spread))


def test_one_document_has_no_spread() -> None:
    assert ratio_interval([1.0], [1]) is None
