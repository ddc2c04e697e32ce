"""The bank: versions that never change, aliases that remember, several processes at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanohydra.adapters import AdapterWeights, Bank, base_hash
from nanohydra.adapters.lock import locked
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

MakeWeights = Callable[..., AdapterWeights]
FEW = {"targets": ("q_proj",), "layers": (0,)}


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path / "bank")


@pytest.fixture
def versions(bank: Bank, model: Decoder, make_weights: MakeWeights) -> list[str]:
    """Three published versions, in order."""
    return [
        bank.publish(make_weights(model, seed, **FEW), model.config, manifest={"lesson": seed})
        for seed in range(3)
    ]


def test_an_empty_bank(bank: Bank) -> None:
    assert bank.list() == () and bank.aliases() == ()
    assert bank.alias("default").versions == () and bank.history("default") == ()
    with pytest.raises(UserError, match="no version 'abcd'"):
        bank.load("abcd")
    assert not bank.folder.exists()


def test_a_version_comes_back_and_never_changes(
    bank: Bank, model: Decoder, weights: AdapterWeights
) -> None:
    version = bank.publish(weights, model.config, manifest={"lesson": 1})
    assert version == weights.id and bank.path(version).name == version
    before = {p.name: p.stat().st_mtime_ns for p in bank.path(version).iterdir()}
    assert bank.publish(weights, model.config, manifest={"lesson": 2}) == version
    assert {p.name: p.stat().st_mtime_ns for p in bank.path(version).iterdir()} == before
    for loaded in (
        bank.load(version),
        bank.load(version[:6], model=model),
        bank.load(version, config=model.config, base=weights.base),
    ):
        assert loaded.id == version and loaded.pairs.keys() == weights.pairs.keys()
    info = bank.info(version[:4])
    assert info.id == version and info.manifest["lesson"] == 1 and info.base == weights.base
    assert info.bytes > weights.num_bytes and abs(info.created - time.time()) < 60
    with pytest.raises(UserError, match="another base"):
        bank.load(version, base="0" * 64)


def test_versions_are_listed_by_age_and_a_damaged_one_says_so(
    bank: Bank, versions: list[str]
) -> None:
    assert [info.id for info in bank.list()] == versions
    (bank.folder / "notes").mkdir()
    (bank.path(versions[1]) / "manifest.json").write_text("{")
    infos = {info.id: info for info in bank.list()}
    assert infos.keys() == set(versions)
    assert "manifest.json" in infos[versions[1]].problem and not infos[versions[0]].problem


def test_a_damaged_version_is_refused_and_published_anew(
    bank: Bank, model: Decoder, weights: AdapterWeights
) -> None:
    version = bank.publish(weights, model.config, manifest={})
    path = bank.path(version) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"adapter_model\.safetensors has .* bytes"):
        bank.load(version)
    bank.publish(weights, model.config, manifest={})
    assert bank.load(version).id == version


def test_a_version_under_another_name_is_refused(bank: Bank, versions: list[str]) -> None:
    bank.path(versions[0]).rename(bank.folder / ("0" * 16))
    with pytest.raises(UserError, match="it was moved"):
        bank.load("0" * 16)


def test_beginnings_of_ids(bank: Bank, versions: list[str]) -> None:
    twin = versions[0][:5] + ("0" if versions[0][5] != "0" else "1") * 11
    (bank.folder / twin).mkdir()
    assert bank.resolve(versions[0][:6]) == versions[0]
    with pytest.raises(UserError, match="begins 2 versions"):
        bank.resolve(versions[0][:5])
    for wrong in (versions[1][:3], "", "..", "aliases", "zzzz", "/etc"):
        with pytest.raises(UserError, match="no version"):
            bank.resolve(wrong)


def test_an_alias_goes_forth_and_back(bank: Bank, versions: list[str]) -> None:
    a, b, c = versions
    bank.activate("default", [a])
    bank.activate("default", [b[:8], a])
    bank.activate("default", [b, a])  # no change
    assert bank.activate("default", [c, b, a]).versions == (c, b, a)
    assert bank.aliases() == ("default",)
    assert bank.rollback("default").versions == (b, a)
    bank.activate("default", [c])
    assert bank.rollback("default").versions == (b, a)
    assert bank.rollback("default").versions == (a,)
    assert bank.rollback("default").versions == ()
    with pytest.raises(UserError, match="nothing before"):
        bank.rollback("default")
    actions = [(change.action, len(change.versions)) for change in bank.history("default")]
    assert actions[:3] == [("activate", 1), ("activate", 2), ("activate", 3)]
    assert [action for action, _ in actions].count("rollback") == 4
    times = [change.time for change in bank.history("default")]
    assert times == sorted(times)
    assert Bank(bank.folder).alias("default") == bank.alias("default")


def test_what_an_alias_cannot_be(bank: Bank, versions: list[str]) -> None:
    for name in ("", "../x", ".hidden", "a/b", "x" * 65, "a b", "ü"):
        with pytest.raises(UserError, match="cannot be an alias"):
            bank.activate(name, versions[:1])
    with pytest.raises(UserError, match="no version"):
        bank.activate("default", [versions[0], "0" * 16])
    with pytest.raises(UserError, match="named twice"):
        bank.activate("default", [versions[0], versions[0][:8]])
    assert bank.aliases() == ()


def test_a_change_by_someone_else_is_not_overwritten(bank: Bank, versions: list[str]) -> None:
    a, b, _ = versions
    bank.activate("default", [a], expected=())
    with pytest.raises(UserError, match="changed meanwhile"):
        bank.activate("default", [b], expected=())
    assert bank.activate("default", [b, a], expected=[a]).versions == (b, a)


def test_an_alias_is_read_again_when_someone_else_changed_it(
    bank: Bank, versions: list[str]
) -> None:
    other = Bank(bank.folder)
    bank.activate("default", versions[:1])
    assert other.alias("default").versions == (versions[0],)
    assert other.alias("default") is other.alias("default")  # and not before
    bank.activate("default", versions[1:2])
    assert other.alias("default").versions == (versions[1],)
    assert other.alias("new").versions == ()
    bank.activate("new", versions[:1])
    assert other.alias("new").versions == (versions[0],)


def test_a_live_version_stays_and_others_go(bank: Bank, versions: list[str]) -> None:
    a, b, c = versions
    bank.activate("default", [a])
    bank.activate("default", [b, a])
    bank.activate("other", [c])
    for version in versions:
        with pytest.raises(UserError, match="is live as part of"):
            bank.remove(version)
    bank.rollback("other")
    bank.remove(c[:8])
    assert [info.id for info in bank.list()] == [a, b]
    bank.activate("default", [b])
    bank.remove(a)
    # What is gone for good never comes back: both sets before are then the present one or empty.
    assert bank.rollback("default").versions == ()
    with pytest.raises(UserError, match="no version"):
        bank.remove(a)


def test_a_removed_version_is_left_out_of_a_rollback(bank: Bank, versions: list[str]) -> None:
    a, b, c = versions
    bank.activate("default", [b, a])
    bank.activate("default", [c])
    bank.remove(b)
    assert bank.rollback("default").versions == (a,)


def test_a_thousand_changes_stay_small(bank: Bank, versions: list[str]) -> None:
    from nanohydra.adapters.aliases import AliasState

    state = AliasState(name="x")
    for i in range(1500):
        state = state.activate((versions[i % 2],))
    assert len(state.history) == 1000 and len(state.previous) == 100


def run_python(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


WRITER = """
import sys
import torch
from nanohydra.adapters import AdapterWeights, Bank, LoraConfig, Pair
from nanohydra.model import ModelConfig
bank, config = Bank(sys.argv[1]), ModelConfig(
    vocab_size=60, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2)
