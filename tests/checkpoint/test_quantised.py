"""Loading with whole weights: every family, the adapters of the base, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nanohydra
from nanohydra.adapters import LoraConfig, attach, base_hash
from nanohydra.checkpoint import folder as folders
from nanohydra.checkpoint import load, load_model, save
from nanohydra.cli import main
from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams
from nanohydra.model.quantised import KINDS, QuantisedLinear, is_quantised
from nanohydra.testing_models import random_model
from tests.checkpoint.foreign import FOREIGN, make_foreign
from tests.model.test_quantised import round_weights, rounded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FOREIGN)
@torch.inference_mode()
def test_every_family(name: str, kind: str, tmp_path: Path) -> None:
    foreign: Any = make_foreign(*FOREIGN[name])
    foreign.save_pretrained(tmp_path / "m")
    x = torch.randint(foreign.config.vocab_size, (1, 9), generator=torch.Generator().manual_seed(0))
    exact = load_model(tmp_path / "m", dtype=torch.float32)
    quantised = load_model(tmp_path / "m", dtype=torch.float32, weights=kind)
    assert is_quantised(quantised) and base_hash(quantised) == base_hash(exact)
    as_stored = exact(x)
    round_weights(exact, quantised)
    expected = exact(x)
    assert not torch.equal(expected, as_stored)
    torch.testing.assert_close(quantised(x), expected, rtol=1e-4, atol=1e-4)


def test_dtypes_of_the_file_and_asked_for(tmp_path: Path) -> None:
    random_model(tmp_path / "float32")
    for stored in (torch.float16, torch.bfloat16):
        whole = load(tmp_path / "float32", dtype=stored)
        folder = tmp_path / str(stored)
        save(folder, whole.model, whole.tokenizer, manifest={})
        model = nanohydra.load(folder, weights="int8").model
        assert model.dtype == torch.bfloat16  # float16 is slow on a CPU
        assert base_hash(model) == base_hash(load(folder).model)
    assert load(tmp_path / "float32", weights="int8").model.dtype == torch.float32
    cast = load(tmp_path / "float32", weights="int8", dtype=torch.bfloat16).model
    whole_model = load(tmp_path / "float32").model
    layer = cast.get_submodule("blocks.0.mixer.q_proj")
    assert cast.dtype == torch.bfloat16 and isinstance(layer, QuantisedLinear)
    # Rounded once, from what the file holds.
    exact = whole_model.get_submodule("blocks.0.mixer.q_proj").weight
    error = (rounded(layer) - exact).abs()  # type: ignore[operator]
    assert (error <= 0.5001 * layer.scale[:, None]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_serves_adapters_of_the_base(kind: str, tmp_path: Path) -> None:
    taught = random_model(tmp_path).model
    base = base_hash(taught)
    attached = attach(taught, LoraConfig(rank=4, alpha=8.0))
    with torch.no_grad():
        for layer in attached.layers.values():
            layer.lora_b.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    weights = attached.weights(base)
    engine = Engine(load(tmp_path, weights=kind).model, EngineConfig(max_rows=2, max_length=64))
    id = engine.load(weights)
    params = SamplingParams(temperature=0.0, max_tokens=12)

    def answers(*adapters: str | None) -> list[list[int]]:
        for number, adapter in enumerate(adapters):
            engine.add(
                Request(id=str(number), prompt_ids=(5, 6, 7), params=params, adapter=adapter)
            )
        written: dict[str, list[int]] = {str(n): [] for n in range(len(adapters))}
        while engine.has_work():
            for event in engine.step():
                assert event.error is None
                if event.token_id is not None:
                    written[event.request_id].append(event.token_id)
        return list(written.values())

    (plain,), (adapted,) = answers(None), answers(id)
    assert plain != adapted and answers(id, None) == [adapted, plain]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_model(tmp_path / "m")
    loaded = load(tmp_path / "m", weights=kind)
    with pytest.raises(UserError, match=f"{kind} weights cannot be saved"):
        save(tmp_path / "copy", loaded.model, loaded.tokenizer, manifest={})
    assert not (tmp_path / "copy").exists()
    with pytest.raises(UserError, match="weights 'int3' are not known"):
        load(tmp_path / "m", weights="int3")
    with pytest.raises(UserError, match="on a CPU; the device is cuda"):
        load(tmp_path / "m", weights=kind, device="cuda")
    whole = folders.footprint(loaded.config, folders.ModelTensors(tmp_path / "m"))
    free = whole.total - whole.weights // 3  # enough for bytes, too little for float32
    monkeypatch.setattr("nanohydra.checkpoint.memory.available_memory", lambda: free)
    with pytest.raises(UserError, match="does not fit"):
        load(tmp_path / "m")
    load(tmp_path / "m", weights=kind)


def test_a_command_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_model(tmp_path)
    words = ["generate", "The printer", "--model", str(tmp_path), "--max-tokens=8"]
    outputs = []
    for weights in ("stored", *KINDS):
        assert not main([*words, "--temperature=0", f"--weights={weights}"])
        outputs.append(capsys.readouterr().out)
    assert all(output.startswith("The printer") for output in outputs)
    with pytest.raises(SystemExit):
        main([*words, "--weights=int9"])
