"""`nanohydra bench` from end to end, on a random model; its last line is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanohydra.cli import main
from nanohydra.testing_models import random_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "model"
    random_model(path)
    return path


def test_serves_a_model_and_measures_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "serve", "--model", str(folder), "--concurrency", "1,2", "--requests", "4"]
    assert main([*words, "--prompt-tokens", "60", "--output-tokens", "8"]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert [each["concurrency"] for each in result["rounds"]] == [1, 2]
    for each in result["rounds"]:
        assert each["requests"] == 4 and each["errors"] == {} and each["tokens"] == 4 * 8
        assert each["tokens_per_second"] > 0
    assert result["read_bytes_per_second"] > 1e8 and "first token" in out


def test_measures_the_engine_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "decode", "--model", str(folder), "--concurrency", "1,3"]
    assert main([*words, "--prompt-tokens", "20", "--output-tokens", "8"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [each["tokens"] for each in result["rounds"]] == [8, 24]
    assert all(0 < each["share_of_ceiling"] < 1 for each in result["rounds"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--concurrency", "1,x"], "numbers such as 1,2,4"),
        (["--concurrency", "0"], "must be above 0"),
        (["decode", "--url", "http://127.0.0.1:1"], "--url is for serve"),
        (["--url", "ftp://x"], "http://HOST:PORT"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
