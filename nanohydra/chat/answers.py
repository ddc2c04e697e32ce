"""Answer many conversations at once, greedily: the batched path of evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanohydra.adapters import AdapterWeights
from nanohydra.chat.events import ChatParams
from nanohydra.chat.reply import Reply, Round, RoundReader, offered
from nanohydra.checkpoint import Loaded
from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig, Request
from nanohydra.tools import Tool, load_tools, run_tool

TOOL_ROOM = 1024  # tokens beside the answer itself that tool results may take


def answer_all(
    loaded: Loaded,
    conversations: Sequence[Sequence[Message]],
    *,
    tools: Mapping[str, Tool] | None = None,
    max_tokens: int = 128,
    batch: int = 64,
    adapter: AdapterWeights | None = None,
) -> list[list[Message]]:
    """The new messages of each conversation, in their order; tools are run on the way.

    max_tokens: of one whole answer. batch: conversations that decode together. tools: None = all,
    for a model that knows them by itself. adapter: what answers instead of the model itself.
    Raises UserError if a conversation does not fit into the model's context, or the adapter not
    to the model.
    """
    if not conversations:
        return []
    allowed = _allowed(loaded, tools)
    params = ChatParams(temperature=0, max_tokens=max_tokens)
    limit = loaded.model.config.max_seq_len
    listed = offered(loaded.tokenizer, allowed.values())
    replies = [Reply(loaded.tokenizer, each, params, limit, listed) for each in conversations]
    begun = [(reply, first) for reply in replies if (first := reply.next_round()) is not None]
    # A state of a large model's full context for every row would not fit into memory.
    longest = max(len(first.prompt_ids) for _, first in begun)
    max_length = min(limit, longest + max_tokens + TOOL_ROOM)
    engine = _engine(loaded, batch, max_length)
    version = None if adapter is None else engine.load(adapter)
    under_way: dict[str, tuple[Reply, RoundReader]] = {}

    def add(reply: Reply, round: Round) -> None:
        id = str(len(under_way))
        engine.add(
            Request(id=id, prompt_ids=round.prompt_ids, params=round.params, adapter=version)
        )
        under_way[id] = reply, reply.reader()

    # Prompts of equal length that stand together are read in one call.
    for reply, first in sorted(begun, key=lambda pair: len(pair[1].prompt_ids)):
        reply.max_length = max_length
        add(reply, first)
    while engine.has_work():
        for event in engine.step():
            reply, reader = under_way[event.request_id]
            reader.read([event])
            if reader.finish_reason is None:
                continue
            engine.abort(event.request_id)  # a stop string ends the round before the engine knows
            if reader.finish_reason == "error":
                raise RuntimeError(f"the engine failed: {reader.error}")
            for call in reply.end_round(reader):
                reply.add_result(call, run_tool(call, allowed))
            if reply.finish_reason is None and (following := reply.next_round()) is not None:
                add(reply, following)
    return [reply.messages for reply in replies]


def _allowed(loaded: Loaded, tools: Mapping[str, Tool] | None) -> Mapping[str, Tool]:
    if tools is not None:
        return tools
    return {} if loaded.tokenizer.chat.offers_tools else load_tools()


def _engine(loaded: Loaded, batch: int, max_length: int) -> Engine:
    config = EngineConfig(
        max_rows=batch,
        max_length=max_length,
        prefix_caching=False,
        num_ids=loaded.tokenizer.vocab_size,
    )
    return Engine(loaded.model, config)
