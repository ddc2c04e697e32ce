"""Measure how fast a server answers under load, or an engine alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nanohydra.commands.options import AnsweringOptions, find_model, parse
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, format_value
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.bench import LoadConfig, Round, Target

MIN_REQUESTS = 8
READY_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class BenchOptions(AnsweringOptions):
    """Options of `nanohydra bench`."""

    action: tyro.conf.Positional[Literal["serve", "decode"]] = "serve"
    """serve: a server's answers under load; decode: the engine alone, without HTTP and text."""
    url: str = ""
    """serve: a server that runs, any with the OpenAI API; if not given, --model is served."""
    api_key: str = ""
    """serve: key of the server."""
    api: Literal["chat", "completions"] = "chat"
    """serve: which of the two requests."""
    served_model: str = ""
    """serve: name of the model in requests; the first that the server lists if not given."""
    concurrency: str = "1,2,4,8,16"
    """How many streams at once, a round each."""
    rate: str = ""
    """serve: requests a second that arrive at random, a round each, instead of --concurrency."""
    requests: int = 0
    """serve: how many in each round; 4 for each stream if not given."""
    prompt_tokens: int = 128
    """Length of the prompts."""
    prefix_tokens: int = 0
    """serve: of it, what all prompts begin with."""
    output_tokens: int = 64
    """Length of the answers."""
    seed: int = 0
    """Of prompts and arrivals."""


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What a step cannot be faster than: reading the weights once at the measured speed."""

    weight_bytes: int
    bytes_per_second: float

    def share(self, step_seconds: float) -> float:
        """How near a step comes to it."""
        return self.weight_bytes / self.bytes_per_second / step_seconds


def main(words: list[str]) -> None:
    """Run `nanohydra bench`."""
    call = parse(BenchOptions, words, prog="bench", description=__doc__)
    run(call.options, call.recipe)


def run(options: BenchOptions, recipe: Recipe) -> None:
    """Measure round by round; a table for people, then one line of JSON."""
    levels = numbers_of(options.concurrency, int, "--concurrency")
    rates = numbers_of(options.rate, float, "--rate") if options.rate else []
    result: dict[str, Any] = {"benchmark": f"bench {options.action}"}
    if options.action == "decode":
        if options.url:
            raise UserError("decode measures an engine in this process; --url is for serve")
        result |= decode(options, recipe, levels)
    elif options.url:
        from nanohydra.bench import Target

        target = Target.of(options.url, options.api_key)
        result["rounds"] = asyncio.run(measure(target, options, levels, rates))
        show(options.url, result["rounds"], None)
    else:
        folder = find_model(options, recipe)
        ceiling = ceiling_of(folder, options.weights)
        with serving(folder, options, max(levels)) as target:
            rounds = asyncio.run(measure(target, options, levels, rates))
        for each in rounds:
            step = each["itl_ms"]["p50"]
            each["share_of_ceiling"] = round(ceiling.share(step / 1e3), 4) if step else None
        result |= {"rounds": rounds, "read_bytes_per_second": round(ceiling.bytes_per_second)}
        show(str(folder), rounds, ceiling)
    print(json.dumps(result))


def numbers_of(text: str, kind: type, option: str) -> list[Any]:
    """A list such as 1,2,4. Raises UserError."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} is {text!r}; give numbers such as 1,2,4") from None
    if min(found) <= 0:
        raise UserError(f"{option} has {min(found)}; the numbers must be above 0")
    return found


async def measure(
    target: Target, options: BenchOptions, levels: Sequence[int], rates: Sequence[float]
) -> list[dict[str, Any]]:
    """All rounds, after a warm-up."""
    from dataclasses import replace

    from nanohydra.bench.load import Load, LoadConfig, models_of, wait_until_ready

    await wait_until_ready(target, READY_SECONDS)
    names = await models_of(target)
    config = LoadConfig(
        api=options.api,
        model=options.served_model or (names[0] if names else None),
        prompt_tokens=options.prompt_tokens,
        output_tokens=options.output_tokens,
        prefix_tokens=options.prefix_tokens,
        seed=options.seed,
    )
    load = Load(target, config)
    await load.prepare()
    if not load.full_length:
        note = "the server does not know ignore_eos, so answers may be shorter than asked"
        console(stderr=True).print(note, style="dim")
    kinds: list[tuple[int, float]] = [(level, 0.0) for level in levels]
    if rates:
        kinds = [(max(levels), rate) for rate in rates]
    found = []
    for concurrency, rate in kinds:
        load.config = replace(config, rate=rate)
        count = options.requests or max(MIN_REQUESTS, 4 * concurrency)
        with console(stderr=True).status(f"{count} requests, {concurrency} at once"):
            done = await load.run(concurrency, count)
        found.append({**summary_of(done, load.config), "rate": rate or None})
    return found


