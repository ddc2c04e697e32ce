"""Which base an adapter belongs to: hashes over a model's own tensors, adapters left out.

Two hashes, because two questions are asked. `base_hash` asks whether an adapter fits and is the
same for a model and its cast to bfloat16, as one process may train in float32 while another
serves in bfloat16. `exact_hash` asks whether anything was changed at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nanohydra.model import Decoder
from nanohydra.model.digest import add_tensor

PARTS = ("lora_", "hada_", "lokr_")  # how the names of all kinds of parts begin


def base_hash(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bfloat16 values of the base's parameters, in hexadecimal.

    An attached adapter changes nothing. Where a model was trained further, some values of it
    differ by more than bfloat16 rounds away. A quantised decoder has the hash of what it was
    made from, as an adapter learned there is meant for both.
    """
    if isinstance(model, Decoder) and model.pristine:
        return model.pristine
    digest = hashlib.sha256()
    for name, tensor in base_parameters(model):
        add_tensor(digest, name, tensor.to(torch.bfloat16))
    return digest.hexdigest()


def exact_hash(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bits of the base's parameters, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in base_parameters(model):
        add_tensor(digest, name, tensor)
    return digest.hexdigest()


def base_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each parameter that is no part of an adapter; tied ones once."""
    for name, parameter in model.named_parameters():
        if not name.rsplit(".", 1)[-1].startswith(PARTS):
            yield name, parameter.detach()
