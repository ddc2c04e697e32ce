"""How tensors are hashed: by name, dtype, shape and bits."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def add_tensor(digest: hashlib._Hash, name: str, tensor: Tensor) -> None:
    """Feed one tensor of a model to a digest."""
    flat = tensor.detach().to("cpu").contiguous()
    digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}\n".encode())
    digest.update(flat.flatten().view(torch.uint8).numpy().data)
