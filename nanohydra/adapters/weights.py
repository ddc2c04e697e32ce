"""An adapter's tensors with their shape: the value that training makes and the engine loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from nanohydra.adapters.config import LoraConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """The two factors of one linear layer's update, float32: a_RI (rank, in), b_OR (out, rank)."""

    a_RI: Tensor
    b_OR: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class AdapterWeights:
    """Low-rank factors by the name of their linear layer in the decoder, and what they are for.

    pairs: for example "blocks.0.mixer.q_proj" -> Pair; ranks may differ where adapters were
    concatenated, and the factors then carry the scale themselves.
    parts: instead of pairs for another kind than LoRA: a layer's tensors by their names.
    base: the hash of the base's weights. id: names the content: tensors, config and base.
    """

    config: LoraConfig
    base: str
    pairs: Mapping[str, Pair]
    parts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The first 16 hex digits of a SHA-256 over base, config and tensors."""
        digest = hashlib.sha256(self.base.encode())
        config = asdict(self.config)
        if config["kind"] == "lora":
            del config["kind"]  # versions from before there were kinds keep their names
        digest.update(json.dumps(config, sort_keys=True).encode())
        for name in sorted(self.pairs):
            digest.update(name.encode())
            for tensor in (self.pairs[name].a_RI, self.pairs[name].b_OR):
                _add(digest, tensor)
        for name in sorted(self.parts):
            for part, tensor in sorted(self.parts[name].items()):
                digest.update(f"{name}.{part}".encode())
                _add(digest, tensor)
        return digest.hexdigest()[:16]

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensors."""
        pairs = sum(p.a_RI.nbytes + p.b_OR.nbytes for p in self.pairs.values())
        return pairs + sum(t.nbytes for parts in self.parts.values() for t in parts.values())


def _add(digest: hashlib._Hash, tensor: Tensor) -> None:
    flat = tensor.detach().to("cpu", torch.float32).contiguous()
    digest.update(str(tuple(flat.shape)).encode())
    digest.update(flat.numpy().tobytes())
