"""Processes of their own: SIGTERM drains and ends with 0; the serve command from end to end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanohydra.testing import wait_for
from nanohydra.testing_models import random_model

FAKE_SERVER = """
import sys
from pathlib import Path
from nanohydra.chat import Journal
from nanohydra.server import ServerConfig, create_app, serve
from nanohydra.testing import FakeChat
app = create_app(FakeChat(delay_s=0.02), Journal(Path(sys.argv[1])), ServerConfig(port=0))
serve(app, on_start=lambda url: print(url, flush=True))
"""
CHAT = "/v1/chat/completions"
Spawn = Callable[..., Any]


def test_sigterm_drains_and_ends_with_zero(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("-c", FAKE_SERVER, str(tmp_path / "journal.db"))
    wait_for(process.is_ready, 60)
    question = {"messages": [{"role": "user", "content": "count to 60"}], "stream": True}
    connection = process.open("POST", CHAT, question)
    response = connection.getresponse()
    response.readline()
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append(response.read().decode()))
    reader.start()
    process.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: not process.is_ready())
    status, refusal = process.ask("POST", CHAT, question)
    assert (status, refusal["error"]["code"]) == (503, "draining")
    reader.join(30)
    connection.close()
    assert '"content": " 60"' in texts[0]
    assert texts[0].endswith("data: [DONE]\n\n")
    assert process.popen.wait(30) == 0


def test_a_second_signal_does_not_wait(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("-c", FAKE_SERVER, str(tmp_path / "journal.db"))
    wait_for(process.is_ready, 60)
    question = {"messages": [{"role": "user", "content": "count to 9999"}], "stream": True}
    connection = process.open("POST", CHAT, question)
    with connection.getresponse() as response:
        response.readline()
        process.popen.send_signal(signal.SIGINT)
        wait_for(lambda: not process.is_ready())
        code, _, _ = process.end(signal.SIGINT)
    connection.close()
    assert code == 0


def test_the_serve_command_serves(spawn: Spawn, tmp_path: Path) -> None:
    random_model(tmp_path / "runs" / "wee" / "model")
    words = ("-m", "nanohydra", "serve", "--model", "runs/wee", "--port", "0", "--api-key", "k")
    process = spawn(*words)
    assert process.ask("GET", "/v1/models")[0] == 401
    wait_for(process.is_ready, 60)
    question = {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 5}
    status, answer = process.ask("POST", CHAT, question, key="k")
    assert status == 200
    assert answer["model"] == "wee"
    assert 1 <= answer["usage"]["completion_tokens"] <= 5
    code, out, err = process.end()
    assert code == 0, err
    assert "tokens written" in out
    assert (tmp_path / "runs" / "journal.db").is_file()
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line["path"] == CHAT] == [200]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--model", "nowhere"), "there is no model in nowhere"),
        (("--model", "runs/wee", "--host", "0.0.0.0"), "--api-key"),
        (("--model", "runs/wee", "--port", "99999"), "99999"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: tuple[str, ...],
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nanohydra.cli import main

    monkeypatch.chdir(tmp_path)
    random_model(tmp_path / "runs" / "wee" / "model")
    assert main(["serve", *words]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "Traceback" not in error
