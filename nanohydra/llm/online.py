"""`AsyncLLM`: requests that come at any time, their outputs as streams; the engine has a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.engine import EngineThread, SamplingParams
from nanohydra.llm import setup
from nanohydra.llm.outputs import Output
from nanohydra.llm.prompts import Asked, Conversation, Prompt, conversations_of, prompts_of
from nanohydra.llm.setup import AdapterLike
from nanohydra.tokenizer import ChatTool

if TYPE_CHECKING:
    import torch

    from nanohydra.checkpoint import Loaded


class AsyncLLM:
    """A model that answers many at once, as they come.

        async with AsyncLLM("runs/tiny") as llm:
            async for output in llm.generate("Once upon a time"):
                print(output.delta, end="")

    max_waiting: requests beyond the engine's rows that may be under way; more raise QueueFull.
    The rest as in `LLM`. A generator that is closed or dropped ends its request within a step.
    """

    def __init__(
        self,
        model: str | Path | Loaded,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str | torch.dtype | None = None,
        weights: str = "stored",
        max_waiting: int = 256,
        **settings: Any,
    ) -> None:
        self.loaded = setup.load_for_answers(
            model, revision=revision, device=device, dtype=dtype, weights=weights
        )
        self.tokenizer = self.loaded.tokenizer
        engine = setup.engine_of(self.loaded, settings)
        self.engine = EngineThread(engine, max_waiting=max_waiting)
        self._folders: dict[str, str] = {}

    async def __aenter__(self) -> AsyncLLM:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Abort what is under way and end the engine's thread; may be repeated."""
        self.engine.close()

    @property
    def default_params(self) -> SamplingParams:
        """What is used where none are given: as the model's makers say, or plain sampling."""
        return setup.default_params(self.loaded)

    def generate(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        adapter: AdapterLike | None = None,
        n: int = 1,
        stop: Sequence[str] = (),
        priority: int = 0,
    ) -> AsyncGenerator[Output]:
        """Continue one prompt: the output again and again as it grows; the last one is finished.

        Arguments as in `LLM.generate`; of several requests that wait, a lower priority runs first.
        Raises UserError, QueueFull or EngineStopped with the first piece.
        """
        (asked,) = _one(prompts_of(prompt, self.tokenizer))
        return self._stream(asked, params, adapter, n, stop, priority)

    def chat(
        self,
        messages: Conversation,
        params: SamplingParams | None = None,
        *,
        adapter: AdapterLike | None = None,
        n: int = 1,
        stop: Sequence[str] = (),
        tools: Sequence[ChatTool] = (),
        priority: int = 0,
    ) -> AsyncGenerator[Output]:
        """Answer one conversation, as `LLM.chat` does, in a stream as `generate`'s."""
        (asked,) = _one(conversations_of(messages, self.tokenizer, tools))
        return self._stream(asked, params, adapter, n, stop, priority)

    async def embed(
        self, texts: Prompt | Sequence[Prompt], *, adapter: AdapterLike | None = None
    ) -> list[list[float]]:
        """As `LLM.embed`, between two steps of what runs."""
        asked = prompts_of(texts, self.tokenizer)
        id = None if adapter is None else await self.load_adapter(adapter)
        work = self.engine.call(lambda engine: setup.embed(engine, asked, id))
        return await asyncio.wrap_future(work)

    async def load_adapter(self, adapter: AdapterLike) -> str:
        """Make an adapter ready, and return its id; no stream is held up."""
        engine = self.engine.engine
        found = await asyncio.to_thread(setup.find_adapter, engine, adapter, self._folders)
        assert found is not None
        return found

    async def unload_adapter(self, id: str) -> None:
        """Give up an adapter; requests that use it go on."""
        self.engine.unload(id)

    async def _stream(
        self,
        asked: Asked,
        params: SamplingParams | None,
        adapter: AdapterLike | None,
        n: int,
        stops: Sequence[str],
        priority: int,
    ) -> AsyncGenerator[Output]:
        if isinstance(stops, str):
            raise UserError(f"stop is a list of strings; give [{stops!r}]")
        id = None if adapter is None else await self.load_adapter(adapter)
        request, writing = setup.make_request(
            asked, params or self.default_params, self.tokenizer,
            adapter=id, n=n, stops=stops, priority=priority,
        )  # fmt: skip
        events = self.engine.submit(request)
        try:
            while not writing.finished:
                batch = await events.take()
                assert batch, "the stream ended before its samples did"
                for event in batch:
                    writing.add(event)
                yield writing.output(stream=True)
        finally:
            events.close()


def _one(asked: list[Asked]) -> list[Asked]:
    """Exactly one. Raises UserError for a list of several."""
    if len(asked) != 1:
        raise UserError(f"a stream is of one prompt, not of {len(asked)}; ask for each by itself")
    return asked
