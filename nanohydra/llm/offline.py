"""`LLM`: batches of prompts in, all their outputs back; the engine runs in the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.adapters import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.engine import Request, SamplingParams
from nanohydra.llm import setup
from nanohydra.llm.outputs import Output
from nanohydra.llm.prompts import Asked, Conversation, Prompt, conversations_of, prompts_of
from nanohydra.llm.setup import AdapterLike
from nanohydra.llm.writing import Writing
from nanohydra.tokenizer import ChatTool

if TYPE_CHECKING:
    import torch

    from nanohydra.checkpoint import Loaded

Params = SamplingParams | Sequence[SamplingParams] | None
Adapters = AdapterLike | Sequence[AdapterLike | None] | None


class LLM:
    """A model that answers in batches.

        llm = LLM("runs/tiny")
        for output in llm.generate(["Once upon a time", "The cat"], SamplingParams(max_tokens=32)):
            print(output.text)

    model: a folder, a run, OWNER/NAME at the hub, or what `nanohydra.load` gave.
    revision: branch, tag or commit at the hub. device: "auto" is CUDA where there is one.
    dtype: None is that of the file. weights: "int8" or "int4", on a CPU.
    settings: fields of `EngineConfig`, for example max_rows=32.
    Raises UserError for a model that is not there, and for a setting that cannot work.
    """

    def __init__(
        self,
        model: str | Path | Loaded,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str | torch.dtype | None = None,
        weights: str = "stored",
        **settings: Any,
    ) -> None:
        self.loaded = setup.load_for_answers(
            model, revision=revision, device=device, dtype=dtype, weights=weights
        )
        self.tokenizer = self.loaded.tokenizer
        self.engine = setup.engine_of(self.loaded, settings)
        self._lock = threading.Lock()  # one batch at a time
        self._folders: dict[str, str] = {}

    @property
    def default_params(self) -> SamplingParams:
        """What is used where none are given: as the model's makers say, or plain sampling."""
        return setup.default_params(self.loaded)

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        params: Params = None,
        *,
        adapter: Adapters = None,
        n: int = 1,
        stop: Sequence[str] = (),
    ) -> list[Output]:
        """Continue all prompts, batched; the outputs come in their order.

        prompts: a text, a list of token ids, or a list of such. params: for all, or one for each.
        adapter: its folder, its id once it is loaded, or its weights; for all, or one for each.
        n: how many samples of each; the i-th is seeded with seed + i. stop: a sample ends before
        the first of these strings. A request that fails has finish_reason "error".
        Raises UserError for what cannot run, before anything does.
        """
        asked = prompts_of(prompts, self.tokenizer)
        return self._run(asked, params, adapter, n, stop)

    def chat(
        self,
        messages: Conversation | Sequence[Conversation],
        params: Params = None,
        *,
        adapter: Adapters = None,
        n: int = 1,
        stop: Sequence[str] = (),
        tools: Sequence[ChatTool] = (),
    ) -> list[Output]:
        """Answer one conversation, or several; the rest as in `generate`.

        messages: of `Message`, or tables with role and content. tools: JSON schemas that the
        prompt offers, for models that have to be told; no tool is run, calls are in `message`.
        """
        asked = conversations_of(messages, self.tokenizer, tools)
        return self._run(asked, params, adapter, n, stop)

    def embed(
        self, texts: Prompt | Sequence[Prompt], *, adapter: AdapterLike | None = None
    ) -> list[list[float]]:
        """A vector of length 1 for each text: the mean of the model's final hidden states."""
        asked = prompts_of(texts, self.tokenizer)
        with self._lock:
            id = setup.find_adapter(self.engine, adapter, self._folders)
            return setup.embed(self.engine, asked, id)

    def load_adapter(self, adapter: AdapterLike) -> str:
        """Make an adapter ready, and return the id under which `generate` knows it."""
        found = setup.find_adapter(self.engine, adapter, self._folders)
        assert found is not None
        return found

    def unload_adapter(self, id: str) -> None:
        """Give up an adapter. Raises UserError for one that is not loaded."""
        self.engine.unload(id)

    def _run(
        self, asked: list[Asked], params: Params, adapter: Adapters, n: int, stops: Sequence[str]
    ) -> list[Output]:
        if isinstance(stops, str):
            raise UserError(f"stop is a list of strings; give [{stops!r}]")
        count = len(asked)
        every = setup.each(
            self.default_params if params is None else params, count, SamplingParams, "params"
        )
        kinds = (str, Path, AdapterWeights)
        named = setup.each(adapter, count, kinds, "adapters")
        with self._lock:
            ids = [setup.find_adapter(self.engine, one, self._folders) for one in named]
            jobs = [
                setup.make_request(one, own, self.tokenizer, adapter=id, n=n, stops=stops)
                for one, own, id in zip(asked, every, ids, strict=True)
            ]
            for request, _ in jobs:
                self.engine.check(request)
            return self._finish(jobs)

    def _finish(self, jobs: list[tuple[Request, Writing]]) -> list[Output]:
        """Run until all have ended; an interruption leaves nothing under way."""
        writings = {request.id: writing for request, writing in jobs}
        under_way = set(writings)
        try:
            for request, _ in jobs:
                self.engine.add(request)
            while under_way:
                for event in self.engine.step():
                    writing = writings[event.request_id]
                    writing.add(event)
                    if writing.finished and event.request_id in under_way:
                        under_way.discard(event.request_id)
                        self.engine.abort(event.request_id)  # a stop string, unknown to it
        finally:
            for id in under_way:
                self.engine.abort(id)
        return [writing.output() for writing in writings.values()]
