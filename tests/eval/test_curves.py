"""Curves of a metrics file: stages in a row, repeated steps, broken lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nanohydra.eval import read_metrics, trace_curves

PRETRAIN: list[dict[str, Any]] = [
    {"step": 0, "stage": "pretrain", "seconds": 1.0, "loss": 7.0, "tokens_per_second": 100.0},
    {"step": 10, "stage": "pretrain", "seconds": 11.0, "loss": 3.0, "tokens_per_second": 300.0},
    {"step": 10, "stage": "pretrain", "seconds": 11.0, "val_loss": 3.5},
    {"step": 20, "stage": "pretrain", "seconds": 21.0, "loss": 2.0, "tokens_per_second": 200.0},
]
SFT: list[dict[str, Any]] = [
    {"step": 5, "stage": "sft", "seconds": 2.0, "loss": 1.0, "tokens": 640},
    {"step": 10, "stage": "sft", "seconds": 4.0, "loss": 0.5, "tokens": 1280},
]


def test_a_stage_that_counts_anew_is_put_behind_the_one_before() -> None:
    curves = trace_curves([*PRETRAIN, *SFT])
    assert [p.step for p in curves.of("loss")] == [0, 10, 20, 25, 30]
    assert [p.seconds for p in curves.of("loss")] == [1, 11, 21, 23, 25]
    assert [(s.name, s.steps, s.seconds) for s in curves.stages] == [
        ("pretrain", 20, 21.0),
        ("sft", 10, 4.0),
    ]
    assert [(s.first_step, s.first_second) for s in curves.stages] == [(0, 0), (20, 21)]


def test_a_stage_that_counts_on_stays_where_it_is() -> None:
    later = [{**row, "step": row["step"] + 20, "seconds": row["seconds"] + 21} for row in SFT]
    assert trace_curves([*PRETRAIN, *later]) == trace_curves([*PRETRAIN, *SFT])


def test_a_stage_is_summed_up() -> None:
    pretrain, sft = trace_curves([*PRETRAIN, *SFT]).stages
    assert (pretrain.first_loss, pretrain.last_loss, pretrain.last_val_loss) == (7.0, 4.0, 3.5)
    assert pretrain.tokens_per_second == 200.0, "the median, as tokens are not known"
    assert (sft.tokens, pretrain.tokens) == (1280, None)
    assert sft.tokens_per_second == 320.0, "of the whole stage"


def test_a_resumed_run_counts_each_step_once_and_the_last_writing_wins() -> None:
    again = {"step": 10, "stage": "pretrain", "seconds": 12.0, "loss": 2.9}
    curves = trace_curves([*PRETRAIN, again])
    assert [p.value for p in curves.of("loss")] == [7.0, 2.9, 2.0]
    assert [p.value for p in curves.of("val_loss")] == [3.5]


def test_missing_pieces_are_missing() -> None:
    assert trace_curves([]).stages == ()
    assert trace_curves([]).of("loss") == ()
    curves = trace_curves([{"step": 1, "loss": None}, {"step": 2, "loss": 1.0, "note": "hm"}])
    assert [p.value for p in curves.of("loss")] == [1.0]
    assert curves.stages[0].name == "train"
    assert curves.stages[0].seconds is None


def test_a_row_without_a_time_stands_where_the_one_before_does() -> None:
    rows = [{"step": 1, "seconds": 5.0, "loss": 1.0}, {"step": 2, "val_loss": 2.0}]
    curves = trace_curves(rows)
    assert curves.of("val_loss")[0].seconds == 5.0
    assert curves.stages[0].seconds == 5.0


def test_a_metrics_file_with_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    lines = [json.dumps(row) for row in PRETRAIN]
    path.write_text("\n".join([*lines, "[1]", '"text"', '{"loss": 1}', lines[0][:20]]))
    assert read_metrics(path) == PRETRAIN
