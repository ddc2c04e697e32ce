"""`nanohydra eval` on a tiny random model: reports, overrides, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nanohydra import checkpoint
from nanohydra.cli import main
from nanohydra.commands.eval import report_folders
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

TEXT = "The sun was shining. A small dog ran to the lake. What is 37 * 24? "


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a model that knows nothing."""
    folder = tmp_path_factory.mktemp("runs") / "random"
    tokenizer = Tokenizer.train([TEXT] * 3, vocab_size=280)
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_layers=1, num_heads=2,
        num_kv_heads=1, max_seq_len=512,
    )  # fmt: skip
    manifest = {"recipe": {"name": "random", "model": {"num_layers": 1}}}
    folder.mkdir()
    checkpoint.save(folder / "model", Decoder(config), tokenizer, manifest=manifest)
    rows = [{"step": step, "seconds": step, "loss": 5.0 - step / 10} for step in range(10)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "text.txt").write_text(TEXT * 20)
    return folder


def test_a_model_is_measured_and_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", str(run), "--tasks", "arithmetic,facts", "--count", "3"]
    more = ["--text", str(run / "text.txt"), "--eval.max_tokens=4", "--eval.row_length=999"]
    assert main([*words, *more, "--eval.targets.tool_accuracy=0.95"]) == 0
    out = run / "eval"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["name"] == "random"
    assert (report["tool_accuracy"], report["facts_accuracy"]) == (0.0, 0.0)
    assert report["reading_accuracy"] is None
    assert 0 < report["bits_per_byte"] < 20 < report["perplexity"]
    assert (report["train_seconds"], report["params"]) == (9.0, pytest.approx(7000, rel=0.5))
    details = report["details"]
    assert details["tasks"]["facts"]["num_examples"] == 3
    assert details["likelihood"]["protocol"]["row_length"] == 512, "what the model was made for"
    assert details["likelihood"]["protocol"]["text"] == "text.txt"
    assert details["configuration"] == {"name": "random", "model": {"num_layers": 1}}
    assert details["targets"]["tool_accuracy"]["verdict"] == "missed"
    assert (out / "report.html").is_file()
    printed = capsys.readouterr().out
    for part in ("tool_accuracy", "bits_per_byte", "0.95", "missed", "report.html"):
        assert part in printed, part


def test_the_primer_s_own_test_stories_are_the_text_by_default(run: Path, tmp_path: Path) -> None:
    words = ["eval", "--model", str(run / "model"), "--tasks", "", "--out", str(tmp_path)]
    assert main([*words, "--eval.documents=3"]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["details"]["likelihood"]["num_documents"] == 3
    text = report["details"]["likelihood"]["protocol"]["text"]
    assert text == "test stories of the primer"
    assert report["tool_accuracy"] is None
    assert not (run / "model" / "report.json").exists(), "the model's folder stays as it is"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", "readin"], "did you mean 'reading'"),
        (["--model", "nowhere"], "no model in nowhere"),
        (["--count", "-1"], "eval.count must not be negative"),
        (["--eval.split=tset"], "tset"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_missing_text_is_named_before_tasks_are_asked(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--model", str(run), "--text", str(run / "absent.txt")]) == 2
    captured = capsys.readouterr()
    assert "absent.txt" in captured.err
    assert captured.out == ""


def test_where_a_report_goes(run: Path, tmp_path: Path) -> None:
    assert report_folders(run / "model") == (run, run / "eval")
    assert report_folders(run / "pretrained") == (run, run / "eval-pretrained")
    assert report_folders(tmp_path / "qwen") == (tmp_path / "qwen", Path("runs/eval-qwen"))
