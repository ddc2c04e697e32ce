"""Factors <-> PEFT's tensors and adapter_config.json, in the profile that others read as well.

One rank and one alpha for all layers, no biases, no DoRA, no rsLoRA, explicit targets: vLLM and
llama.cpp ignore or refuse the rest. What PEFT may write beyond that is converted where that is
exact and refused where it is not. Knows nothing of folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.lora import adaptable, block_of, linear_at
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.checkpoint import family_of
from nanohydra.checkpoint.families.base import Module, Reader
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.model import Decoder, ModelConfig

PREFIX = "base_model.model."
FACTOR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
# Of these the others change what the base computes, which a frozen base cannot take part in.
PLAIN_INITS = (True, False, "gaussian", "eva", "orthogonal")
REFUSED: dict[str, tuple[Any, ...]] = {
    "use_dora": (False,),
    "use_qalora": (False,),
    "use_bdlora": (False,),
    "lora_bias": (False,),
    "bias": ("none",),
    "modules_to_save": ([],),
    "trainable_token_indices": ([], {}),
    "target_parameters": ([],),
    "layer_replication": ([],),
    "alora_invocation_tokens": ([],),
    "arrow_config": (),
    "kasa_config": (),
    "velora_config": (),
    "monteclora_config": (),
    "init_lora_weights": PLAIN_INITS,
}


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """(out, in) of the layers that may be adapted, and how they are called elsewhere."""

    ours: Mapping[str, tuple[int, int]]
    modules: tuple[Module, ...]
    prefix: str


@lru_cache(maxsize=8)
def shapes_of(config: ModelConfig) -> Shapes:
    """The adaptable layers of a decoder, without making its weights."""
    with torch.device("meta"):
        model = Decoder(config)
    linears = {name: linear_at(model, name) for name in adaptable(model)}
    family = family_of(config)
    return Shapes(
        ours={name: (linear.out_features, linear.in_features) for name, linear in linears.items()},
        modules=tuple(m for m in family.modules(config) if set(m.ours) <= linears.keys()),
        prefix=family.prefix,
    )


def export_adapter(
    weights: AdapterWeights, config: ModelConfig
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """adapter_config.json's fields and the tensors of adapter_model.safetensors.

    Layers that one module of the other program holds (GPT-2's q, k and v) become the blocks of
    one update, and smaller ranks are filled up with zeros: both exact. Raises UserError if a
    layer is not the model's or is of another shape.
    """
    if not weights.pairs:
        raise UserError("an adapter without factors cannot be written")
    shapes = shapes_of(config)
    for name, pair in weights.pairs.items():
        check_shape(name, pair, shapes)
    joined = {
        module.theirs: join([(shapes.ours[name], weights.pairs.get(name)) for name in module.ours])
        for module in shapes.modules
        if any(name in weights.pairs for name in module.ours)
    }
    rank = max(len(pair.a_RI) for pair in joined.values())
    tensors = {}
    for theirs, pair in joined.items():
        missing = rank - len(pair.a_RI)
        tensors[f"{PREFIX}{theirs}.lora_A.weight"] = torch.nn.functional.pad(
            pair.a_RI.float(), (0, 0, 0, missing)
        )
        tensors[f"{PREFIX}{theirs}.lora_B.weight"] = torch.nn.functional.pad(
            pair.b_OR.float(), (0, missing)
        )
    alpha = weights.config.scale * rank
    fields: dict[str, Any] = {
        **common_fields(target_names(set(joined), shapes)),
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": weights.config.dropout,
        "fan_in_fan_out": any(m.transposed for m in shapes.modules if m.theirs in joined),
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
    }
    return fields, tensors


def common_fields(targets: list[str]) -> dict[str, Any]:
    """What adapter_config.json says of any kind of adapter."""
    return {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "target_modules": targets,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }


def join(parts: list[tuple[tuple[int, int], Pair | None]]) -> Pair:
    """One update of layers that lie on top of each other, from theirs; None changes nothing."""
    present = [pair for _, pair in parts if pair is not None]
    if len(parts) == 1:
        return present[0]
    a_RI = torch.cat([pair.a_RI for pair in present])
    b_OR = torch.zeros(sum(out for (out, _), _ in parts), len(a_RI))
    row = column = 0
    for (out, _), pair in parts:
        if pair is not None:
            rank = pair.b_OR.shape[1]
            b_OR[row : row + out, column : column + rank] = pair.b_OR
            column += rank
        row += out
    return Pair(a_RI=a_RI, b_OR=b_OR)


def target_names(adapted: set[str], shapes: Shapes) -> list[str]:
    """Last parts of names if they mean just the adapted modules, else the whole names; sorted."""
    parts = {name.rsplit(".", 1)[-1] for name in adapted}
    meant = {m.theirs for m in shapes.modules if m.theirs.rsplit(".", 1)[-1] in parts}
    return sorted(parts if meant == adapted else adapted)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an adapter_config.json says about the scale of each module."""

    rank: int
    alpha: float
    dropout: float
    rslora: bool
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]

    def rank_of(self, module: str) -> int:
        """The rank of a module, by the first pattern that means it."""
        return int(_pattern(self.ranks, module, self.rank))

    def scale_of(self, module: str) -> float:
        """What the product is multiplied by; with rsLoRA alpha / sqrt(rank), arXiv 2312.03732."""
        rank = self.rank_of(module)
        return float(_pattern(self.alphas, module, self.alpha)) / (
            rank**0.5 if self.rslora else rank
        )


