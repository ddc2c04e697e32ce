"""Training state: exact, atomic, never pickle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nanohydra.checkpoint import load_state, save_state
from nanohydra.core.errors import UserError

META: dict[str, Any] = {
    "step": 3,
    "loss": 0.1 + 0.2,
    "best": math.inf,
    "names": ["a", "é"],
    "random": [3, [2**63, -1, 0], None],
    "nested": {"b": {"c": True}},
}


def tensors() -> dict[str, torch.Tensor]:
    """Of every kind that occurs in a training run."""
    base = torch.randn(4, 6)
    return {
        "weight": base,
        "view.of.weight": base[1],
        "transposed": base.t(),
        "half": torch.randn(3).bfloat16(),
        "scalar": torch.tensor(3.0),
        "generator": torch.get_rng_state(),
        "positions": torch.arange(5),
        "empty": torch.zeros(0, 3),
        "mask": torch.tensor([True, False]),
        "nan": torch.tensor([math.nan, -0.0, math.inf]),
        "leaf": torch.nn.Parameter(torch.randn(2)),
    }


def test_everything_comes_back(tmp_path: Path) -> None:
    given = tensors()
    save_state(tmp_path / "s", given, META)
    found, meta = load_state(tmp_path / "s")
    assert meta == META
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(
            found[name].flatten().view(torch.uint8), tensor.detach().flatten().view(torch.uint8)
        )


def test_nan_survives(tmp_path: Path) -> None:
    save_state(tmp_path / "s", {}, {"loss": math.nan})
    assert math.isnan(load_state(tmp_path / "s")[1]["loss"])


def test_generators_continue(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    save_state(tmp_path / "s", {"rng": generator.get_state()}, {})
    expected = torch.randn(5, generator=generator)
    generator.set_state(load_state(tmp_path / "s")[0]["rng"])
    assert torch.equal(torch.randn(5, generator=generator), expected)


def test_a_loaded_state_can_be_saved_over_itself(tmp_path: Path) -> None:
    save_state(tmp_path / "s", tensors(), META)
    for _ in range(2):
        found, meta = load_state(tmp_path / "s")
        found["weight"] += 1
        save_state(tmp_path / "s", found, meta)
        assert torch.equal(load_state(tmp_path / "s")[0]["weight"], found["weight"])


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("keep", [0, 20, -1])
def test_damage_is_named(tmp_path: Path, name: str, keep: int) -> None:
    save_state(tmp_path / "s", tensors(), META)
    path = tmp_path / "s" / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_state(tmp_path / "s")
    path.unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_state(tmp_path / "s")


def test_a_changed_value_is_found(tmp_path: Path) -> None:
    save_state(tmp_path / "s", tensors(), META)
    path = tmp_path / "s" / "state.json"
    path.write_text(path.read_text().replace('"step": 3', '"step": 4'))
    with pytest.raises(UserError, match=r"state\.json is damaged"):
        load_state(tmp_path / "s")
    path.write_text('{"format": 9}')
    with pytest.raises(UserError, match=r"state\.json is not a training state"):
        load_state(tmp_path / "s")
    save_state(tmp_path / "t", {"w": torch.zeros(9)}, META)
    data = bytearray((tmp_path / "t" / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "t" / "state.safetensors").write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"state\.safetensors is damaged"):
        load_state(tmp_path / "t")


def test_a_failure_keeps_the_previous_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path / "s", {"w": torch.ones(2)}, {"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr("nanohydra.checkpoint.state.sha256", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_state(tmp_path / "s", {"w": torch.zeros(2)}, {"step": 2})
    found, meta = load_state(tmp_path / "s")
    assert meta == {"step": 1} and torch.equal(found["w"], torch.ones(2))


def test_what_json_cannot_hold_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_state(tmp_path / "s", {}, {"x": torch.zeros(1)})
    assert not (tmp_path / "s").exists()


def test_other_files_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt is not part"):
        save_state(tmp_path, {}, {})
    with pytest.raises(UserError, match="is a file"):
        save_state(tmp_path / "notes.txt", {}, {})
