"""Products of whole decoder steps: right in float64, and the same bits in any company."""

from __future__ import annotations

import ctypes
import functools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.kernels import matmul, quantise, quantise4
from nanohydra.kernels.int4 import unpack
from nanohydra.kernels.native import load

KINDS = [
    *("float32", "bfloat16", "int8 in float32", "int8 in bfloat16"),
    *("int4 in float32", "int4 in bfloat16"),
]
# The processor's best, the same without its matrix unit, and what older ones have.
BUILDS = {
    "best": ((), 1),
    "vectors": ((), 0),
    "without bfloat16": (("-mno-avx512bf16", "-mno-amx-tile"), 0),
    "x86-64-v3": (("-march=x86-64-v3",), 0),
    "x86-64": (("-march=x86-64",), 0),
}


@functools.cache
def build(name: str) -> ctypes.CDLL:
    flags, allowed = BUILDS[name]
    if flags and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("flags of another processor")
    # A name of its own: one library has one state, what matmul_start has chosen.
    loaded = load(f"matmul-test-{allowed}", matmul.SOURCES, flags)
    if loaded is None:
        pytest.skip("no C compiler on this machine")
    loaded.matmul_packed_bytes.restype = ctypes.c_int64
    loaded.matmul_start.restype = ctypes.c_char_p
    loaded.matmul_start(allowed)
    return loaded


@pytest.fixture(params=BUILDS)
def loaded(request: pytest.FixtureRequest) -> ctypes.CDLL:
    return build(request.param)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def has_tiles(loaded: ctypes.CDLL) -> bool:
    return loaded is build("best") and loaded.matmul_start(1) == b"amx"


def layer(
    kind: str, num_out: int, width: int, first: int | None = None
) -> tuple[Tensor, Tensor | None, torch.dtype]:
    """Weights, scales, and the model's dtype; of the first outputs alone."""
    dtype = torch.float32 if "float32" in kind else torch.bfloat16
    weight = numbers(num_out, width, seed=num_out).to(dtype)[:first]
    if "int8" in kind:
        return (*quantise(weight), dtype)
    return (*quantise4(weight), dtype) if "int4" in kind else (weight, None, dtype)


def meant(weight: Tensor, scale: Tensor | None, width: int) -> Tensor:
    """The weights in float64."""
    if scale is None:
        return weight.double()
    if weight.dtype == torch.uint8:
        weight = unpack(weight, len(scale), width)
    return weight.double() * scale[:, None].double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 15, 16, 17, 32, 33, 70])
@pytest.mark.parametrize(
    ("num_out", "width"), [(1, 1), (7, 33), (16, 32), (64, 63), (83, 100), (200, 608)]
)
@torch.inference_mode()
def test_products_equal_those_in_float64(
    kind: str, rows: int, num_out: int, width: int, loaded: ctypes.CDLL
) -> None:
    weight, scale, dtype = layer(kind, num_out, width)
    exact = meant(weight, scale, width)
    for x in (numbers(rows, width), numbers(rows, width).bfloat16()):
        for bias in (None, numbers(num_out, seed=9).to(dtype)):
            out = torch.full((rows, num_out), torch.nan)
            y = matmul.linear(
                x, weight, bias, scale, dtype=dtype, threads=2, loaded=loaded, out=out
            )
            shift = torch.zeros(num_out).double() if bias is None else bias.double()
            taken, step = x.to(dtype).double(), torch.zeros(rows, 1).double()
            if scale is not None and dtype == torch.bfloat16 and has_tiles(loaded):
                # Whole numbers of 24 bits stand for the row, which is not rounded before.
                taken, step = x.double(), x.double().abs().amax(1, keepdim=True) / 1.6e7
            size = F.linear(taken.abs(), exact.abs(), shift.abs())
            error = (y - F.linear(taken, exact, shift)).abs()
            assert (error <= 2e-6 * size + step * exact.abs().sum(1)).all()


@torch.inference_mode()
def test_one_large_input_leaves_the_others_of_its_row_their_digits(loaded: ctypes.CDLL) -> None:
    weight, scale, _ = layer("int8 in bfloat16", 64, 512)
    assert scale is not None
    x = numbers(3, 512)
    x[:, 7] *= 3000.0
    weight[:, 7] = 0  # so that only the others count
    y = matmul.linear(x, weight, None, scale, dtype=torch.bfloat16, loaded=loaded)
    exact = x.double() @ (weight.double() * scale[:, None].double()).T
    assert (y - exact).norm() / exact.norm() < 2**-8  # what bfloat16 itself would round


def test_rows_of_zeros_and_of_tiny_numbers(loaded: ctypes.CDLL) -> None:
    weight, scale, _ = layer("int8 in bfloat16", 20, 70)
    assert scale is not None
    x = numbers(3, 70)
    x[1], x[2] = 0.0, x[2] * 1e-41
    y = matmul.linear(x, weight, None, scale, dtype=torch.bfloat16, loaded=loaded)
    assert y.isfinite().all() and not y[1].any() and y[2].abs().max() < 1e-38


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_out", "width"), [(7, 33), (83, 100), (200, 608), (48, 1100)])
@torch.inference_mode()
def test_a_row_has_the_same_bits_alone_and_in_any_batch(
    kind: str, num_out: int, width: int, loaded: ctypes.CDLL
) -> None:
    weight, scale, dtype = layer(kind, num_out, width)
    bias = numbers(num_out, seed=9).to(dtype)
    x = numbers(600, width, seed=3)

    def run(start: int, stop: int, threads: int = 1) -> Tensor:
        arguments = (x[start:stop], weight, bias, scale)
        return matmul.linear(*arguments, dtype=dtype, threads=threads, loaded=loaded)

    whole = run(0, 600, threads=3)
    pieces = [(0, 1), (1, 3), (3, 8), (8, 24), (24, 41), (41, 80), (80, 210), (210, 600)]
    assert torch.equal(torch.cat([run(*piece) for piece in pieces]), whole)
    # Fewer outputs, too: the matrix may be a part of a larger one.
    few_weights, few_scales, _ = layer(kind, num_out, width, 5)
    few = matmul.linear(
        x[:5], few_weights, bias[:5].contiguous(), few_scales, dtype=dtype, loaded=loaded
    )
    assert torch.equal(few, whole[:5, :5])


@torch.inference_mode()
def test_numbers_that_are_none_stay_in_their_row(loaded: ctypes.CDLL) -> None:
    x, weight = numbers(20, 70), numbers(30, 70).bfloat16()
    x[3, 69], x[7, 0] = torch.nan, torch.inf
    bad = torch.zeros(20, 30, dtype=torch.bool)
    bad[3], bad[7] = True, True
    for quantised, scale in (quantise(weight), quantise4(weight)):
        y = matmul.linear(x, quantised, None, scale, dtype=torch.bfloat16, loaded=loaded)
        assert torch.equal(y.isfinite(), ~bad)
    weight[29, 69] = torch.nan
    bad[:, 29] = True
    y = matmul.linear(x, weight, dtype=torch.bfloat16, loaded=loaded)
    assert torch.equal(y.isfinite(), ~bad)


def test_the_kernels_can_be_told_to_leave_the_matrix_unit_out() -> None:
    names = {
        name: build(name).matmul_start(allowed).decode() for name, (_, allowed) in BUILDS.items()
    }
    assert names["best"] in ("amx", "avx512_bf16", "avx512", "generic")
    assert "amx" not in (names["vectors"], names["without bfloat16"])
    assert names["x86-64-v3"] == names["x86-64"] == "generic"
