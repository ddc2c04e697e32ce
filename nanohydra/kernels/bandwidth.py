"""How fast this machine reads memory: the ceiling of decoding, as each token reads every weight.

Plain PyTorch; knows nothing of models. A buffer as large as the weights is read from end to end,
so that what the caches hold of it is counted as it is for the weights themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor


def read_bandwidth(num_bytes: int, *, device: str = "cpu", rounds: int = 8) -> float:
    """Bytes per second of the fastest full read of a buffer, by several operations in turn.

    num_bytes: size of the buffer, at least 1 MiB. It runs on as many threads as torch has.
    """
    count = max(num_bytes, 2**20) // 8
    # Written once, as pages that were not are all read from one; not denormal, which is slow.
    numbers = torch.ones(2 * count, dtype=torch.float32, device=device)
    whole = numbers.view(torch.int64)
    calls: list[Callable[[], Tensor]] = [lambda: whole.sum(), lambda: torch.dot(numbers, numbers)]
    best = float("inf")
    for _ in range(rounds):
        for call in calls:
            begin = time.perf_counter()
            call()
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - begin)
    return count * 8 / best
