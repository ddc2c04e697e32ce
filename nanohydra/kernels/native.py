"""The C versions of row-wise operations, compiled on first use and called without a copy.

Where there is no C compiler, or no OpenMP library that PyTorch could share, `library` says None
and the callers use their plain-PyTorch version. Knows nothing of autograd.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCES = ("native.c", "rows.h", "int8.h")
# Not -ffast-math: it would drop NaN, and its start-up code switches denormals off in the process.
FLAGS = (
    *("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math"),
)
REORDER = ("-fassociative-math", "-fno-signed-zeros")
X86_FLAGS = ("-mprefer-vector-width=512",)
SUFFIXES = {torch.bfloat16: "bf16", torch.float32: "f32"}
logger = logging.getLogger(__name__)


def runs_native(*tensors: Tensor) -> bool:
    """Whether the C versions take these: on the CPU, of one known dtype, outside of a compile."""
    first = tensors[0].dtype
    return (
        first in SUFFIXES
        and all(t.device.type == "cpu" and t.dtype == first for t in tensors)
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def call(
    name: str, dtype: torch.dtype, *arguments: Tensor | ctypes.Array[Any] | int | float | None
) -> None:
    """Run one function of native.c; tensors must be contiguous, None is a null pointer."""
    loaded = library()
    assert loaded is not None
    converted = [
        ctypes.c_void_p(a.data_ptr())
        if isinstance(a, Tensor)
        else ctypes.c_float(a)
        if isinstance(a, float)
        else a
        if isinstance(a, ctypes.Array)
        else ctypes.c_int64(a)
        if a is not None
        else None
        for a in arguments
    ]
    getattr(loaded, f"{name}_{SUFFIXES[dtype]}")(*converted)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled library of native.c, None if it cannot be had here."""
    return load("native", SOURCES, REORDER)


def load(name: str, files: Sequence[str], flags: Sequence[str] = ()) -> ctypes.CDLL | None:
    """A library compiled from files of this folder, None if it cannot be had here."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.system() != "Linux":
        return None
    try:
        return ctypes.CDLL(str(build(compiler, name, files, flags)))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("without C versions of some operations, which is slower: %s", error)
        return None


def build(
    compiler: str,
    name: str = "native",
    files: Sequence[str] = SOURCES,
    flags: Sequence[str] = REORDER,
) -> Path:
    """Compile unless these files were compiled for this processor before; the library's path."""
    here = Path(__file__).parent
    flags = (*FLAGS, *flags, *(X86_FLAGS if platform.machine() == "x86_64" else ()))
    digest = hashlib.sha256(repr((compiler, flags, _processor())).encode())
    for file in files:
        digest.update((here / file).read_bytes())
    path = _cache_folder() / f"{name}-{digest.hexdigest()[:16]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sources = [str(here / file) for file in files if file.endswith(".c")]
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            command = [compiler, *flags, "-o", str(made), *sources, "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            os.replace(made, path)
    return path


def _cache_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "nanohydra"


def _processor() -> str:
    """What -march=native depends on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = (line for line in file if line.startswith(("model name", "flags", "Features")))
        return "".join(sorted(set(lines)))
