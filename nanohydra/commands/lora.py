"""Train a low-rank adapter on text, or compare adapters with full fine-tuning."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nanohydra.adapters.config import Kind
from nanohydra.commands.eval import report_folders
from nanohydra.commands.lora_trials import (
    Outcome,
    Trial,
    prepare_texts,
    run_apart,
    run_trial,
)
from nanohydra.commands.options import ModelOptions, find_model, parse
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe
from nanohydra.training.config import TrainConfig

if TYPE_CHECKING:
    from nanohydra.adapters import LoraConfig

RANKS = (4, 8, 16, 32, 64)
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
REPORT = "report.json"
LIMIT_NATS = 0.0488  # 5% of perplexity


@dataclass(frozen=True, kw_only=True)
class LoraOptions(ModelOptions):
    """Options of `nanohydra lora`."""

    data: str = "pydocs"
    """What to learn: a file, folder or glob, or pydocs, pycode or primer, which are built in."""
    known: str = "primer"
    """What must not be forgotten, in the same way; the primer's test split by default."""
    report: Literal["none", "lora-vs-full", "ranks"] = "none"
    """none trains one adapter and saves it; the others compare, and write JSON and a plot."""
    out: Path | None = None
    """Folder to write to; lora in the run's if not given."""
    rank: int = 16
    """Rank of the adapter."""
    alpha: float = 32.0
    """Its alpha: the update is multiplied by alpha / rank."""
    kind: Kind = "lora"
    """Form of the adapter: lora, dora, loha or lokr; only lora can be served."""
    targets: str = ""
    """Names or patterns of layers with commas between; all linear layers if not given."""
    lr: float = 5e-3
    """Peak learning rate of adapters."""
    full_lr: float = 1e-3
    """Peak learning rate of full fine-tuning."""
    steps: int = 60
    """Training steps of each trial."""
    rows: int = 8
    """Rows of 256 tokens a step."""
    limit: int = 200
    """Read at most this many records of a source."""


def main(words: list[str]) -> None:
    """Run `nanohydra lora`."""
    call = parse(LoraOptions, words, prog="lora", description=__doc__)
    run(call.options, call.recipe)


def run(options: LoraOptions, recipe: Recipe) -> None:
    """Train, measure, write and print."""
    from nanohydra.checkpoint import load

    folder = find_model(options, recipe)
    home, _ = report_folders(folder)
    loaded = load(folder)
    config = train_config(options, loaded.config.max_seq_len)
    planned = plan(options)
    terminal = console(stderr=True)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="nanohydra-") as work:
        with terminal.status("reading"):
            prepare_texts(
                Path(work),
                loaded.tokenizer,
                new=options.data,
                known=options.known,
                limit=options.limit,
            )
        del loaded
        for number, (name, lora, lr) in enumerate(planned, 1):
            trial = Trial(
                name=name,
                model=folder,
                texts=Path(work),
                config=replace(config, lr=lr),
                lora=lora,
                runtime=recipe.runtime,
            )
            with terminal.status(f"{name} ({number} of {len(planned)})"):
                outcomes.append(run_trial(trial) if len(planned) == 1 else run_apart(trial))
    finish(options, options.out or home / "lora", folder, outcomes)


