"""Where the work runs: device, compute dtype, threads and seeds, chosen once and passed on.

Knows nothing of models. torch is imported inside functions, so that configs load fast.
"""

from __future__ import annotations

import os
import platform
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nanohydra.core.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """What a recipe says about the machine."""

    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda or cuda:1."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute dtype; auto: bfloat16 where the hardware multiplies it fast. Weights stay fp32."""
    threads: int = 0
    """CPU threads; 0: as many as this process may use."""
    seed: int = 0
    """Seeds Python, NumPy and torch."""


@dataclass(frozen=True)
class Runtime:
    """What was chosen; handed to everything that computes."""

    device: str
    dtype: torch.dtype
    threads: int


def setup(config: RuntimeConfig) -> Runtime:
    """Choose device and dtype, set the threads and seed everything.

    Raises UserError if the device is not there.
    """
    import numpy
    import torch

    device = _choose_device(config.device)
    if config.threads < 0:
        raise UserError(f"runtime.threads is {config.threads}; use 0 for automatic, or more")
    threads = config.threads or min(torch.get_num_threads(), available_cores())
    torch.set_num_threads(threads)
    random.seed(config.seed)
    numpy.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    fast = config.dtype == "auto" and multiplies_bfloat16_fast(device)
    dtype = torch.bfloat16 if fast or config.dtype == "bfloat16" else torch.float32
    return Runtime(device=device, dtype=dtype, threads=threads)


def _choose_device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UserError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:0")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise UserError(f"device {name!r} is not here ({count} CUDA devices); use auto or cpu")
    return name


def multiplies_bfloat16_fast(device: str) -> bool:
    """Whether bf16 matrix products have hardware behind them, rather than an emulation."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    # On x86 oneDNN says yes to every AVX-512 and emulates bf16 where it must.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def available_cores() -> int:
    """How many cores this process may use, by affinity and by its container's quota."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return cores


def peak_memory_bytes(device: str = "cpu") -> int:
    """The most memory held so far: of this process in RAM, or by tensors on a CUDA device."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory() -> int:
    """Bytes that this process may still take, by the machine and by its container's limit."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (_cgroup(f"memory.{name}") for name in ("max", "current"))
        cached = dict(line.split() for line in _cgroup("memory.stat").splitlines())
        return min(free, int(limit) - int(used) + int(cached["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no such file, or "max": no limit
        return free


def _cgroup(name: str) -> str:
    with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
        return file.read()


def describe_machine() -> dict[str, Any]:
    """What a report says about where its numbers come from; plain JSON types."""
    import psutil
    import torch

    machine: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        machine |= {"gpus": names, "cuda": torch.version.cuda}
    return machine


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
