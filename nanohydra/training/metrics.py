"""Speed and memory of a run: tokens per second, share of the device's peak, bytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch
from torch import nn

from nanohydra.core.runtime import peak_memory_bytes
from nanohydra.model.config import ModelConfig
from nanohydra.model.plan import count

# Dense bfloat16 matrix throughput in FLOP/s, by a part of the device's name (data sheets).
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "4090": 165e12,
}


def peak_flops(device: str) -> float | None:
    """The device's peak for bfloat16, None if it is not known."""
    if not device.startswith("cuda"):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


class Meter:
    """Averages over the steps since it was last read."""

    def __init__(self, model: nn.Module, row_length: int, device: str) -> None:
        self.device = device
        self.last_loss = float("nan")
        self.mfu_per_token = 0.0
        peak, config = peak_flops(device), getattr(model, "config", None)
        if peak and isinstance(config, ModelConfig):
            # A backward pass is two forward passes' worth of products.
            self.mfu_per_token = 3 * count(config, row_length).flops_per_token / peak
        self._clear()

    def _clear(self) -> None:
        self.loss = self.grad_norm = self.lr = 0.0
        self.steps = self.tokens = 0
        self.started = time.monotonic()

    def add(self, loss: float, grad_norm: float, lr: float, tokens: int) -> None:
        """Count one step."""
        self.loss += loss
        self.grad_norm += grad_norm
        self.lr = lr
        self.steps += 1
        self.tokens += tokens

    def read(self) -> dict[str, float]:
        """The metrics since the last reading, which are then forgotten; loss in nats per token."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        steps = max(self.steps, 1)
        self.last_loss = self.loss / steps
        speed = self.tokens / seconds
        metrics = {
            "loss": self.last_loss,
            "grad_norm": self.grad_norm / steps,
            "lr": self.lr,
            "tokens_per_second": speed,
            "peak_memory_bytes": float(peak_memory_bytes(self.device)),
        }
        if self.mfu_per_token:
            metrics["mfu"] = speed * self.mfu_per_token
        self._clear()
        return metrics

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that is not spent on steps."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.started += time.monotonic() - start
