"""Steps compiled for other processors take the same steps, and keep their bits in any company."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nanohydra.engine.native_runner import NativeRunner
from nanohydra.kernels import native, step
from nanohydra.model import Decoder
from tests.engine.native import flat_batch, random_model

pytestmark = pytest.mark.skipif(step.library() is None, reason="no C compiler on this machine")
IDS = [(7 * place + place // 5) % 61 for place in range(77)]
# Without the matrix unit, without AVX-512, and without anything beyond the oldest processors.
VARIANTS = {"no matrix unit": (), "AVX2": ("-march=x86-64-v3",), "SSE2": ("-march=x86-64",)}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the same sources for a lesser processor."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None
    if "x86_64" not in native.platform.machine():
        pytest.skip("flags for another kind of processor")
    flags = (*VARIANTS[request.param], "-Wno-psabi")
    built = native.build(compiler, "step", step.sources(), flags)
    # A copy, as what the process has open already would not be loaded anew.
    copy = tmp_path_factory.mktemp("variant") / "step.so"
    shutil.copy(built, copy)
    return copy


def logits(model: Decoder, *cuts: int) -> Tensor:
    """Of all tokens, read in pieces that end at the cuts, beside a sequence that decodes."""
    runner = NativeRunner.build(model, model.init_pages(20, 16), 200)
    assert runner is not None
    found, begin = [], 0
    for end in (*cuts, len(IDS)):
        batch = flat_batch(
            [IDS[begin:end], [len(found)]], held=[begin, len(found)], tables=[[1, 2, 3, 4, 5], [6]]
        )
        found.append(runner.run(batch)[:-1])
        begin = end
    return torch.cat(found)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["qwen3", "gemma", "conv"])
def test_lesser_processors(
    variant: Path, kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(kind, dtype)
    expected = logits(model)
    library = step.prepare(ctypes.CDLL(str(variant)), matrix_unit=False)
    monkeypatch.setattr(step, "library", lambda: library)
    found = logits(model)
    limit = 1e-5 if dtype == torch.float32 else 0.02
    assert (found - expected).norm() < limit * expected.norm()
    assert torch.equal(logits(model, 1, 2, 30, 31, 64), found)


def test_structures_are_those_of_the_header() -> None:
    library = step.library()
    assert library is not None
    sizes = (ctypes.c_int64 * 4)()
    library.step_sizes(sizes)
    own = (step.Op, step.Program, step.Step, step.Factors)
    assert list(sizes) == [ctypes.sizeof(kind) for kind in own]
