"""Whole decoder steps in C: the structures of step.h, and the library that runs them.

Knows nothing of models: what a program consists of is the engine's to say. There is no version in
PyTorch here, as PyTorch's way of taking a step is the model itself.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p
from pathlib import Path

import torch

from nanohydra.kernels import native

KINDS = (
    "embed", "norm", "pack", "product", "place", "attend", "activate", "store_inputs", "mix",
    "final", "head", "softcap",
)  # fmt: skip
NORMS = ("none", "rms", "layer")
ACTIVATIONS = ("swiglu", "geglu", "gelu", "relu2")
DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2, torch.uint8: 3}  # uint8: int4
STRIP = 64  # as in step_adapters.h
MOST_HEAD = 256  # numbers of a head, as MOST_SIZE of step_attention.h


class Matrix(Structure):
    """A linear layer, see matmul.h."""

    _fields_ = [
        ("w", c_void_p), ("out", c_int64), ("in_", c_int64), ("dtype", c_int), ("model", c_int),
        ("scale", c_void_p), ("bias", c_void_p),
    ]  # fmt: skip


class Norm(Structure):
    """A norm's float32 weights."""

    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("kind", c_int64), ("eps", c_float)]


class Op(Structure):
    """One operation; its fields mean what its function in step*.h says."""

    _fields_ = [
        ("kind", c_int64), ("count", c_int64), ("first", c_int64), ("width", c_int64),
        ("matrix", Matrix * 3), ("norm", Norm * 2), ("weight", c_void_p),
        ("pages", c_void_p * 2), ("heads", c_int64), ("groups", c_int64), ("size", c_int64),
        ("rotated", c_int64), ("table", c_int64), ("window", c_int64), ("form", c_int64),
        ("factor", c_float), ("softcap", c_float),
    ]  # fmt: skip


class Program(Structure):
    """A model's operations and the memory that its steps use."""

    _fields_ = [
        ("ops", POINTER(Op)), ("num_ops", c_int64), ("model", c_int64), ("width", c_int64),
        ("block_size", c_int64), ("x", c_void_p), ("h", c_void_p), ("product", c_void_p),
        ("h_stride", c_int64), ("product_stride", c_int64), ("packed", c_void_p),
        ("low", c_void_p), ("low_part", c_void_p), ("low_stride", c_int64),
        ("max_tokens", c_int64), ("sequence_of", c_void_p), ("position_of", c_void_p),
        ("row_of", c_void_p), ("rows_from", c_void_p),
    ]  # fmt: skip


class Factors(Structure):
    """One linear layer's update by an adapter."""

    _fields_ = [
        ("a", c_void_p), ("b", c_void_p), ("rank", c_int64), ("all", c_int64), ("at", c_int64),
    ]  # fmt: skip


class Step(Structure):
    """One batch."""

    _fields_ = [
        ("ids", c_void_p), ("starts", c_void_p), ("held", c_void_p), ("tables", c_void_p),
        ("wanted", c_void_p), ("num_tokens", c_int64), ("num_sequences", c_int64),
        ("num_wanted", c_int64), ("table_stride", c_int64), ("cosine", c_void_p * 2),
        ("sine", c_void_p * 2), ("out", c_void_p), ("out_stride", c_int64),
        ("num_adapters", c_int64), ("num_linears", c_int64), ("factors", c_void_p),
        ("adapter_of", c_void_p), ("ticks", c_void_p),
    ]  # fmt: skip


def sources() -> list[str]:
    """The files that the library is made of."""
    files = (file.name for file in Path(__file__).parent.glob("*.[ch]"))
    return sorted(name for name in files if name.startswith(("step", "matmul")))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled library, None if it cannot be had here."""
    if native.library() is None:  # also says so in tests that go without a compiler
        return None
    loaded = native.load("step", sources())
    return None if loaded is None else prepare(loaded)


def prepare(loaded: ctypes.CDLL, *, matrix_unit: bool = True) -> ctypes.CDLL:
    """Declare the functions of a library of these sources and ready it for this processor."""
    loaded.step_run.argtypes = (POINTER(Program), POINTER(Step), c_int64)
    loaded.step_run.restype = None
    loaded.step_sizes.argtypes = (POINTER(c_int64),)
    loaded.matmul_start.argtypes = (c_int,)
    loaded.matmul_start.restype = ctypes.c_char_p
    loaded.matmul_packed_bytes.argtypes = (c_int64, c_int64, c_int)
    loaded.matmul_packed_bytes.restype = c_int64
    sizes = (c_int64 * 4)()
    loaded.step_sizes(sizes)
    assert list(sizes) == [ctypes.sizeof(kind) for kind in (Op, Program, Step, Factors)]
    loaded.step_start.argtypes = (c_int,)
    loaded.step_start(int(loaded.matmul_start(int(matrix_unit)) == b"amx"))
    return loaded


def array_of(ops: Sequence[Op]) -> ctypes.Array[Op]:
    """Operations one after the other."""
    return (Op * len(ops))(*ops)
