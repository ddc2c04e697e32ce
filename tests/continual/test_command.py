"""The command from a recipe to results.json: run, go on, add to it, report on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanohydra.commands import continual
from nanohydra.core.errors import UserError
from nanohydra.training.process import StopRequest

RECIPE = """
name = "mini"
[tokenizer]
kind = "characters"
vocab_size = 64
[model]
hidden_size = 16
num_layers = 1
num_heads = 2
num_kv_heads = 2
max_seq_len = 64
[data.pretrain]
valid_fraction = 0.2
[data.pretrain.sources.base]
path = "{folder}/base.jsonl"
[pretrain]
steps = 3
rows_per_step = 2
row_length = 32
[continual]
eval_batches = 2
[[continual.tasks]]
name = "foxes"
valid_fraction = 0.2
[continual.tasks.sources]
foxes = {{ path = "{folder}/foxes.jsonl" }}
[[continual.tasks]]
name = "owls"
valid_fraction = 0.2
[continual.tasks.sources]
owls = {{ path = "{folder}/nothing.jsonl" }}
[continual.tasks.otherwise]
owls = {{ path = "{folder}/owls.jsonl" }}
[continual.train]
steps = 3
rows_per_step = 2
row_length = 32
optimizer = "adamw"
[continual.adapter_train]
steps = 3
rows_per_step = 2
row_length = 32
[continual.options.replay]
budget_bytes = 2000
[runtime]
dtype = "float32"
threads = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, animal in (("base", "fox owl"), ("foxes", "fox"), ("owls", "owl")):
        words = ["one red", "two blue", "ten old", "six shy", "all wet"]
        rows = [{"text": f"{a} {animal} met {b} {animal}."} for a in words for b in words]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    path = tmp_path / "mini.toml"
    path.write_text(RECIPE.format(folder=tmp_path.as_posix()))
    return path


def run(recipe: Path, *more: str) -> dict:
    out = recipe.parent / "run"
    continual.main(["run", "--recipe", str(recipe), "--out", str(out), *more])
    found: dict = json.loads((out / "results.json").read_text())
    return found


def test_a_comparison_is_run_added_to_and_reported(recipe: Path, capsys) -> None:
    found = run(recipe, "--strategies", "naive,lora_per_task", "--seeds", "2")
    assert found["tasks"] == ["foxes", "owls"]
    assert found["sources"]["owls"] == [f"{recipe.parent.as_posix()}/owls.jsonl"]
    assert list(found["strategies"]) == ["naive", "lora_per_task"]
    for seeds in found["strategies"].values():
        assert [result["seed"] for result in seeds] == [0, 1]
        for result in seeds:
            assert [len(row) for row in result["R"]] == [2, 2, 2]
            keys = "average bwt fwt forgetting seconds memory_bytes added_parameters".split()
            assert all(result[key] is not None for key in keys)
    naive, adapters = (found["strategies"][name][0] for name in ("naive", "lora_per_task"))
    assert naive["R"][0] == adapters["R"][0] and adapters["forgetting"] == 0.0
    assert naive["memory_bytes"] == [0, 0] and adapters["added_parameters"][1] > 0
    assert found["strategies"]["naive"][1]["R"] != naive["R"]  # another order of the rows
    out = capsys.readouterr().out
    assert "lora_per_task" in out and "results.json" in out

    with pytest.raises(UserError, match="go on or add to it with --resume"):
        run(recipe, "--strategies", "naive")
    more = run(recipe, "--strategies", "naive,joint,replay", "--resume")
    for before, after in zip(
        found["strategies"]["naive"], more["strategies"]["naive"], strict=True
    ):
        assert before["seconds"] == after["seconds"]  # not run again
    assert more["strategies"]["joint"][0]["R"][1] == [None, None]
    assert more["strategies"]["naive"][0]["intransigence"] is not None
    again = run(recipe, "--strategies", "replay", "--resume", "--continual.options.replay.share=0")
    notes = [plain["strategies"]["replay"][0]["notes"]["options"] for plain in (more, again)]
    assert notes == [{"budget_bytes": 2000}, {"budget_bytes": 2000, "share": 0}]
    with pytest.raises(UserError, match="by another recipe"):
        run(recipe, "--strategies", "naive", "--resume", "--continual.train.lr=0.5")

    capsys.readouterr()
    continual.main(["report", str(recipe.parent / "run"), "--out", str(recipe.parent / "page")])
    assert "replay" in capsys.readouterr().out
    assert (recipe.parent / "page" / "report.html").exists()


def test_a_stopped_comparison_goes_on_with_the_same_numbers(recipe: Path, monkeypatch, capsys):
    whole = run(recipe, "--strategies", "replay,naive")
    (recipe.parent / "run").rename(recipe.parent / "whole")
    base = ["--base", str(recipe.parent / "whole" / "base" / "model")]
    asked: list[str] = []

    class Stops(StopRequest):
        """Says from its fifth question on that a signal came."""

        def __getattribute__(self, name):
            if name == "signal_name":
                asked.append(name)
                return "SIGTERM" if len(asked) >= 5 else ""
            return super().__getattribute__(name)

    with monkeypatch.context() as patch:
        patch.setattr("nanohydra.training.process.StopRequest", Stops)
        with pytest.raises(SystemExit) as stop:
            run(recipe, "--strategies", "replay,naive", *base)
    assert stop.value.code == 143
    assert "--resume" in capsys.readouterr().out
    found = run(recipe, "--strategies", "replay,naive", "--resume", *base)
    for name, seeds in whole["strategies"].items():
        assert found["strategies"][name][0]["R"] == seeds[0]["R"]
    assert not (recipe.parent / "run" / "states").exists()


def test_mistakes_are_told_before_anything_is_trained(recipe: Path) -> None:
    for words, message in (
        (["--strategies", "naiv"], "did you mean 'naive'"),
        (["--seeds", "0"], "give at least 1"),
        (["--continual.options.ewc.strenght=1"], "did you mean"),
        (["--continual.train.row_length=16"], "must be the same"),
    ):
        with pytest.raises(UserError, match=message):
            run(recipe, *words)
    assert not (recipe.parent / "run").exists()
    with pytest.raises(UserError, match="has no \\[\\[continual.tasks\\]\\]"):
        continual.main(["run", "--recipe", "tiny", "--out", str(recipe.parent / "run")])
    with pytest.raises(UserError, match="run takes no folder"):
        continual.main(["run", "x", "--recipe", str(recipe)])
    with pytest.raises(UserError, match="there is no file"):
        continual.main(["report", str(recipe.parent / "nowhere.json")])
