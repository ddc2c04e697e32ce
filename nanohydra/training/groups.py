"""Which parameter is trained how, decided from its name and shape in this one place."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Kind = Literal["matrix", "embedding", "head", "factor", "other"]
EMBEDDINGS = ("embed", "position_table", "wte", "wpe")
HEADS = ("head", "lm_head")
FACTORS = ("lora_", "hada_", "lokr_")  # the beginnings of their names


def kind_of(name: str, parameter: Tensor) -> Kind:
    """The kind of a parameter.

    matrix: a weight that maps one hidden space to another; Muon may orthogonalise its update.
    embedding, head: tables over the vocabulary or over positions, whose rows are separate things.
    factor: a part of an adapter's update. Never Muon's: what has to be orthogonal would be
        the product; and never decayed.
    other: norms, biases, convolution kernels, gates.
    """
    parts = name.split(".")
    if parts[-1].startswith(FACTORS):
        return "factor"
    if any(part in EMBEDDINGS or part.startswith("embed_") for part in parts):
        return "embedding"
    if any(part in HEADS for part in parts):
        return "head"
    if parameter.ndim == 2 and not any("conv" in part for part in parts[-1:]):
        return "matrix"
    return "other"


def muon_splits(parameter: Tensor) -> tuple[int, ...]:
    """Row counts of the matrices that a fused weight holds, each orthogonalised by itself.

    A model that fuses q, k and v (or gate and up) sets `parameter.muon_splits`.
    """
    splits: tuple[int, ...] = getattr(parameter, "muon_splits", (parameter.shape[0],))
    assert sum(splits) == parameter.shape[0], "muon_splits must cover all rows"
    return splits
