"""What both interfaces begin with: a loaded model, an engine of the asked settings, requests.

Knows nothing of threads or event loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from nanohydra.adapters import AdapterWeights, load_adapter
from nanohydra.checkpoint import Loaded
from nanohydra.checkpoint.hub import load, locate
from nanohydra.checkpoint.weights import ModelTensors
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams
from nanohydra.engine.adapted import adapted
from nanohydra.llm.prompts import Asked
from nanohydra.llm.writing import Writing
from nanohydra.tokenizer import Tokenizer

SETTINGS = tuple(f.name for f in fields(EngineConfig) if f.name != "num_ids")
AdapterLike = str | Path | AdapterWeights
_numbers = itertools.count()


def load_for_answers(
    model: str | Path | Loaded,
    *,
    revision: str | None,
    device: str,
    dtype: str | torch.dtype | None,
    weights: str,
) -> Loaded:
    """The model, ready to answer; see `LLM` for the arguments."""
    if isinstance(model, Loaded):
        return model
    if isinstance(dtype, str):
        named = getattr(torch, dtype, None)
        if not isinstance(named, torch.dtype):
            known = ("float32", "bfloat16", "float16")
            raise UserError(f"unknown dtype {dtype!r}; {suggest(dtype, known)}")
        dtype = named
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = locate(model, revision=revision)
    # A CPU multiplies float16 about a hundred times slower than bfloat16.
    half = device == "cpu" and dtype is None and ModelTensors(folder).main_dtype == torch.float16
    return load(folder, device=device, dtype=torch.bfloat16 if half else dtype, weights=weights)


def engine_of(loaded: Loaded, settings: dict[str, Any]) -> Engine:
    """An engine with these fields of `EngineConfig`. Raises UserError for one that it lacks."""
    for name in settings:
        if name not in SETTINGS:
            raise UserError(f"unknown setting {name!r}; {suggest(name, SETTINGS)}")
    config = EngineConfig(**settings, num_ids=loaded.tokenizer.vocab_size)
    return Engine(loaded.model, config)


def default_params(loaded: Loaded) -> SamplingParams:
    """As the model's makers sample from it, where they say so."""
    stated: dict[str, Any] = dict(loaded.sampling)
    if "top_k" in stated:
        stated["top_k"] = int(stated["top_k"])
    return SamplingParams(**stated)


def each(values: Any, count: int, kind: type | tuple[type, ...], what: str) -> list[Any]:
    """One value for all prompts, or one for each. Raises UserError for another number of them."""
    if values is None or isinstance(values, kind):
        return [values] * count
    found = list(values)
    if len(found) != count:
        raise UserError(f"{len(found)} {what} for {count} prompts; give one for each, or one")
    return found


def with_ends(params: SamplingParams, asked: Asked, tokenizer: Tokenizer) -> SamplingParams:
    """The params, with the tokens at which this model's texts end."""
    chat = tokenizer.chat
    ends = {*params.stop_ids, *(chat.stop_ids if asked.chat else chat.end_ids)}
    if not asked.chat:
        ends |= {id for id in (tokenizer.bos_id, tokenizer.pad_id) if id is not None}
    return replace(params, stop_ids=tuple(sorted(ends)))


def find_adapter(engine: Engine, adapter: AdapterLike | None, known: dict[str, str]) -> str | None:
    """The id of an adapter, loaded if need be. known: ids of folders that were loaded before.

    Raises UserError for one that is not loaded, no folder, or not for this model.
    """
    if adapter is None:
        return None
    if isinstance(adapter, AdapterWeights):
        return engine.load(adapter)
    if str(adapter) in engine.resident:
        return str(adapter)
    if not Path(adapter).is_dir():
        loaded = ", ".join(engine.resident) or "none"
        raise UserError(f"there is no adapter {str(adapter)!r}: no folder, and loaded are {loaded}")
    key = _stamp(Path(adapter))
    if known.get(key) not in engine.resident:
        known[key] = engine.load(load_adapter(adapter, model=engine.model, base=engine.base))
    return known[key]


def _stamp(folder: Path) -> str:
    """A folder with the state of its files, so that one written anew is read anew."""
    files = sorted(path for path in folder.resolve().iterdir() if path.is_file())
    stats = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    return repr((str(folder.resolve()), stats))


def make_request(
    asked: Asked,
    params: SamplingParams,
    tokenizer: Tokenizer,
    *,
    adapter: str | None,
    n: int,
    stops: Sequence[str],
    priority: int = 0,
) -> tuple[Request, Writing]:
    """A request, and what takes in its events. Raises UserError."""
    if not all(stops):
        raise UserError("a stop string is empty; leave it out")
    request = Request(
        id=f"llm-{next(_numbers)}",
        prompt_ids=asked.ids,
        params=with_ends(params, asked, tokenizer),
        adapter=adapter,
        priority=priority,
        n=n,
    )
    return request, Writing(asked, tokenizer, n=n, stops=stops, adapter=adapter)


@torch.inference_mode()
def embed(engine: Engine, asked: Sequence[Asked], adapter: str | None) -> list[list[float]]:
    """The mean of a text's final hidden states, of length 1. Raises UserError for one too long."""
    model, limit = engine.model, engine.max_length
    for one in asked:
        if not 0 < len(one.ids) <= limit:
            raise UserError(f"a text has {len(one.ids)} tokens; it may have 1 to {limit}")
    found = []
    with adapted(engine, adapter):
        for one in asked:
            x_TD = model.hidden(torch.tensor([one.ids], device=model.device))[0].float()
            found.append(F.normalize(x_TD.mean(0), dim=0).tolist())
    return found
