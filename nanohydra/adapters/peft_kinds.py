"""Adapters of other kinds than LoRA <-> PEFT's tensors and adapter_config.json.

PEFT's DoRA, LoHa and LoKr of linear layers, one rank and one alpha for all of them. A module of
theirs that holds several of our layers (GPT-2's q, k and v) cannot be written: only LoRA's factors
can be laid on top of each other without growing. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nanohydra.adapters.config import Kind, LoraConfig
from nanohydra.adapters.layer import Parts, kind_class
from nanohydra.adapters.lokr import split
from nanohydra.adapters.lora import block_of
from nanohydra.adapters.peft import (
    PREFIX,
    REFUSED,
    Shapes,
    common_fields,
    read_settings,
    shapes_of,
    target_names,
)
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.checkpoint.families.base import Reader
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.model import ModelConfig

LYCORIS: dict[str, Kind] = {"LOHA": "loha", "LOKR": "lokr"}


def kind_in(hf: Mapping[str, Any]) -> Kind:
    """The kind of adapter that an adapter_config.json describes; "lora" where it is no other."""
    if hf.get("peft_type") == "LORA" and hf.get("use_dora"):
        return "dora"
    return LYCORIS.get(str(hf.get("peft_type")), "lora")


def export_kind(
    weights: AdapterWeights, config: ModelConfig
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """adapter_config.json's fields and the tensors of adapter_model.safetensors.

    Raises UserError if a layer is not the model's, is of another shape, or lies in a module that
    holds others too.
    """
    kind, shapes = weights.config.kind, shapes_of(config)
    names = kind_class(kind).peft_names
    theirs = {}
    tensors = {}
    for name, parts in weights.parts.items():
        _check(name, parts, shapes, kind)
        theirs[name] = module_of(name, shapes, kind)
        for part, tensor in parts.items():
            tensors[f"{PREFIX}{theirs[name]}.{names[part]}"] = tensor.float().contiguous()
    fields = common_fields(target_names(set(theirs.values()), shapes))
    rank, alpha = weights.config.rank, weights.config.alpha
    alpha = int(alpha) if alpha.is_integer() else alpha
    if kind == "dora":
        dropout = weights.config.dropout
        own: dict[str, Any] = {
            "peft_type": "LORA",
            "lora_alpha": alpha,
            "lora_dropout": dropout,
            "fan_in_fan_out": False,
            "bias": "none",
            "use_rslora": False,
            "use_dora": True,
        }
    else:
        own = {"peft_type": kind.upper(), "alpha": alpha, "rank_dropout": 0.0}
        own |= {"module_dropout": 0.0, "init_weights": True, "use_effective_conv2d": False}
    if kind == "lokr":
        both = any("lokr_w1_a" in parts for parts in weights.parts.values())
        own |= {"decompose_both": both, "decompose_factor": _factor(weights, shapes)}
    return {**fields, **own, "r": rank}, tensors


def import_kind(
    hf: Mapping[str, Any], tensors: Mapping[str, Tensor], config: ModelConfig
) -> tuple[LoraConfig, dict[str, dict[str, Tensor]]]:
    """Tensors by our names, float32, and the configuration that they belong to.

    Raises UserError for settings that cannot be computed here, for unknown tensors, wrong shapes
    and numbers that are not finite.
    """
    kind, shapes = kind_in(hf), shapes_of(config)
    rank, alpha, dropout = _settings(hf, kind)
    parts = _read(tensors, shapes, kind)
    for name, found in parts.items():
        _check(name, found, shapes, kind)
    last = {name.rsplit(".", 1)[-1] for name in parts}
    blocks = {block for name in parts if (block := block_of(name)) is not None}
    every = {block_of(n) for n in shapes.ours if n.rsplit(".", 1)[-1] in last} - {None}
    lora = LoraConfig(
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        targets=tuple(sorted(last)),
        layers=() if blocks == every else tuple(sorted(blocks)),
        kind=kind,
    )
    return lora, parts


def _settings(hf: Mapping[str, Any], kind: Kind) -> tuple[int, float, float]:
    """Rank, alpha and dropout. Raises UserError for what would be computed otherwise here."""
    read = Reader(hf)
    for key in ("rank_pattern", "alpha_pattern"):
        read.refuse(key, {})
    if kind == "dora":
        settings = read_settings({**hf, "use_dora": False})
        return settings.rank, settings.scale_of("") * settings.rank, settings.dropout
    read.refuse("modules_to_save", *REFUSED["modules_to_save"])
    if hf.get("alpha") is None:
        raise UserError("'alpha' is missing; write down the value it was trained with")
    return read.integer("r"), read.number("alpha", 0.0), 0.0


def _read(
    tensors: Mapping[str, Tensor], shapes: Shapes, kind: Kind
) -> dict[str, dict[str, Tensor]]:
    """The tensors by layer and part. Raises UserError for any that is not one of them."""
    ours = {theirs: part for part, theirs in kind_class(kind).peft_names.items()}
    layers = {module.theirs: module for module in shapes.modules}
    layers |= {name.removeprefix(shapes.prefix): module for name, module in layers.items()}
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(PREFIX)
        end = next((end for end in ours if bare.endswith(f".{end}")), None)
        if end is None:
            raise UserError(f"the tensor {name!r} is not part of an adapter of kind {kind}")
        theirs = bare.removesuffix(f".{end}")
        if theirs not in layers:
            raise UserError(
                f"the model has no module {theirs!r} to adapt; {suggest(theirs, layers)}"
            )
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{name!r} holds NaN or infinity: training broke down")
        module = layers[theirs]
        if len(module.ours) > 1 or module.transposed:
            raise UserError(_fused(theirs, kind))
        value = tensor.to(torch.float32, copy=True)
        found.setdefault(module.ours[0], {})[ours[end]] = value
    if not found:
        raise UserError("it holds no tensors at all")
    return found


def module_of(name: str, shapes: Shapes, kind: Kind) -> str:
    """How PEFT calls the module that is this layer. Raises UserError if it holds others too."""
    module = next((m for m in shapes.modules if name in m.ours), None)
    if module is None:
        raise UserError(f"no other program has a module for {name!r}")
    if len(module.ours) > 1 or module.transposed:
        raise UserError(_fused(module.theirs, kind))
    return module.theirs


def _fused(theirs: str, kind: Kind) -> str:
    return (
        f"an adapter of kind {kind} cannot be exchanged with PEFT for {theirs!r}, which holds "
        "several layers of ours or lies on its side; use kind lora, or adapt other layers"
    )


def _check(name: str, parts: Parts, shapes: Shapes, kind: Kind) -> None:
    """Raise UserError unless the model has the layer, and the tensors are right and finite."""
    if name not in shapes.ours:
        raise UserError(f"the model has no linear layer {name!r}; {suggest(name, shapes.ours)}")
    if wrong := kind_class(kind).problem(parts, *shapes.ours[name]):
        raise UserError(f"the tensors of {name!r} do not fit: {wrong}; it is for another model")
    if not all(bool(tensor.isfinite().all()) for tensor in parts.values()):
        raise UserError(f"the tensors of {name!r} hold NaN or infinity: training broke down")


def _factor(weights: AdapterWeights, shapes: Shapes) -> int:
    """The setting with which LyCORIS would split all layers as they are."""
    sizes = {}
    for name, parts in weights.parts.items():
        first = parts.get("lokr_w1")
        out1 = len(first) if first is not None else len(parts["lokr_w1_a"])
        in1 = first.shape[1] if first is not None else parts["lokr_w1_b"].shape[1]
        sizes[name] = (out1, in1)
    for factor in (-1, *sorted({size for pair in sizes.values() for size in pair})):
        if all(
            (split(shapes.ours[n][0], factor)[0], split(shapes.ours[n][1], factor)[0]) == pair
            for n, pair in sizes.items()
        ):
            return factor
    raise UserError("no decompose_factor of PEFT splits the layers as this adapter's are")
