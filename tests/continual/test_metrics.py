"""The measures against matrices worked by hand."""

from __future__ import annotations

import json
import math

import pytest

from nanohydra.continual import metrics
from nanohydra.continual.results import Results, SeedResult, load_results, save_results
from nanohydra.core.errors import UserError

# Three tasks. Worked by hand, with i counted from 1:
R = [
    [0.1, 0.2, 0.3],  # the base
    [0.9, 0.3, 0.2],
    [0.7, 0.8, 0.5],
    [0.4, 0.6, 0.7],
]


def test_a_matrix_worked_by_hand() -> None:
    assert metrics.average(R) == pytest.approx((0.4 + 0.6 + 0.7) / 3)
    assert metrics.backward_transfer(R) == pytest.approx(((0.4 - 0.9) + (0.6 - 0.8)) / 2)
    assert metrics.forward_transfer(R) == pytest.approx(((0.3 - 0.2) + (0.5 - 0.3)) / 2)
    assert metrics.forgetting(R) == pytest.approx([0.9 - 0.4, 0.8 - 0.6, 0.5 - 0.7])
    assert metrics.mean_forgetting(R) == pytest.approx((0.5 + 0.2) / 2)
    joint = [[0.1, 0.2, 0.3], [None] * 3, [None] * 3, [0.8, 0.9, 1.0]]
    wanted = ((0.8 - 0.9) + (0.9 - 0.8) + (1.0 - 0.7)) / 3
    assert metrics.intransigence(R, joint) == pytest.approx(wanted)


def test_the_best_row_before_the_last_counts_and_not_the_one_of_learning() -> None:
    late = [[0.0, 0.0], [0.5, 0.9], [0.7, 0.6]]
    assert metrics.forgetting(late) == pytest.approx([-0.2, 0.3])
    assert metrics.backward_transfer(late) == pytest.approx(0.2)


def test_what_was_not_evaluated_is_never_a_number() -> None:
    joint = [[0.1, 0.2, 0.3], [None] * 3, [None] * 3, [0.8, 0.9, 1.0]]
    assert metrics.average(joint) == pytest.approx(0.9)
    assert metrics.backward_transfer(joint) is None
    assert metrics.forward_transfer(joint) is None
    assert metrics.mean_forgetting(joint) is None
    assert metrics.forgetting(joint) == [None] * 3
    assert metrics.perplexity_change(joint) == [None, None, pytest.approx(0.0)]
    assert metrics.intransigence(R, None) is None
    holed = [row[:] for row in R]
    holed[1][1] = None  # needed by FWT and by the forgetting of task 2 only
    assert metrics.forward_transfer(holed) is None
    assert metrics.forgetting(holed)[1] is None
    assert metrics.backward_transfer(holed) == metrics.backward_transfer(R)


def test_one_task_has_no_transfer() -> None:
    one = [[0.1], [0.9]]
    assert metrics.average(one) == 0.9
    assert metrics.backward_transfer(one) is None and metrics.forward_transfer(one) is None
    assert metrics.mean_forgetting(one) is None


def test_perplexity_change_is_a_ratio_of_perplexities() -> None:
    nats = [[-4.0, -4.0], [-2.0, -5.0], [-2.3, -1.5]]
    assert metrics.perplexity_change(nats) == pytest.approx(
        [100 * (math.exp(2.3) / math.exp(2.0) - 1), 0.0]
    )


def test_a_matrix_of_another_shape_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        metrics.backward_transfer([[0.1, 0.2], [0.3, 0.4]])


def test_intervals_over_seeds() -> None:
    found = metrics.interval([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.303; the deviation is 1, so half the width is 4.303 / sqrt(3).
    assert found is not None and found.mean == 2.0
    assert found.low == pytest.approx(2 - 4.303 / math.sqrt(3))
    assert found.high == pytest.approx(2 + 4.303 / math.sqrt(3))
    alone = metrics.interval([1.5])
    assert alone is not None and (alone.mean, alone.low, alone.high) == (1.5, None, None)
    assert metrics.interval([]) is None and metrics.interval([1.0, None]) is None


def some_results() -> Results:
    found = SeedResult(
        seed=1,
        R=((-4.0, -4.0), (-2.0, None), (-2.3, -1.5)),
        seconds=(1.0, 2.0),
        memory_bytes=(0, 10),
        added_parameters=(0, 0),
    )
    metric = ("log_likelihood", "log_likelihood")
    return Results(name="toy", tasks=("a", "b"), metrics=metric).with_result("naive", found)


def test_results_come_back_as_they_were_written(tmp_path) -> None:
    results = some_results()
    save_results(tmp_path / "results.json", results)
    assert load_results(tmp_path) == results == load_results(tmp_path / "results.json")
    plain = json.loads((tmp_path / "results.json").read_text())
    found = plain["strategies"]["naive"][0]
    assert found["R"] == [[-4.0, -4.0], [-2.0, None], [-2.3, -1.5]]
    assert found["bwt"] == pytest.approx(-0.3) and found["forgetting_by_task"][1] is None


def test_a_result_takes_the_place_of_one_with_its_seed() -> None:
    results = some_results()
    again = results.with_result("naive", SeedResult(
        seed=0, R=(), seconds=(), memory_bytes=(), added_parameters=()
    ))  # fmt: skip
    assert [r.seed for r in again.strategies["naive"]] == [0, 1]
    first = again.of_seed("naive", 1)
    assert first is not None
    assert len(again.with_result("naive", first).strategies["naive"]) == 2
    assert again.of_seed("joint", 1) is None


def test_other_files_are_refused(tmp_path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="no results of version"):
        load_results(tmp_path)
    with pytest.raises(UserError, match="there is no file"):
        load_results(tmp_path / "nothing.json")
