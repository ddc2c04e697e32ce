"""What a model is called, and where its things go."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanohydra.checkpoint.hub import locate
from nanohydra.checkpoint.names import HubName, hub_name_of, local_model, named, run_of, title_of
from nanohydra.core.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_names_at_the_hub() -> None:
    assert named("Qwen/Qwen3-0.6B") == HubName("Qwen", "Qwen3-0.6B")
    assert named("a/b@v1.0") == named("a/b", "v1.0") == HubName("a", "b", "v1.0")
    assert named("a/b@refs/pr/3") == HubName("a", "b", "refs/pr/3")
    for url in ("https://huggingface.co/a/b", "hf://a/b"):
        assert named(url) == HubName("a", "b")
    assert HubName("a", "b").run == Path("runs/a--b")


@pytest.mark.parametrize(
    "text", ["runs/tiny", "./a/b", "/a/b", "a/b/c", "gpt2", "~/a/b", "a\\b", "a/ b", "../a"]
)
def test_names_of_folders(text: str) -> None:
    assert isinstance(named(text), Path)


def test_a_local_folder_wins(here: Path) -> None:
    assert named(Path("a/b")) == Path("a/b"), "a path is never a name"
    make_model(here / "a" / "b")
    assert named("a/b") == Path("a/b") and locate("a/b") == Path("a/b")
    assert named("a/c") == Path("a/c"), "there is a folder of the owner's name"
    assert named("hf://a/c") == HubName("a", "c")
    with pytest.raises(UserError, match="--revision is for models at the hub"):
        locate("a/b", revision="main")


def test_the_model_of_a_run(here: Path) -> None:
    inner = make_model(here / "runs" / "tiny" / "model")
    assert local_model(here / "runs" / "tiny") == inner == local_model(inner)
    assert run_of(inner) == here / "runs" / "tiny" and title_of(inner) == "tiny"
    assert title_of(make_model(here / "other")) == "other"


def test_what_is_not_there(here: Path) -> None:
    make_model(here / "runs" / "tiny" / "model")
    (here / "empty").mkdir()
    for text, message in (
        ("runs/tinny", r"no model in runs/tinny, did you mean 'tiny'\?; .*OWNER/NAME"),
        ("gpt2", "no model in gpt2; .*at the hub models are called OWNER/NAME"),
        ("empty", "no model in empty; `nanohydra speedrun` makes one"),
        ("runs/tiny/model/config.json", "is a file; give the folder"),
    ):
        with pytest.raises(UserError, match=message):
            locate(text)


def test_a_copy_in_the_hubs_cache(here: Path) -> None:
    snapshot = make_model(here / "hub" / "models--Qwen--Qwen3-0.6B" / "snapshots" / "ab12")
    assert hub_name_of(snapshot) == HubName("Qwen", "Qwen3-0.6B", "ab12")
    assert run_of(snapshot) == Path("runs/Qwen--Qwen3-0.6B")
    assert title_of(snapshot) == "Qwen/Qwen3-0.6B"
    assert hub_name_of(here) is None and hub_name_of(snapshot.parent) is None
