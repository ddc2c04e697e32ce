"""The examples, run as a person runs them, on a small random model."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from nanohydra.testing_models import LOOSE, SMALL, random_model

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_example_is_run_here_and_short() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "stream.py",
        "teach_open_model.py",
    }
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 30, path


def test_teach_open_model(tmp_path: Path) -> None:
    random_model(tmp_path / "model")
    words = [str(tmp_path / "model"), *SMALL, *LOOSE, "--train.max_steps=60", "--train.lr=0.01"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "teach_open_model.py"), *words],
        capture_output=True, text=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, state, *after = done.stdout.splitlines()
    assert before.startswith("before: ") and state == "lesson: live"
    assert len(after) == 1 and after[0].startswith("after: ")
    assert after[0].removeprefix("after: ") != before.removeprefix("before: ")
    assert (tmp_path / "learning" / "learning.db").is_file()


def test_stream(tmp_path: Path) -> None:
    random_model(tmp_path / "model")
    words = [sys.executable, str(EXAMPLES / "stream.py"), str(tmp_path / "model"), "What", "Heron"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    texts = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    pieces = [line.split(": ", 1) for line in done.stderr.splitlines()]
    shown = ["", ""]
    for number, piece in pieces:
        shown[int(number)] += ast.literal_eval(piece)
    assert shown == texts and all(texts)
