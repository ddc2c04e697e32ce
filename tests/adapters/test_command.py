"""The command `lora`: an adapter that loads, and reports whose numbers belong together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from nanohydra.adapters import LoraConfig, load_adapter
from nanohydra.checkpoint import load, save
from nanohydra.commands import lora, lora_trials
from nanohydra.core.errors import UserError
from nanohydra.core.files import sha256
from nanohydra.core.runtime import RuntimeConfig
from nanohydra.model import Decoder
from nanohydra.tokenizer import Tokenizer

WORDS = "amber birch cedar delta ember fjord grove harbour iris juniper".split()


@pytest.fixture
def home(tmp_path: Path, make_model: Callable[..., Decoder]) -> Path:
    """A run with a model, new text beside it, and conversations that it knows."""
    tokenizer = Tokenizer.train([" ".join(WORDS)], vocab_size=300)
    save(tmp_path / "model", make_model(vocab_size=300), tokenizer, manifest={})
    pairs = [(a, b) for a in WORDS for b in WORDS]
    (tmp_path / "new.jsonl").write_text(
        "".join(json.dumps({"text": f"The {a} is a {b}."}) + "\n" for a, b in pairs)
    )
    (tmp_path / "known.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{a}?", "response": f"No, {b}."}) + "\n" for a, b in pairs)
    )
    return tmp_path


def words(home: Path, *more: str) -> list[str]:
    sizes = ["--steps=6", "--rows=4", "--rank=2", "--runtime.threads=1", "--lr=0.01"]
    paths = ["--data", str(home / "new.jsonl"), "--known", str(home / "known.jsonl")]
    return ["--model", str(home), "--runtime.dtype=float32", *paths, *sizes, *more]


def test_one_adapter(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sha256(home / "model" / "model.safetensors")
    lora.main(words(home, "--targets", "q_proj,feed_forward.*"))
    assert sha256(home / "model" / "model.safetensors") == before
    adapter = load_adapter(home / "lora", model=load(home / "model").model)
    assert adapter.config.rank == 2 and len(adapter.pairs) == 3 * 4
    manifest = json.loads((home / "lora" / "manifest.json").read_text())
    measured = manifest["measured"]
    assert measured["new_loss"] < measured["points"][0]["new_loss"] - 0.05
    out = capsys.readouterr().out
    assert adapter.id in out and "forgot" in out and "LoRA 2" in out


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials in this process, which is faster."""
    monkeypatch.setattr(lora, "run_apart", lora.run_trial)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", ["dora", "loha", "lokr"])
def test_one_adapter_of_another_kind(home: Path, kind: str) -> None:
    lora.main(words(home, "--kind", kind))
    adapter = load_adapter(home / "lora", model=load(home / "model").model)
    assert adapter.config.kind == kind and adapter.parts and not adapter.pairs


@pytest.mark.parametrize("kind", ["lora-vs-full", "ranks"])
def test_reports(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra 'track'")
    monkeypatch.setattr(lora, "RANKS", (1, 4))
    lora.main(words(home, "--report", kind))
    folder = home / "lora" / kind
    assert (folder / "plot.png").read_bytes()[:4] == b"\x89PNG"
    report = json.loads((folder / "report.json").read_text())
    trials = report["trials"]
    assert len(trials) == (2 if kind == "ranks" else 3)
    for trial in trials:
        first, last = trial["points"][0], trial["points"][-1]
        assert first == {**trials[0]["points"][0]} and first["step"] == 0 and last["step"] == 6
        assert last["new_loss"] == trial["new_loss"] < first["new_loss"]
        assert trial["forgetting"] == pytest.approx(last["known_loss"] - first["known_loss"])
        assert trial["perplexity_change"] == pytest.approx(math.expm1(trial["forgetting"]))
        assert trial["tokens_per_second"] > 0 and trial["disk_bytes"] > 0
    trained = [trial["trained_parameters"] for trial in trials]
    if kind == "ranks":
        assert [trial["rank"] for trial in trials] == [1, 4] and trained[1] == 4 * trained[0]
    else:
        model = load(home / "model").model
        assert trained[2] == sum(p.numel() for p in model.parameters())
        assert trained[1] < trained[0] < trained[2] and trials[2]["rank"] is None


def test_a_process_of_its_own_gives_the_same_numbers(home: Path) -> None:
    options = lora.LoraOptions(steps=2, rows=4, rank=2)
    model = load(home / "model")
    lora_trials.prepare_texts(
        home / "texts",
        model.tokenizer,
        new=str(home / "new.jsonl"),
        known=str(home / "known.jsonl"),
        limit=0,
    )
    trial = lora_trials.Trial(
        name="x",
        model=home / "model",
        texts=home / "texts",
        config=lora.train_config(options, 40),
        lora=LoraConfig(rank=2),
        runtime=RuntimeConfig(device="cpu", dtype="float32", threads=1),
    )
    apart, here = lora_trials.run_apart(trial), lora_trials.run_trial(trial)
    assert apart.points == here.points and apart.weights is None and here.weights is not None
    assert apart.peak_memory_bytes is None or apart.peak_memory_bytes > 0


@pytest.mark.usefixtures("here")
def test_without_matplotlib_the_numbers_are_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.setattr(lora, "RANKS", (1,))
    lora.main(words(home, "--report", "ranks"))
    assert (home / "lora" / "ranks" / "report.json").is_file()
    assert not (home / "lora" / "ranks" / "plot.png").exists()
    assert "nanohydra[track]" in capsys.readouterr().out


def test_mistakes(home: Path) -> None:
    for word, message in (
        ("--steps=0", "--steps must be at least 1"),
        ("--rank=0", "rank of an adapter must be at least 1"),
        ("--targets=q_prj", "did you mean 'q_proj'"),
        ("--data=nowhere.txt", r"nowhere\.txt"),
    ):
        with pytest.raises(UserError, match=message):
            lora.main(words(home, word))
    with pytest.raises(UserError, match="no model"):
        lora.main(["--model", str(home / "nothing")])
    assert not (home / "lora").exists()


def test_built_in_sources() -> None:
    assert lora_trials.source("pydocs", split="train", limit=3).kind == "pydocs"
    primer = lora_trials.source("primer", split="test", limit=3)
    assert primer.split == "test" and "stories" in primer.counts
    assert lora_trials.source("a/b.txt", split="train", limit=0).path == "a/b.txt"
