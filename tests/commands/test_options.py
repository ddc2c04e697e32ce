"""What commands take from a model's folder before they load it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nanohydra.commands.options import answering_dtype, sampling_defaults
from nanohydra.core.files import write_json
from nanohydra.core.runtime import Runtime, RuntimeConfig
from nanohydra.recipe import load_recipe

CPU = Runtime(device="cpu", dtype=torch.float32, threads=1)


def test_replies_are_drawn_as_the_makers_state(tmp_path: Path) -> None:
    assert sampling_defaults(tmp_path, None) == {"temperature": 0.7}
    stated = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [2]}
    write_json(tmp_path / "generation_config.json", stated)
    del stated["eos_token_id"]
    assert sampling_defaults(tmp_path, None) == stated
    assert sampling_defaults(tmp_path, 0.0) == {**stated, "temperature": 0.0}


@pytest.mark.parametrize(
    ("stored", "answers"),
    [(torch.float16, torch.bfloat16), (torch.bfloat16, None), (torch.float32, None)],
)
def test_float16_is_not_answered_in_on_a_cpu(
    stored: torch.dtype, answers: torch.dtype | None, tmp_path: Path
) -> None:
    save_file({"w": torch.zeros(4, 4, dtype=stored)}, tmp_path / "model.safetensors")
    assert answering_dtype(tmp_path, CPU, load_recipe("tiny")) == answers
    asked = replace(load_recipe("tiny"), runtime=RuntimeConfig(dtype="float32"))
    assert answering_dtype(tmp_path, CPU, asked) == torch.float32