def read_settings(hf: Mapping[str, Any]) -> Settings:
    """Read adapter_config.json. Raises UserError for what cannot be computed here exactly."""
    read = Reader(hf)
    if hf.get("peft_type") != "LORA":
        raise UserError(f"'peft_type' is {hf.get('peft_type')!r}; only 'LORA' can be loaded")
    for key, accepted in REFUSED.items():
        read.refuse(key, *accepted)
    if hf.get("lora_alpha") is None:
        raise UserError(
            "'lora_alpha' is missing; other programs would take 8 in silence: write down the "
            "value it was trained with"
        )
    patterns = {key: hf.get(key) or {} for key in ("rank_pattern", "alpha_pattern")}
    for key, pattern in patterns.items():
        numbers = isinstance(pattern, Mapping) and all(
            isinstance(v, int | float) and v > 0 for v in pattern.values()
        )
        if not numbers:
            raise UserError(f"{key!r} must map names to numbers above 0, not be {pattern!r}")
    settings = Settings(
        rank=read.integer("r"),
        alpha=read.number("lora_alpha", 0.0),
        dropout=read.number("lora_dropout", 0.0),
        rslora=read.flag("use_rslora", False),
        ranks=patterns["rank_pattern"],
        alphas=patterns["alpha_pattern"],
    )
    LoraConfig(rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout)  # refuses
    return settings


def _pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """As PEFT reads its patterns: regular expressions for the end of a module's name."""
    for key, value in patterns.items():
        try:
            if re.fullmatch(rf"(.*\.)?({key})", module):
                return value
        except re.error as error:
            raise UserError(f"the pattern {key!r} is no regular expression: {error}") from None
    return default


def import_adapter(
    settings: Settings, tensors: Mapping[str, Tensor], config: ModelConfig
) -> tuple[LoraConfig, dict[str, Pair]]:
    """Factors by our names, float32, all with the scale of the returned configuration.

    Where a module has a scale of its own, or with rsLoRA, the difference goes into B. Raises
    UserError for unknown tensors, wrong shapes, half a pair, and numbers that are not finite.
    """
    shapes = shapes_of(config)
    common = settings.scale_of("")
    pairs: dict[str, Pair] = {}
    for module, pair in read_pairs(tensors, shapes):
        rank = settings.rank_of(module.theirs)
        if pair.a_RI.shape[0] != rank:
            raise UserError(
                f"the factors of {module.theirs!r} have rank {pair.a_RI.shape[0]}, "
                f"adapter_config.json says {rank}"
            )
        factor = settings.scale_of(module.theirs) / common
        pair = pair if factor == 1.0 else Pair(a_RI=pair.a_RI, b_OR=pair.b_OR * factor)
        pairs.update(split(module, pair, shapes))
    for name, pair in pairs.items():
        check_finite(name, pair)
    parts = {name.rsplit(".", 1)[-1] for name in pairs}
    blocks = {block_of(name) for name in pairs} - {None}
    every = {block_of(n) for n in shapes.ours if n.rsplit(".", 1)[-1] in parts} - {None}
    lora = LoraConfig(
        rank=settings.rank,
        alpha=common * settings.rank,
        dropout=settings.dropout,
        targets=tuple(sorted(parts)),
        layers=() if blocks == every else tuple(sorted(b for b in blocks if b is not None)),
    )
    return lora, pairs


def read_pairs(tensors: Mapping[str, Tensor], shapes: Shapes) -> Iterator[tuple[Module, Pair]]:
    """The two factors of each module. Raises UserError for any tensor that is not one of them."""
    modules = {module.theirs: module for module in shapes.modules}
    modules |= {name.removeprefix(shapes.prefix): module for name, module in modules.items()}
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(name.removeprefix(PREFIX))
        if not match:
            raise UserError(f"the tensor {name!r} is not a factor of a linear layer's update")
        if match[1] not in modules:
            hint = suggest(match[1], modules)
            raise UserError(f"the model has no module {match[1]!r} to adapt; {hint}")
        found.setdefault(match[1], {})[match[2]] = tensor.to(torch.float32, copy=True)
    if not found:
        raise UserError("it holds no factors at all")
    for name, halves in found.items():
        if halves.keys() != {"A", "B"}:
            there = next(iter(halves))
            raise UserError(f"of {name!r} there is lora_{there} but not the other factor")
        yield modules[name], Pair(a_RI=halves["A"], b_OR=halves["B"])


def split(module: Module, pair: Pair, shapes: Shapes) -> dict[str, Pair]:
    """The update of their module as updates of our layers. Raises UserError for wrong shapes."""
    sizes = [shapes.ours[name][0] for name in module.ours]
    expected = (sum(sizes), shapes.ours[module.ours[0]][1])
    a, b = tuple(pair.a_RI.shape), tuple(pair.b_OR.shape)
    if len(a) != 2 or len(b) != 2 or a[0] != b[1] or (b[0], a[1]) != expected:
        raise UserError(
            f"the factors of {module.theirs!r} have shapes {a} and {b}, which do not fit a layer "
            f"from {expected[1]} to {expected[0]}: the adapter is for another model"
        )
    pieces = torch.split(pair.b_OR, sizes)
    return {
        name: Pair(a_RI=pair.a_RI, b_OR=piece.contiguous())
        for name, piece in zip(module.ours, pieces, strict=True)
    }


def check_shape(name: str, pair: Pair, shapes: Shapes) -> None:
    """Raise UserError unless the model has the layer in this shape."""
    if name not in shapes.ours:
        raise UserError(f"the model has no linear layer {name!r}; {suggest(name, shapes.ours)}")
    split(Module(name, (name,)), pair, shapes)


def check_finite(name: str, pair: Pair) -> None:
    """Raise UserError for NaN and infinity."""
    for tensor in (pair.a_RI, pair.b_OR):
        if not bool(tensor.isfinite().all()):
            raise UserError(f"the factors of {name!r} hold NaN or infinity: training broke down")
