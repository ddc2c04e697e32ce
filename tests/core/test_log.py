from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from nanohydra.core import log
from nanohydra.core.log import (
    JsonlTracker,
    TensorBoardTracker,
    TerminalTracker,
    Trackers,
    format_value,
    summary_table,
)


def rows(path: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_jsonl_writes_a_line_per_step_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    tracker = JsonlTracker(path)
    tracker.log(1, {"loss": 2.5})
    tracker.log(2, {"loss": float("nan")})
    assert rows(path) == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": None}]
    tracker.close()


def test_jsonl_drops_what_a_crash_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    tracker = JsonlTracker(path, resume_step=2)
    tracker.log(3, {"loss": 1.0})
    tracker.close()
    assert rows(path) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]


def test_jsonl_starts_empty_unless_resumed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    JsonlTracker(path).close()
    assert rows(path) == []


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `track` is not installed")
    tracker = TensorBoardTracker(tmp_path)
    tracker.log(1, {"loss": 2.5})
    tracker.close()
    assert any(path.stat().st_size > 0 for path in tmp_path.glob("events.*"))


def test_terminal_writes_plain_lines_to_stderr_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0])
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: next(now)))
    tracker = TerminalTracker("pretrain", total_steps=4)
    for step in range(1, 5):
        tracker.log(step, {"loss": 4.0 / step} if step != 3 else {"speed": 12_345.6})
    tracker.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "pretrain 1/4 loss 4",
        "pretrain 3/4 loss 2 speed 12,346",
        "pretrain 4/4 loss 1 speed 12,346",  # the last step is always shown
    ]


class Recorder:
    def __init__(self, fail: bool = False) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.closed = False
        self.fail = fail

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.seen.append((step, dict(metrics)))

    def close(self) -> None:
        self.closed = True
        if self.fail:
            raise OSError("disk full")


def test_trackers_pass_on_and_close_all() -> None:
    first, second = Recorder(fail=True), Recorder()
    both = Trackers([first, second])
    both.log(1, {"loss": 1.0})
    assert first.seen == second.seen == [(1, {"loss": 1.0})]
    with pytest.raises(OSError, match="disk full"):
        both.close()
    assert second.closed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345678, "12,345,678"),
        (0.021312, "0.02131"),
        (3.2e-5, "3.2e-05"),
        (0.0, "0"),
        (123456.7, "123,457"),
        (True, "True"),
        ("a", "a"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_as_people_read_them(value: object, text: str) -> None:
    assert format_value(value) == text


def test_summary_table_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    summary_table("Speedrun", {"params": 2_200_000, "[loss]": 1.5})
    out = capsys.readouterr().out
    assert "Speedrun" in out and "2,200,000" in out and "[loss]" in out
