from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanohydra import __version__, cli
from nanohydra.cli import COMMANDS, main
from nanohydra.commands.options import Options, key_lines, parse, run_path, split
from nanohydra.core.errors import UserError
from nanohydra.recipe import load_recipe, recipe_names

HELP_CPU_SECONDS = 1.0  # 0.2 measured; busy neighbours slow a core, and CPU time with it


@dataclass(frozen=True, kw_only=True)
class DrawOptions(Options):
    """Options of a command for these tests."""

    out: Path | None = None
    """Where to."""
    name: str = "mine"
    """A name that the recipe has too."""
    open: bool = False
    """Show it."""


def cpu_seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_answers_at_once_and_without_torch(command: str | None) -> None:
    words = [command, "--help"] if command else ["--help"]
    code = (
        "import sys\nfrom nanohydra.cli import main\n"
        f"try:\n    code = main({words!r})\nexcept SystemExit as end:\n    code = end.code\n"
        "assert 'torch' not in sys.modules, 'help imported torch'\nsys.exit(code)"
    )
    begin = cpu_seconds_of_children()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert cpu_seconds_of_children() - begin < HELP_CPU_SECONDS
    assert "--recipe" in done.stdout and "usage: nanohydra" in done.stdout


def test_module_and_console_script_are_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nanohydra", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"nanohydra {__version__}\n"


def test_every_command_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in COMMANDS:
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith(".") and len(line) <= 100


def test_a_users_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrian"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: unknown command 'pretrian'; did you mean 'pretrain'?\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_unknown_key(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    action = {"tokenizer": ["inspect"], "data": ["inspect"], "continual": ["report"]}.get(
        command, []
    )
    assert main([command, *action, "--recipe", "tiny", "--pretrain.learning_rate=1"]) == 2
    err = capsys.readouterr().err
    assert "unknown key 'pretrain.learning_rate' on the command line" in err
    assert "did you mean 'pretrain.lr'?" in err and "Traceback" not in err


def test_an_unknown_option_is_a_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--prot=8001"]) == 2
    assert capsys.readouterr().err == "error: unknown option '--prot'; did you mean 'port'?\n"


def test_an_option_of_the_wrong_type_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port=http"])
    assert end.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupt)
    assert main(["plan"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_a_programmers_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["plan"])


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m nanohydra plan --keys | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout == 'name = "tiny"\n' and done.stderr == ""


def test_openmp_waits_passively_unless_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert main(["pretrain", "--recipe", "no such recipe"]) == 2
    assert "OMP_WAIT_POLICY" not in os.environ
    main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


def test_words_are_split_between_command_and_recipe() -> None:
    words = ["--out=x", "--pretrain.lr", "0.1", "--name", "n", "--open", "--runtime.seed=1"]
    own, overrides = split(DrawOptions, [*words, "--depth", "3", "--eval.count"])
    assert own == ["--out=x", "--name", "n", "--open"]
    assert overrides == ["--pretrain.lr=0.1", "--runtime.seed=1", "--depth=3", "--eval.count"]


def test_parse_gives_options_and_recipe() -> None:
    words = ["--out", "elsewhere", "--pretrain.lr=0.5", "--recipe=small", "--open"]
    call = parse(DrawOptions, words, prog="draw", description="Draw.")
    assert call.options == DrawOptions(recipe="small", out=Path("elsewhere"), open=True)
    assert call.recipe.name == "small" and call.recipe.pretrain.lr == 0.5
    assert run_path(call.recipe, call.options.out) == Path("elsewhere")
    assert run_path(call.recipe, None) == Path("runs/small")


def test_help_keeps_the_commands_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(DrawOptions, ["--help"], prog="draw", description="Draw.")
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "Draw." in out and "Where to." in out and "--pretrain.lr=0.01" in out


@pytest.mark.parametrize("name", recipe_names())
def test_keys_of_a_recipe_are_a_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "copy.toml"
    path.write_text("\n".join(key_lines(recipe)))
    if recipe.depth:
        pytest.skip("the shape that depth gave is spelled out")
    assert load_recipe(path) == recipe


def test_keys_are_printed_with_the_overrides_applied(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["plan", "--keys", "--pretrain.lr=0.25"])
    assert end.value.code == 0
    assert "pretrain.lr = 0.25" in capsys.readouterr().out.splitlines()


def test_a_missing_recipe_file_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match=r"there is no file nowhere/x.toml"):
        parse(DrawOptions, ["--recipe=nowhere/x.toml"], prog="draw", description="Draw.")
