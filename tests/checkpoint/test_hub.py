"""Models by name, against a hub on this machine: what is fetched, resumed, refused, and how."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import nanohydra
from nanohydra.checkpoint import hub as hub_module
from nanohydra.checkpoint.hub import HubConfig, choose, locate, missing_in
from nanohydra.checkpoint.names import HubName
from nanohydra.core.errors import UserError
from nanohydra.testing_models import random_model
from tests.checkpoint.fake_hub import FakeHub, Repo

pytest.importorskip("huggingface_hub", reason="models by name need the extra 'hf'")
NAME = "owner/small"
USELESS = {
    "README.md": b"a card", "pytorch_model.bin": b"pickle", "onnx/model.onnx": b"x" * 99,
    "consolidated.safetensors": b"twice", "original/model.safetensors": b"twice",
}  # fmt: skip


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small model."""
    folder = tmp_path_factory.mktemp("files") / "model"
    random_model(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def served(model_files: dict[str, bytes]) -> Iterator[FakeHub]:
    """A hub with the model on branch main, and an older one that is tagged."""
    old = {**model_files, "generation_config.json": b"{}"}
    old.pop("manifest.json")
    repo = Repo({"main": {**model_files, **USELESS}, "v1.0": old})
    with FakeHub({NAME: repo}) as running:
        yield running


@pytest.fixture
def config(served: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubConfig:
    """The way to it, with a cache of its own and nobody's token."""
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return HubConfig(endpoint=served.url, cache=tmp_path / "hub", timeout=2.0)


def blobs(config: HubConfig) -> list[str]:
    return sorted(path.name for path in (config.cache or Path()).glob("models--*/blobs/*"))


def test_what_is_needed_is_fetched_once(
    served: FakeHub, config: HubConfig, model_files: dict[str, bytes]
) -> None:
    folder = locate(NAME, hub=config)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == model_files
    assert sorted(served.fetched()) == sorted(model_files)
    assert nanohydra.load(folder).manifest["files"].keys() < model_files.keys()
    served.requests.clear()
    assert locate(NAME, hub=config) == folder and served.fetched() == []


def test_revisions_are_pinned(served: FakeHub, config: HubConfig) -> None:
    newest, tagged = locate(NAME, hub=config), locate(f"{NAME}@v1.0", hub=config)
    assert newest != tagged == locate(NAME, revision="v1.0", hub=config)
    assert (tagged / "generation_config.json").read_bytes() == b"{}"
    assert not (tagged / "manifest.json").exists()
    served.requests.clear()
    assert locate(f"{NAME}@{newest.name}", hub=config) == newest
    assert served.requests == [], "a commit that is in the cache needs no question"
    with pytest.raises(UserError, match="name two revisions"):
        locate(f"{NAME}@v1.0", revision="main", hub=config)
    with pytest.raises(UserError, match=r"has no revision 'v2.0'; .*/commits/main"):
        locate(f"{NAME}@v2.0", hub=config)


def test_offline_takes_the_cache(
    served: FakeHub, config: HubConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = HubConfig(endpoint=config.endpoint, cache=config.cache, offline=True)
    with pytest.raises(UserError, match=r"not in the cache.*switched off.*HF_HUB_OFFLINE"):
        locate(NAME, hub=offline)
    folder = locate(NAME, hub=config)
    served.requests.clear()
    assert locate(NAME, hub=offline) == folder and served.requests == []
    served.close()
    capsys.readouterr()
    assert locate(NAME, hub=config) == folder
    assert f"taking {NAME} from the cache, commit {folder.name[:12]}" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"does not answer \(.+\), and owner/else is not in the"):
        locate("owner/else", hub=config)


@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_out_of_order_is_as_none(
    served: FakeHub, config: HubConfig, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    served.status = status
    with pytest.raises(UserError, match=f"answers HTTP {status} for owner/small"):
        locate(NAME, hub=config)
    served.status = 0
    folder = locate(NAME, hub=config)
    served.status = status
    assert locate(NAME, hub=config) == folder
    assert "cannot be reached" in capsys.readouterr().err


def test_a_silent_hub_is_given_up(served: FakeHub, config: HubConfig) -> None:
    served.silence = 0.5
    hasty = HubConfig(endpoint=config.endpoint, cache=config.cache, timeout=0.1)
    with pytest.raises(UserError, match="does not answer"):
        locate(NAME, hub=hasty)


def test_half_a_copy_is_not_used(served: FakeHub, config: HubConfig) -> None:
    folder = locate(NAME, hub=config)
    offline = HubConfig(endpoint=config.endpoint, cache=config.cache, offline=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        aside = folder / f"{name}.aside"
        (folder / name).rename(aside)
        assert missing_in(folder) == name
        with pytest.raises(UserError, match="or not all of it"):
            locate(NAME, hub=offline)
        aside.rename(folder / name)
    assert locate(NAME, hub=offline) == folder


def test_a_broken_connection_goes_on(served: FakeHub, config: HubConfig) -> None:
    large = bytes(12 << 20)  # more than the library takes at once
    served.repos[NAME].revisions["main"]["model.safetensors"] = large
    served.broken["model.safetensors"] = 11 << 20
    assert (locate(NAME, hub=config) / "model.safetensors").read_bytes() == large
    asked = [r for method, path, r in served.requests if "model.saf" in path and method == "GET"]
    assert asked == ["", f"bytes={10 << 20}-"]


def test_an_interrupted_download_leaves_nothing_half(
    served: FakeHub, config: HubConfig, model_files: dict[str, bytes]
) -> None:
    asked = f"HubConfig(endpoint={served.url!r}, cache=Path({str(config.cache)!r}))"
    code = (
        "from pathlib import Path\nfrom nanohydra.checkpoint.hub import HubConfig, locate\n"
        f"locate({NAME!r}, hub={asked})"
    )
    served.cut["model.safetensors"] = 20_000
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert served.reached.wait(60)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    offline = HubConfig(endpoint=config.endpoint, cache=config.cache, offline=True)
    with pytest.raises(UserError, match="or not all of it"):
        locate(NAME, hub=offline)
    served.requests.clear()
    folder = locate(NAME, hub=config)
    assert (folder / "model.safetensors").read_bytes() == model_files["model.safetensors"]
    assert "generation_config.json" not in served.fetched(), "whole files are kept"
    assert not [name for name in blobs(config) if name.endswith(".incomplete")]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_gated_and_private(served: FakeHub, config: HubConfig, token: str) -> None:
    repo = served.repos[NAME]
    repo.token, repo.gated = "right", True
    asked = HubConfig(endpoint=config.endpoint, cache=config.cache, token=token or None)
    way = "your token may not read it" if token else "set HF_TOKEN to it"
    with pytest.raises(UserError, match=f"gated.*https://huggingface.co/owner/small.*{way}|{way}"):
        locate(NAME, hub=asked)
    repo.gated = False
    way = "your token does not open it" if token else "give your token as HF_TOKEN"
    with pytest.raises(UserError, match=f"no model owner/small at the hub.*{way}"):
        locate(NAME, hub=asked)
    assert blobs(config) == []
    right = HubConfig(endpoint=config.endpoint, cache=config.cache, token="right")
    assert (locate(NAME, hub=right) / "config.json").is_file()


@pytest.mark.parametrize(
    ("status", "message"),
    [(403, "refuses your token"), (429, "asks for a pause"), (418, "answers HTTP 418")],
)
def test_other_answers(
    served: FakeHub, config: HubConfig, status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.status = status
    with pytest.raises(UserError, match=message):
        locate(NAME, hub=config)


def test_no_such_model(config: HubConfig) -> None:
    with pytest.raises(UserError, match="no model owner/smal at the hub; check the spelling"):
        locate("owner/smal", hub=config)
    with pytest.raises(UserError, match="cannot be a name at the hub"):
        locate("owner/a--b..c", hub=config)


def test_the_disk_is_looked_at_first(
    served: FakeHub, config: HubConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000))
    with pytest.raises(UserError, match=r"takes 0.1 MB .*0.0 MB are free in .*HF_HOME"):
        locate(NAME, hub=config)
    assert served.fetched() == []


def test_a_disk_that_fills_up(config: HubConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(UserError, match="the disk is full; .*try again"):
        locate(NAME, hub=config)


def test_a_bug_is_not_hidden(config: HubConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: object, **kwargs: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", wrong)
    with pytest.raises(TypeError, match="a bug"):
        locate(NAME, hub=config)


def test_which_files_are_chosen() -> None:
    sizes = dict.fromkeys(("config.json", "tokenizer.model", "tokenizer.json", "notes.txt"), 1)
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "model.safetensors.index.json"
    sharded = {**sizes, index: 1, **dict.fromkeys(shards, 9), "consolidated.00.pth": 9}
    wanted = ["config.json", *shards, index, "tokenizer.json", "tokenizer.model"]
    assert list(choose(NAME, sharded)) == sorted(wanted)
    assert "model.safetensors" in choose(NAME, {**sharded, "model.safetensors": 1})
    assert index not in choose(NAME, {**sharded, "model.safetensors": 1})
    for files, message in (
        ({**sizes, "pytorch_model.bin": 9}, r"pytorch_model.bin, which is a pickle.*save_pretrai"),
        ({**sizes, "tf_model.h5": 9}, "pickle"),
        (sizes, "no weights as model.safetensors"),
        ({"model.safetensors": 9}, "no config.json"),
        ({"model-Q4_K_M.gguf": 9}, "GGUF files"),
    ):
        with pytest.raises(UserError, match=message):
            choose(NAME, files)


def test_only_a_pickle_is_refused_before_it_is_fetched(served: FakeHub, config: HubConfig) -> None:
    files = served.repos[NAME].revisions["main"]
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    with pytest.raises(UserError, match="never read"):
        locate(NAME, hub=config)
    assert served.fetched() == [] and blobs(config) == []


def test_without_the_library(config: HubConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'nanohydra\[hf\]'"):
        locate(NAME, hub=config)


def test_the_environment_counts(served: FakeHub, tmp_path: Path) -> None:
    def ask(**more: str) -> subprocess.CompletedProcess[str]:
        code = f"from nanohydra.checkpoint.hub import locate; print(locate({NAME!r}))"
        own = {"HF_ENDPOINT": served.url, "HF_HUB_CACHE": str(tmp_path / "c"), **more}
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **own}
        )

    served.repos[NAME].token = "secret"
    refused = ask(HF_TOKEN="other")
    assert "your token does not open it" in refused.stderr
    online = ask(HF_TOKEN="secret")
    assert online.returncode == 0 and str(tmp_path / "c") in online.stdout, online.stderr
    served.requests.clear()
    offline = ask(HF_HUB_OFFLINE="1")
    assert offline.stdout == online.stdout and served.requests == []


def test_a_damaged_download_is_noticed(
    served: FakeHub, config: HubConfig, model_files: dict[str, bytes]
) -> None:
    files = served.repos[NAME].revisions["main"]
    files["model.safetensors.index.json"] = b'{"weight_map": {"a": "model-2.safetensors"}}'
    files["model-1.safetensors"] = files.pop("model.safetensors")
    with pytest.raises(UserError, match="not complete: model-2.safetensors is missing"):
        locate(NAME, hub=config)


def test_gigabytes() -> None:
    assert hub_module.gigabytes(1_234_000_000) == "1.2 GB"
    assert hub_module.gigabytes(42_000) == "0.0 MB"
    assert str(HubName("a", "b")) == "a/b"