def weights(seed):
    a = torch.full((1, 32), float(seed))
    pair = Pair(a_RI=a, b_OR=torch.ones(32, 1))
    lora = LoraConfig(rank=1, targets=("q_proj",), layers=(0,))
    return AdapterWeights(config=lora, base="b" * 64, pairs={"blocks.0.mixer.q_proj": pair})
"""
BUSY = """
def work(bank, who):
    written = []
    for i in range(8):  # every second one is the same in both processes
        version = bank.publish(weights(i if i % 2 else i + 100 * who), config, manifest={})
        while version not in (before := bank.alias("default").versions):
            try:
                bank.activate("default", [version, *before], expected=before)
            except ValueError:  # the other was faster
                continue
        assert bank.load(version).id == version
        written.append(version)
    return written
"""
ALONE = """
print("ready", flush=True)
sys.stdin.readline()
print(*work(bank, 2))
"""


def test_two_processes_publish_and_activate_at_once(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run_python(WRITER + BUSY + ALONE, str(bank.folder))
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == "ready\n"
    other.stdin.write("go\n")
    other.stdin.flush()
    monkeypatch.setattr(sys, "argv", ["", str(bank.folder)])
    here: dict[str, Any] = {}
    exec(WRITER + BUSY, here)
    written = set(here["work"](bank, 1))
    out, err = other.communicate(timeout=60)
    assert other.returncode == 0, err
    written |= set(out.split())
    live = bank.alias("default").versions
    assert len(written) == 12 and set(live) == written and len(live) == 12  # none was lost
    assert {info.id for info in bank.list()} == written
    assert not any(info.problem for info in bank.list())
    assert [change.versions for change in bank.history("default")][-1] == live


KILLED = """
import time
import nanohydra.adapters.files as files
write = files.write_tensors
def slow(path, tensors):
    write(path, tensors)
    print("half", flush=True)
    time.sleep(60)
