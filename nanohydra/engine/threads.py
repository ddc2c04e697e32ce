"""How many CPU threads one forward call gets: a small one is done before a second has woken.

Waiting threads sleep while a server and a learner share the cores (they would slow each other
about 30 times if they spun), so every operation that is split pays for waking them up: a token of
a model of 3.5M parameters takes 1.8 ms on one thread and 5.1 ms on two (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from nanohydra.kernels.native import runs_native

SMALL_BYTES = 2**28  # weights; reading more from memory takes longer than waking a thread
SMALL_WORK = 2e9  # weights times tokens


class Threads:
    """Chooses by the model's size and a call's tokens; always the same for the same call."""

    def __init__(self, model: nn.Module) -> None:
        parameters = list(model.parameters())
        self.num_weights = sum(p.numel() for p in parameters)
        num_bytes = sum(p.numel() * p.element_size() for p in parameters)
        on_cpu = all(p.device.type == "cpu" for p in parameters)
        self.may_be_small = on_cpu and num_bytes < SMALL_BYTES
        # The products of one row in bfloat16 choose their threads themselves, one by one.
        chosen = parameters and all(p.dtype == torch.bfloat16 for p in parameters)
        self.chosen_for_one = bool(chosen) and runs_native(*parameters)

    def is_small(self, num_tokens: int) -> bool:
        """Whether a call on so many tokens is faster on one thread."""
        if not self.may_be_small or (self.chosen_for_one and num_tokens == 1):
            return False
        return self.num_weights * num_tokens < SMALL_WORK

    @contextmanager
    def of_call(self, num_tokens: int) -> Iterator[None]:
        """The calling thread's share of the cores for one forward call; given back after it."""
        before = torch.get_num_threads()
        if before == 1 or not self.is_small(num_tokens):
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