def train_config(options: LoraOptions, longest: int) -> TrainConfig:
    """How each trial trains."""
    return TrainConfig(
        steps=options.steps,
        rows_per_step=options.rows,
        row_length=min(256, longest),
        optimizer="adamw",
        lr=options.lr,
        betas=(0.9, 0.99),
        weight_decay=0.0,
        warmup_steps=min(10, options.steps // 4),
        log_every=max(1, options.steps // 4),
        validate_every=max(1, options.steps // 4),
        compile="off",
    )


def plan(options: LoraOptions) -> list[tuple[str, LoraConfig | None, float]]:
    """Name, adapter (None = all weights) and rate of each trial. Raises UserError."""
    from nanohydra.adapters import LINEARS, LoraConfig

    if options.steps < 1:
        raise UserError(f"--steps must be at least 1, not {options.steps}")
    targets = tuple(t.strip() for t in options.targets.split(",") if t.strip()) or LINEARS
    lora = LoraConfig(rank=options.rank, alpha=options.alpha, targets=targets, kind=options.kind)
    called = {"lora": "LoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}[options.kind]
    if options.report == "lora-vs-full":
        few = replace(lora, targets=FEED_FORWARD)
        return [
            (f"{called} {lora.rank}", lora, options.lr),
            (f"{called} {lora.rank}, MLP only", few, options.lr),
            ("all weights", None, options.full_lr),
        ]
    if options.report == "ranks":
        # The same alpha: alpha / rank then keeps the best rate about the same for all ranks.
        return [(f"rank {rank}", replace(lora, rank=rank), options.lr) for rank in RANKS]
    return [(f"{called} {lora.rank}", lora, options.lr)]


def finish(options: LoraOptions, out: Path, folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Save the adapter or the report and say where it is."""
    from nanohydra.adapters import save_adapter
    from nanohydra.checkpoint import load_model
    from nanohydra.core.files import write_json
    from nanohydra.core.runtime import describe_machine

    names = [Path(name).name for name in (options.data, options.known)]
    title = f"new: {names[0]}, known: {names[1]}; losses in nats per token"
    summary_table(title, table(outcomes))
    if options.report == "none":
        weights = outcomes[0].weights
        assert weights is not None
        measured = outcomes[0].as_json()
        config = load_model(folder).config
        save_adapter(out, weights, config, manifest={"data": options.data, "measured": measured})
        console().print(f"adapter {weights.id}: {out}", soft_wrap=True)
        return
    kind = options.report
    path = out / kind
    path.mkdir(parents=True, exist_ok=True)
    report: Mapping[str, Any] = {
        "report": kind,
        "model": str(folder),
        "data": options.data,
        "known": options.known,
        "steps": options.steps,
        "rows": options.rows,
        "alpha": options.alpha,
        "trials": [outcome.as_json() for outcome in outcomes],
        "machine": describe_machine(),
    }
    write_json(path / REPORT, report)
    drawn = draw(kind, outcomes, path / "plot.png")
    console().print(f"report: {path / REPORT}", soft_wrap=True)
    console().print(
        f"plot: {path / 'plot.png'}" if drawn else "no plot: pip install 'nanohydra[track]'",
        soft_wrap=True,
        markup=False,
    )


def table(outcomes: Sequence[Outcome]) -> list[tuple[object, ...]]:
    """One line per trial, after the base's own; narrow enough for 80 columns."""
    first = outcomes[0].points[0]
    rows: list[tuple[object, ...]] = [
        ("trial", "trained", "new", "known", "forgot", "tokens/s", "MiB"),
        ("base", "", f"{first.new_loss:.3f}", f"{first.known_loss:.3f}", "", "", ""),
    ]
    for outcome in outcomes:
        last, peak = outcome.points[-1], outcome.peak_memory_bytes
        rows.append(
            (
                outcome.name,
                f"{outcome.trained_parameters / 1e6:.2f}M",
                f"{last.new_loss:.3f}",
                f"{last.known_loss:.3f}",
                f"{outcome.forgetting:+.3f}",
                f"{outcome.tokens_per_second:.0f}",
                "?" if peak is None else f"{peak / 2**20:.0f}",
            )
        )
    return rows


def draw(kind: str, outcomes: Sequence[Outcome], path: Path) -> bool:
    """Three plots in one picture; False if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(13, 4), layout="constrained")  # no global state of pyplot
    FigureCanvasAgg(figure)
    loss, trade, cost = figure.subplots(1, 3)
    for outcome in outcomes:
        steps = [point.step for point in outcome.points]
        new = [point.new_loss for point in outcome.points]
        start = outcome.points[0].known_loss
        loss.plot(steps, new, marker=".", label=outcome.name)
        trade.plot(new, [point.known_loss - start for point in outcome.points], marker=".")
    loss.set(xlabel="step", ylabel="nats per token", title="loss on new text, held out")
    loss.legend(fontsize="small")
    trade.axhline(LIMIT_NATS, color="grey", linestyle=":", label="5% of perplexity")
    trade.set(xlabel="loss on new text", ylabel="nats per token", title="forgetting")
    trade.invert_xaxis()
    trade.legend(fontsize="small")
    if kind == "ranks":
        ranks = [outcome.rank or 0 for outcome in outcomes]
        cost.plot(ranks, [outcome.tokens_per_second for outcome in outcomes], marker="o")
        cost.set_xscale("log", base=2)
        cost.set_xticks(ranks, [str(rank) for rank in ranks])
        cost.set(xlabel="rank", ylabel="tokens per second", title="speed", ylim=(0, None))
    else:
        names = [outcome.name.replace(", ", "\n") for outcome in outcomes]
        cost.bar(names, [(outcome.peak_memory_bytes or 0) / 2**20 for outcome in outcomes])
        cost.set(ylabel="MiB", title="memory to train, with the weights")
    figure.savefig(path, dpi=120)
    return True
