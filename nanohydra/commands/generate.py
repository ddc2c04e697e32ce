"""Continue a text."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from nanohydra.checkpoint.names import title_of
from nanohydra.commands.guessing import GuessingOptions, engine_settings, load_draft
from nanohydra.commands.options import answering_dtype, find_model, parse
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.engine import Engine, Request
    from nanohydra.tokenizer import Tokenizer

MAX_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(GuessingOptions):
    """Options of `nanohydra generate`."""

    prompt: tyro.conf.Positional[str] = ""
    """The text to continue; - reads it from the input."""
    num_samples: int = 1
    """How many continuations."""
    max_tokens: int = 256
    """Longest continuation in tokens."""
    temperature: float = 1.0
    """0 always takes the likeliest token."""
    top_k: int = 0
    """Sample among the k likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Sample among the likeliest tokens of this total probability."""
    min_p: float = 0.0
    """Leave out tokens less likely than this share of the likeliest."""
    seed: int | None = None
    """Repeat the same samples."""


def main(words: list[str]) -> None:
    """Run `nanohydra generate`."""
    call = parse(GenerateOptions, words, prog="generate", description=__doc__)
    run(call.options, call.recipe)


def run(options: GenerateOptions, recipe: Recipe) -> None:
    """Write each continuation after its prompt; the first one while it is made."""
    from nanohydra.checkpoint import load
    from nanohydra.core.runtime import setup
    from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams

    if options.num_samples < 1:
        raise UserError(f"num_samples must be at least 1, not {options.num_samples}")
    folder = find_model(options, recipe)
    runtime = setup(recipe.runtime)
    with console(stderr=True).status(f"loading {folder}"):
        dtype = answering_dtype(folder, runtime, recipe)
        loaded = load(folder, device=runtime.device, dtype=dtype, weights=options.weights)
    tokenizer = loaded.tokenizer
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    ids = (*tokenizer.prefix_ids, *tokenizer.encode(prompt)) or (tokenizer.start_id,)
    stop_ids = {*tokenizer.chat.end_ids, tokenizer.bos_id, tokenizer.pad_id}
    rows = min(options.num_samples, MAX_ROWS)
    length = min(loaded.config.max_seq_len, len(ids) + options.max_tokens)
    requests = [
        Request(
            id=str(number),
            prompt_ids=ids,
            params=SamplingParams(
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                min_p=options.min_p,
                seed=None if options.seed is None else options.seed + number,
                max_tokens=options.max_tokens,
                stop_ids=tuple(sorted(id for id in stop_ids if id is not None)),
            ),
        )
        for number in range(options.num_samples)
    ]
    config = EngineConfig(
        max_rows=rows, max_length=length, num_ids=tokenizer.vocab_size, **engine_settings(options)
    )
    engine = Engine(
        loaded.model, config, draft=load_draft(options.draft, runtime.device, loaded.model.dtype)
    )
    begin = time.perf_counter()
    write_samples(engine, tokenizer, requests, prompt)
    seconds = time.perf_counter() - begin
    if sys.stdout.isatty():
        summary_table(
            title_of(folder),
            {
                "samples": options.num_samples,
                "tokens": engine.num_generated_tokens,
                "tokens per second": engine.num_generated_tokens / seconds,
            },
        )


def write_samples(
    engine: Engine, tokenizer: Tokenizer, requests: list[Request], prompt: str
) -> None:
    """Run the requests together; write their texts in order, with an empty line between."""
    from nanohydra.tokenizer import StreamDecoder

    decoders = {request.id: StreamDecoder(tokenizer, continues=True) for request in requests}
    pending = {request.id: [prompt] for request in requests}
    ended: set[str] = set()
    order = [request.id for request in requests]
    for request in requests:
        engine.add(request)
    while order:
        for event in engine.step():
            if event.error is not None:
                raise RuntimeError(f"the engine failed: {event.error}")
            id = event.request_id
            if event.token_id is not None and event.token_id < tokenizer.vocab_size:
                pending[id].append(decoders[id].push(event.token_id))
            if event.finish_reason is not None:
                pending[id].append(decoders[id].flush() + "\n")
                ended.add(id)
        while order:
            sys.stdout.write("".join(pending.pop(order[0])))
            pending[order[0]] = []
            if order[0] not in ended:
                break
            order.pop(0)
            sys.stdout.write("\n" if order else "")
        sys.stdout.flush()
