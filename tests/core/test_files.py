from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanohydra.core import files
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, read_json, run_folder, sha256, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_file_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.npy"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.suffix == ".npy"
    assert target.read_text() == "new" and names(target.parent) == ["a.npy"]


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    told = pytest.raises(UserError, match=r"a\.txt could not be written .*free some space")
    with told, atomic_path(target) as temporary:
        temporary.write_text("new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(PermissionError), atomic_path(target):
        raise PermissionError(errno.EACCES, "no")
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_atomic_file_stays_as_it_was_on_an_error(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("one_step", [True, False])
def test_atomic_folder_replaces_a_full_one(
    tmp_path: Path, one_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not one_step:  # as on a system without renameat2
        monkeypatch.setattr(files.sys, "platform", "other")
    target = tmp_path / "model"
    (target / "sub").mkdir(parents=True)
    (target / "sub" / "old").touch()
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(target) == ["new"] and names(tmp_path) == ["model"]


def test_atomic_folder_is_removed_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "half").touch()
        raise RuntimeError
    assert names(tmp_path) == []


def test_json_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"a": float("nan"), "b": (1, float("inf")), "c": Path("x"), "d": "é"})
    assert read_json(path) == {"a": None, "b": [1, None], "c": "x", "d": "é"}
    assert "NaN" not in path.read_text(encoding="utf-8")


def test_json_mistakes_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file .*none.json"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="cannot read .*bad.json"):
        read_json(tmp_path / "bad.json")


def test_sha256_of_a_file_and_of_bytes(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "data").write_bytes(data)
    assert sha256(tmp_path / "data") == sha256(data) == hashlib.sha256(data).hexdigest()


HOLD = """
import sys, pathlib
from nanohydra.core.files import run_folder
with run_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_run_folder_belongs_to_one_process(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "tiny"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        message = f"being written by process {other.pid}"
        with pytest.raises(UserError, match=message), run_folder(path):
            pass
        other.kill()
    with run_folder(path) as folder:
        assert folder == path


def test_run_folder_under_a_file_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = "cannot write to the folder"
    with pytest.raises(UserError, match=message), run_folder(tmp_path / "file"):
        pass