def summary_of(done: Round, config: LoadConfig) -> dict[str, Any]:
    """A round as plain data, with what was asked for."""
    asked = {name: getattr(config, name) for name in ("prefix_tokens", "output_tokens")}
    return {**done.summary(), **asked}


@contextlib.contextmanager
def serving(folder: Path, options: BenchOptions, max_rows: int) -> Iterator[Target]:
    """A server of the model in a process of its own, ended as it should be."""
    from nanohydra.bench import Target

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="nanohydra-") as home:
        words = [
            *(sys.executable, "-m", "nanohydra", "serve", "--model", str(folder)),
            *("--port", str(port), "--no-learn", "--journal", f"{home}/journal.db"),
            *("--max-rows", str(max_rows), "--weights", options.weights),
        ]
        if options.recipe != "tiny":
            words += ["--recipe", options.recipe]
        log = Path(home) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(words, stdout=file, stderr=file)
        try:
            yield Target(host="127.0.0.1", port=port)
        except UserError as error:
            if process.poll() is None:
                raise
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"the server ended: {' '.join(last)}") from error
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ceiling_of(folder: Path, weights: str) -> Ceiling:
    """Bytes of the weights that a token reads, and how fast this machine reads so many."""
    import torch

    from nanohydra.checkpoint.families.choice import read_config_file
    from nanohydra.checkpoint.folder import CONFIG
    from nanohydra.checkpoint.weights import ModelTensors
    from nanohydra.kernels.bandwidth import read_bandwidth
    from nanohydra.model.quantised import num_bytes

    _, config = read_config_file(folder / CONFIG)
    dtype = ModelTensors(folder).main_dtype
    total = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if weights != "stored":
        dtype = torch.bfloat16 if dtype == torch.float16 else dtype
        total = num_bytes(config, dtype, weights)
    if not config.tie_embeddings:  # one row of it is read
        total -= config.vocab_size * config.hidden_size * dtype.itemsize
    return Ceiling(weight_bytes=total, bytes_per_second=read_bandwidth(total))


def show(title: str, rounds: Sequence[dict[str, Any]], ceiling: Ceiling | None) -> None:
    """The table for people: a line for each round."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    tails = "ms p50/p95/p99"
    heads = (
        "streams",
        f"first token\n{tails}",
        f"between two\n{tails}",
        "tokens/s",
        "ceiling",
        "KV",
    )
    for head in heads:
        table.add_column(head, justify="right")
    for each in rounds:
        share, usage = each.get("share_of_ceiling"), each.get("kv_usage")
        table.add_row(
            f"{each['rate']:g}/s" if each.get("rate") else str(each["concurrency"]),
            milliseconds(each["ttft_ms"]),
            milliseconds(each["itl_ms"]),
            format_value(float(each["tokens_per_second"])),
            "-" if share is None else f"{share:.0%}",
            "-" if usage is None else f"{usage:.0%}",
        )
    console().print(table)
    if ceiling is not None:
        text = f"ceiling: {ceiling.weight_bytes / 1e6:,.1f} MB of weights for each step, read at "
        console().print(f"{text}{ceiling.bytes_per_second / 1e9:.1f} GB/s", soft_wrap=True)
    for each in rounds:
        for error, count in each["errors"].items():
            console().print(f"{count} times: {error}", markup=False, soft_wrap=True)


def milliseconds(values: dict[str, float | None]) -> str:
    """Median and tails, short."""
    shown = (
        "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"
        for value in values.values()
    )  # fmt: skip
    return "/".join(shown)


def decode(options: BenchOptions, recipe: Recipe, levels: Sequence[int]) -> dict[str, Any]:
    """The engine alone: all prompts at once, so many rows."""
    from nanohydra.bench.decoding import decode_rounds
    from nanohydra.commands.serve import load_chat
    from nanohydra.engine import EngineConfig

    folder = find_model(options, recipe)
    ceiling = ceiling_of(folder, options.weights)
    length = options.prompt_tokens + options.output_tokens
    config = EngineConfig(max_rows=max(levels), max_length=length)
    chat = load_chat(folder, recipe, config, 0, options.weights)
    rounds = chat.engine.call(
        lambda engine: decode_rounds(
            engine, levels, options.prompt_tokens, options.output_tokens, options.seed
        )
    ).result()
    chat.engine.close()
    for each in rounds:
        step = each["itl_ms"]["p50"]
        each["share_of_ceiling"] = round(ceiling.share(step / 1e3), 4) if step else None
    show(str(folder), rounds, ceiling)
    return {"rounds": rounds, "read_bytes_per_second": round(ceiling.bytes_per_second)}
