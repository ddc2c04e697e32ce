"""Prompts in, completions out: runs an engine until all requests have ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from nanohydra.core.types import Completion, FinishReason
from nanohydra.engine.engine import Engine
from nanohydra.engine.request import Event, Request, SamplingParams

_numbers = itertools.count()


class Collector:
    """The events of one request on their way to a completion."""

    def __init__(self, adapter: str | None = None) -> None:
        self.adapter = adapter
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None

    def add(self, event: Event) -> None:
        """Take in one event of the request."""
        if event.token_id is not None:
            self.ids.append(event.token_id)
            self.logprobs.append(event.logprob)
        self.finish_reason = event.finish_reason
        self.error = event.error

    def completion(self) -> Completion:
        """What was generated; a stop token, where one ended it, is the last id."""
        assert self.finish_reason is not None, "the request is still under way"
        return Completion(
            ids=tuple(self.ids),
            logprobs=tuple(self.logprobs),
            finish_reason=self.finish_reason,
            adapter=self.adapter,
        )


def generate(
    engine: Engine,
    prompts: Iterable[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
    adapters: str | None | Sequence[str | None] = None,
) -> list[Completion]:
    """Complete all prompts, batched, in their order. One params for all, or one for each.

    adapters: the id of a loaded adapter for all, or one for each; None is the model itself.
    A request that fails has finish_reason "error". The engine must have no other work: the
    events of other requests would be lost.
    """
    assert not engine.has_work(), "the engine is in use"
    all_ids = [tuple(prompt) for prompt in prompts]
    each = [params] * len(all_ids) if isinstance(params, SamplingParams) else list(params)
    assert len(each) == len(all_ids), "one SamplingParams per prompt"
    named: Sequence[str | None]
    named = [adapters] * len(all_ids) if isinstance(adapters, str | None) else adapters
    assert len(named) == len(all_ids), "one adapter, or none, per prompt"
    requests = [
        Request(id=f"generate-{next(_numbers)}", prompt_ids=ids, params=own, adapter=adapter)
        for ids, own, adapter in zip(all_ids, each, named, strict=True)
    ]
    for request in requests:
        engine.check(request)
    collectors = {request.id: Collector(request.adapter) for request in requests}
    for request in requests:
        engine.add(request)
    unfinished = len(requests)
    while unfinished:
        for event in engine.step():
            collectors[event.request_id].add(event)
            unfinished -= event.finish_reason is not None
    return [collector.completion() for collector in collectors.values()]
