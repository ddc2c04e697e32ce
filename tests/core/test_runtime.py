from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy
import pytest
import torch

from nanohydra.core import runtime
from nanohydra.core.errors import UserError
from nanohydra.core.runtime import RuntimeConfig, describe_machine, peak_memory_bytes, setup


@pytest.fixture(autouse=True)
def keep_threads() -> object:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_named_choices_are_taken() -> None:
    chosen = setup(RuntimeConfig(device="cpu", dtype="bfloat16", threads=1))
    assert (chosen.device, chosen.dtype, chosen.threads) == ("cpu", torch.bfloat16, 1)
    assert torch.get_num_threads() == 1
    assert setup(RuntimeConfig(dtype="float32")).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_auto_dtype_follows_the_hardware(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "multiplies_bfloat16_fast", lambda device: fast)
    assert setup(RuntimeConfig()).dtype == (torch.bfloat16 if fast else torch.float32)


def test_same_seed_same_numbers() -> None:
    def draw(seed: int) -> tuple[float, float, float]:
        setup(RuntimeConfig(seed=seed))
        return random.random(), float(numpy.random.rand()), float(torch.rand(()))

    assert draw(3) == draw(3) != draw(4)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu'; use auto, cpu, cuda or cuda:0"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("cuda:99", "device 'cuda:99' is not here"),
    ],
)
def test_devices_that_are_not_there(device: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        setup(RuntimeConfig(device=device))


def test_negative_threads() -> None:
    with pytest.raises(UserError, match="runtime.threads is -1"):
        setup(RuntimeConfig(threads=-1))


def test_peak_memory_grows_with_use() -> None:
    before = peak_memory_bytes()
    block = bytearray(before + 50_000_000)
    assert peak_memory_bytes() >= len(block)


def test_machine_is_plain_json() -> None:
    machine = describe_machine()
    assert machine["cores"] >= 1 and machine["memory_bytes"] > 0 and machine["cpu"]
    assert json.loads(json.dumps(machine)) == machine


def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, nanohydra.core.runtime; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", done.stderr
