"""What a recipe will take: parameters, FLOPs, memory, time and cost on a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nanohydra.commands.options import Options, parse
from nanohydra.core.log import console, summary_table
from nanohydra.model.plan import (
    Device,
    count,
    find_device,
    training_bytes,
    training_seconds,
)
from nanohydra.recipe import Recipe
from nanohydra.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class PlanOptions(Options):
    """Options of `nanohydra plan`."""

    device: str = "cpu"
    """Device to plan for: cpu, rtx4090, a100, h100 or h200."""
    price: float | None = None
    """Price of the device in US dollars per hour; a typical one if not given."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """What one stage of a recipe takes."""

    name: str
    tokens: int
    seconds: float
    memory: int


def main(words: list[str]) -> None:
    """Run `nanohydra plan`."""
    call = parse(PlanOptions, words, prog="plan", description=__doc__)
    run(call.options, call.recipe)


def run(options: PlanOptions, recipe: Recipe) -> None:
    """Print the plan: the model, then each stage on the device."""
    device = find_device(options.device)
    price = device.price if options.price is None else options.price
    summary_table(f"model of {recipe.name}", dict(model_rows(recipe)))
    plans = list(stage_plans(recipe, device))
    rows: list[tuple[object, ...]] = [("stage", "tokens", "time", "memory", "cost")]
    for plan in plans:
        cost = f"${plan.seconds / 3600 * price:,.2f}" if price else "-"
        rows.append(
            (plan.name, f"{plan.tokens:,}", duration(plan.seconds), size(plan.memory), cost)
        )
    summary_table(f"training on {options.device}", rows)
    if any(plan.memory > device.memory for plan in plans):
        console().print(
            f"this does not fit into the {size(int(device.memory))} of {options.device}: "
            "lower micro_rows or row_length, or take a larger device"
        )


def model_rows(recipe: Recipe) -> Iterator[tuple[str, object]]:
    """The model's shape and sizes."""
    model = recipe.model
    length = min(recipe.pretrain.row_length, model.max_seq_len)
    counts = count(model, length)
    kinds = {kind: model.layer_types.count(kind) for kind in dict.fromkeys(model.layer_types)}
    yield "layers", ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    yield "width", f"{model.hidden_size}, heads {model.num_heads} of {model.head_dim}"
    yield "key/value heads", model.num_kv_heads
    yield "vocabulary", model.vocab_size
    yield "parameters", counts.parameters
    yield "of them embeddings", counts.embedding_parameters
    yield "FLOPs per token, forward", f"{counts.flops_per_token:,} at {length} tokens"
    yield "decoding state", f"{counts.state_bytes_per_token:,} bytes per token"
    if counts.state_bytes_fixed:
        yield "and per sequence", f"{counts.state_bytes_fixed:,} bytes"
    yield "weights in bf16", size(2 * counts.parameters)


def stage_plans(recipe: Recipe, device: Device) -> Iterator[StagePlan]:
    """What each training stage takes on a device."""
    stages: list[tuple[str, TrainConfig | None]] = [("pretrain", recipe.pretrain)]
    for name, train in [*stages, ("sft", recipe.sft)]:
        if train is None:
            continue
        tokens = train.num_steps * train.tokens_per_step
        rows = train.micro_rows or train.rows_per_step
        yield StagePlan(
            name=name,
            tokens=tokens,
            seconds=training_seconds(recipe.model, tokens, train.row_length, device),
            memory=training_bytes(recipe.model, rows * train.row_length),
        )


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s"


def size(num_bytes: int) -> str:
    """Bytes as people say them."""
    for unit, length in (("GiB", 2**30), ("MiB", 2**20)):
        if num_bytes >= length:
            return f"{num_bytes / length:,.1f} {unit}"
    return f"{num_bytes:,} bytes"
