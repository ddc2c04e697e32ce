"""Greedy replies to many prompts at once, as they are judged: with a natural stop or without.

Runs the model through the engine that also serves it. Knows nothing of lessons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.core.types import Message
from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate
from nanohydra.model import Decoder
from nanohydra.tokenizer import Tokenizer

ROWS, PREFILL_TOKENS = 64, 2048


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said. ended: by its own end token, rather than at the limit."""

    ids: tuple[int, ...]
    message: Message
    ended: bool

    @property
    def text(self) -> str:
        """The text of the turn; empty if it does not end, for then it is no answer."""
        return self.message.content if self.ended else ""


def reply_to_all(
    model: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
) -> list[Reply]:
    """The greedy assistant turn after each prompt, in their order; tools are not run.

    Leaves the model in the mode, training or not, that it was in. A prompt that does not fit
    into the context together with its reply loses its beginning.
    """
    if not prompts:
        return []
    chat, limit = tokenizer.chat, model.config.max_seq_len
    room = max(1, limit - max_new_tokens)
    ids = [chat.prompt(each) for each in prompts]
    ids = [i if len(i) <= room else [i[0], *i[len(i) - room + 1 :]] for i in ids]
    order = sorted(range(len(ids)), key=lambda n: len(ids[n]))  # equal lengths are read together
    longest = len(ids[order[-1]])
    config = EngineConfig(
        max_rows=min(ROWS, len(ids)),
        max_length=min(limit, longest + max_new_tokens),
        prefill_tokens=PREFILL_TOKENS,
        num_ids=tokenizer.vocab_size,
    )
    params = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, stop_ids=chat.stop_ids)
    was_training = model.training
    try:
        done = generate(Engine(model, config), [ids[number] for number in order], params)
    finally:
        model.train(was_training)
    replies: dict[int, Reply] = {}
    for number, completion in zip(order, done, strict=True):
        if completion.finish_reason == "error":
            raise RuntimeError("the model failed to answer; its weights may be damaged")
        replies[number] = Reply(
            ids=completion.ids,
            message=chat.parse(completion.ids),
            ended=chat.ended(completion.ids),
        )
    return [replies[number] for number in range(len(prompts))]
