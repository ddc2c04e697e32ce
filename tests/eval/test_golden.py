"""Likelihood of real text under a real model, against numbers measured with other code.

The model is llama2.c's stories260K; its loss on the first 60 held-out stories was measured apart.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.eval import score_documents

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "weights" / "stories260K"
STORIES = DATA / "text" / "tinystories_heldout.jsonl.gz"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_dir() and STORIES.is_file()), reason=f"no {WEIGHTS} or {STORIES}"
)


LENGTH = 512  # of the model's context, BOS included


class Pieces:
    """The score-ordered merging of llama2.c's tokenizer, cut at the model's context."""

    start_id = 1

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.scores: list[float] = []
        self.ids: dict[bytes, int] = {}
        offset = 4
        while offset < len(data):
            score, length = struct.unpack_from("<fi", data, offset)
            self.ids.setdefault(data[offset + 8 : offset + 8 + length], len(self.scores))
            self.scores.append(score)
            offset += 8 + length
        self.pieces = {id: piece for piece, id in self.ids.items()}
        assert not any(b" " in piece[1:] for piece in self.ids), "words can be merged apart"
        self.word = cache(self._word)

    def encode(self, text: str) -> list[int]:
        words = re.findall(" ?[^ ]+| ", " " + text)
        return [id for word in words for id in self.word(word)][: LENGTH - 1]

    def _word(self, word: str) -> list[int]:
        ids = []
        for character in word:
            piece = character.encode()
            ids += [self.ids[piece]] if piece in self.ids else [byte + 3 for byte in piece]
        while True:
            pairs = [self.pieces.get(a, b"?") + self.pieces.get(b, b"?") for a, b in pairwise(ids)]
            known = [(self.scores[self.ids[p]], -i) for i, p in enumerate(pairs) if p in self.ids]
            if not known:
                return ids
            place = -max(known)[1]
            ids[place : place + 2] = [self.ids[pairs[place]]]


def pairwise(ids: list[int]) -> list[tuple[int, int]]:
    return list(zip(ids, ids[1:], strict=False))


class Llama(nn.Module):
    """llama2.c's architecture, written down plainly: RoPE on neighbouring pairs, SwiGLU."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        data = path.read_bytes()
        dim, hidden, layers, heads, kv_heads, vocab, length = struct.unpack_from("<7i", data)
        self.heads, self.kv_heads, self.layers = heads, kv_heads, layers
        flat = torch.frombuffer(bytearray(data[28:]), dtype=torch.float32)
        kv = dim * kv_heads // heads
        shapes = {
            "embed": (vocab, dim), "norm1": (layers, dim), "q": (layers, dim, dim),
            "k": (layers, kv, dim), "v": (layers, kv, dim), "o": (layers, dim, dim),
            "norm2": (layers, dim), "gate": (layers, hidden, dim), "down": (layers, dim, hidden),
            "up": (layers, hidden, dim), "norm": (dim,),
        }  # fmt: skip
        self.weights: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            size = int(torch.tensor(shape).prod())
            self.weights[name], flat = flat[:size].view(shape), flat[size:]

    def forward(self, ids_BT: Tensor) -> Tensor:
        w = self.weights
        x_BTD = w["embed"][ids_BT]
        for i in range(self.layers):
            y_BTD = rms(x_BTD, w["norm1"][i])
            q, k, v = (self.split(y_BTD @ w[name][i].T) for name in "qkv")
            out = F.scaled_dot_product_attention(
                rotate(q), rotate(k), v, is_causal=True, enable_gqa=True
            )
            x_BTD = x_BTD + out.transpose(1, 2).flatten(2) @ w["o"][i].T
            y_BTD = rms(x_BTD, w["norm2"][i])
            gated = F.silu(y_BTD @ w["gate"][i].T) * (y_BTD @ w["up"][i].T)
            x_BTD = x_BTD + gated @ w["down"][i].T
        return rms(x_BTD, w["norm"]) @ w["embed"].T

    def split(self, x_BTD: Tensor) -> Tensor:
        size = self.weights["q"].shape[-1] // self.heads
        return x_BTD.view(*x_BTD.shape[:2], -1, size).transpose(1, 2)


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps=1e-5)


def rotate(x_BHTK: Tensor) -> Tensor:
    length, size = x_BHTK.shape[-2:]
    angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, size, 2) / size))
    even, odd = x_BHTK[..., ::2], x_BHTK[..., 1::2]
    turned = (even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos())
    return torch.stack(turned, dim=-1).flatten(-2)


def stories(count: int) -> list[str]:
    with gzip.open(STORIES, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in islice(file, count)]
    return [re.sub(r"\n\s*\n+", "\n", text)[:1200] for text in texts]


def test_loss_of_stories260k() -> None:
    tokenizer, model = Pieces(WEIGHTS / "tok512.bin"), Llama(WEIGHTS / "stories260K.bin")
    measured = score_documents(model, tokenizer, stories(60), row_length=LENGTH)
    assert measured.num_tokens == 21_824
    assert measured.nats / measured.num_tokens == pytest.approx(1.3143, abs=5e-5)
    assert measured.perplexity == pytest.approx(3.72, abs=5e-3)
