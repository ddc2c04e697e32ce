"""Rotary positions in config.json, in the old spelling and the new one, and back.

Old: "rope_theta", "rope_scaling" and "partial_rotary_factor" side by side; new: one table
"rope_parameters". The old one is written, which every program reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig, RopeScaling

KINDS = {"default": "none", "su": "longrope"} | {
    name: name for name in ("linear", "dynamic", "llama3", "yarn", "longrope")
}
PLAIN = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
KEYS = {
    "default": PLAIN,
    "linear": (*PLAIN, "factor"),
    "dynamic": (*PLAIN, "factor", "original_max_position_embeddings"),
    "llama3": (
        *PLAIN,
        *("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    ),
    "yarn": (
        *(*PLAIN, "factor", "original_max_position_embeddings", "attention_factor"),
        *("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate", "finetuned"),
    ),
    "longrope": (
        *(*PLAIN, "factor", "original_max_position_embeddings", "attention_factor"),
        *("short_factor", "long_factor", "short_mscale", "long_mscale"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Rope:
    """What a config.json says about rotary positions. partial: the rotated share of a head."""

    theta: float
    scaling: RopeScaling
    partial: float


def read_rope(
    hf: Mapping[str, Any], default_theta: float, *, kinds: tuple[str, ...] = tuple(KEYS)
) -> Rope:
    """Read it. Raises UserError for a kind of scaling, or a detail of one, that is not known."""
    given: dict[str, Any] = {}
    for key in ("rope_parameters", "rope_scaling"):
        value = hf.get(key) or {}
        if not isinstance(value, Mapping):
            raise UserError(f"{key!r} must be a table, not {value!r}")
        given |= value
    top, read = Reader(hf), Reader(given)
    kind = given.get("rope_type", given.get("type", "default"))
    kind = "longrope" if kind == "su" else kind
    if kind not in kinds:
        raise UserError(
            f"rotary scaling {kind!r} is not supported; supported: "
            + ", ".join(repr(name) for name in kinds)
        )
    unknown = sorted(set(given) - set(KEYS[kind]))
    if unknown:
        key = unknown[0]
        raise UserError(f"{key!r} is {given[key]!r}, which rotary scaling {kind!r} does not know")
    return Rope(
        theta=read.number("rope_theta", top.number("rope_theta", default_theta)),
        scaling=read_scaling(KINDS[kind], read, top),
        partial=read.number("partial_rotary_factor", top.number("partial_rotary_factor", 1.0)),
    )


def read_scaling(kind: str, read: Reader, top: Reader) -> RopeScaling:
    """One kind of scaling. top: the whole of config.json, which may hold the lengths."""
    if kind == "none":
        return RopeScaling()
    fields: dict[str, Any] = {"kind": kind, "factor": read.number("factor", 0.0)}
    longest = top.integer("max_position_embeddings")
    original = top.integer(
        "original_max_position_embeddings",
        read.integer("original_max_position_embeddings", longest),
    )
    if kind in ("llama3", "yarn", "longrope"):
        fields["original_max_seq_len"] = original
    if kind == "llama3":
        fields |= {key: read.number(key, 0.0) for key in ("low_freq_factor", "high_freq_factor")}
    if kind in ("yarn", "longrope"):
        fields["factor"] = fields["factor"] or longest / original
        fields["attention_factor"] = read.number("attention_factor", 0.0)
    if kind == "yarn":
        fields |= {"beta_fast": read.number("beta_fast", 32.0)}
        fields |= {"beta_slow": read.number("beta_slow", 1.0)}
        fields |= {"truncate": read.flag("truncate", True)}
        fields["attention_factor"] = fields["attention_factor"] or yarn_magnitude(
            fields["factor"], read.number("mscale", 0.0), read.number("mscale_all_dim", 0.0)
        )
    if kind == "longrope":
        fields["max_position_embeddings"] = longest
        fields |= {key: read.numbers(key) for key in ("short_factor", "long_factor")}
    return RopeScaling(**fields)


def yarn_magnitude(factor: float, above: float, below: float) -> float:
    """DeepSeek's ratio of two magnitudes; 0 where the usual one holds."""
    if not (above and below) or factor <= 1:
        return 0.0
    return (0.1 * above * log(factor) + 1) / (0.1 * below * log(factor) + 1)


def write_rope(config: ModelConfig) -> dict[str, Any]:
    """The keys that `read_rope` reads, and the longest text."""
    scaling = config.rope_scaling
    fields: dict[str, Any] = {
        "max_position_embeddings": config.max_seq_len,
        "rope_theta": config.rope_theta,
    }
    if config.rotary_dim:
        fields["partial_rotary_factor"] = config.rotary_dim / config.head_dim
    if scaling.kind == "none":
        return fields
    table: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn", "longrope"):
        table["original_max_position_embeddings"] = scaling.original_max_seq_len
    if scaling.kind == "llama3":
        table |= {key: getattr(scaling, key) for key in ("low_freq_factor", "high_freq_factor")}
    if scaling.kind == "yarn":
        table |= {key: getattr(scaling, key) for key in ("beta_fast", "beta_slow", "truncate")}
    if scaling.kind in ("yarn", "longrope") and scaling.attention_factor:
        table["attention_factor"] = scaling.attention_factor
    if scaling.kind == "longrope":
        table |= {key: list(getattr(scaling, key)) for key in ("short_factor", "long_factor")}
        fields["original_max_position_embeddings"] = scaling.original_max_seq_len
        fields["max_position_embeddings"] = scaling.max_position_embeddings
    return fields | {"rope_scaling": table}