files.write_tensors = slow
bank.publish(weights(1), config, manifest={})
"""


def test_a_killed_writer_leaves_no_half_version(
    bank: Bank, model: Decoder, make_weights: MakeWeights
) -> None:
    writer = run_python(WRITER + KILLED, str(bank.folder))
    assert writer.stdout is not None and writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    left = [p.name for p in bank.folder.iterdir() if p.is_dir()]
    assert len(left) == 1 and left[0].startswith(".")
    assert bank.list() == ()
    with pytest.raises(UserError, match="no version"):
        bank.resolve(left[0].rsplit(".", 1)[-1])
    version = bank.publish(make_weights(model, **FEW), model.config, manifest={})
    assert sorted(p.name for p in bank.folder.iterdir()) == sorted([".lock", version])


def test_readers_see_whole_versions_while_a_writer_works(
    bank: Bank, model: Decoder, make_weights: MakeWeights
) -> None:
    given = [make_weights(model, seed, **FEW) for seed in range(8)]
    done = threading.Event()

    def write() -> None:
        for weights in given:
            bank.publish(weights, model.config, manifest={})
            bank.activate("default", [weights.id])
        for weights in given[:-1]:
            bank.remove(weights.id)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert not [info.problem for info in bank.list() if info.problem]
        for version in bank.alias("default").versions:
            try:
                assert bank.load(version).id == version
            except UserError:
                assert not (bank.folder / version).is_dir()  # removed since the alias was read
    writer.join()
    assert [info.id for info in bank.list()] == [given[-1].id]


@pytest.mark.parametrize(
    ("call", "place"),
    [("info", "read_manifest"), ("load", "load_adapter"), ("list", "read_manifest")],
)
def test_a_version_that_vanishes_while_it_is_read(
    bank: Bank, versions: list[str], monkeypatch: pytest.MonkeyPatch, call: str, place: str
) -> None:
    import nanohydra.adapters.bank as module

    read = getattr(module, place)

    def late(folder: Path, **options: Any) -> Any:
        if folder.name == versions[0]:
            shutil.rmtree(folder)
            if call == "load":
                raise FileNotFoundError(folder)
            return {"nanohydra": {"base": "", "created": 0.0}}
        return read(folder, **options)

    monkeypatch.setattr(module, place, late)
    if call == "list":
        assert [info.id for info in bank.list()] == versions[1:]
    else:
        with pytest.raises(UserError, match="was removed while it was read"):
            getattr(bank, call)(versions[0])


def test_a_writer_that_never_ends_is_reported(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(UserError, match="another process"),
        locked(tmp_path, patience_s=0.02),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), locked(tmp_path / "file"):
        pass


def test_a_damaged_alias_is_named(bank: Bank, versions: list[str]) -> None:
    bank.activate("default", versions)
    path = bank.folder / "aliases" / "default.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"verions": []}))
    with pytest.raises(UserError, match=r"verions.*default\.json"):
        bank.alias("default")


def test_the_base_is_kept_apart(bank: Bank, model: Decoder, weights: AdapterWeights) -> None:
    before = base_hash(model)
    bank.load(bank.publish(weights, model.config, manifest={}), model=model)
    assert base_hash(model) == before
