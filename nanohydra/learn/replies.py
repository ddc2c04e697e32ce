"""Replies to many prompts at once, as they are judged: greedy, with a natural stop or without.

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
    params = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, stop_ids=chat.stop_ids)
    return [
        Reply(ids=done, message=chat.parse(done), ended=chat.ended(done))
        for done in _completed(model, tokenizer, ids, [params] * len(ids))
    ]


def continuations(
    model: Decoder,
    tokenizer: Tokenizer,
    openings: Sequence[str],
    *,
    max_new_tokens: int,
    seed: int,
) -> list[str]:
    """How the model goes on after each text, up to where it would end it.

    Drawn at temperature 1, so that they are what the model takes for likely. Otherwise as
    `reply_to_all`.
    """
    if not openings:
        return []
    stop_ids = tokenizer.chat.stop_ids
    room = max(1, min(max_new_tokens, model.config.max_seq_len // 2))
    ids = [[*tokenizer.prefix_ids, *tokenizer.encode(text)][-room:] for text in openings]
    params = [
        SamplingParams(max_tokens=room, stop_ids=stop_ids, seed=seed + number)
        for number in range(len(ids))
    ]
    done = _completed(model, tokenizer, ids, params)
    return [tokenizer.decode([id for id in each if id not in stop_ids]) for each in done]


def _completed(
    model: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    params: Sequence[SamplingParams],
) -> list[tuple[int, ...]]:
    """What the model says after each prompt, its end token included."""
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))  # equal lengths together
    room = max(each.max_tokens for each in params)
    config = EngineConfig(
        max_rows=min(ROWS, len(prompts)),
        max_length=min(model.config.max_seq_len, len(prompts[order[-1]]) + room),
        prefill_tokens=PREFILL_TOKENS,
        num_ids=tokenizer.vocab_size,
    )
    was_training = model.training
    try:
        done = generate(
            Engine(model, config), [prompts[n] for n in order], [params[n] for n in order]
        )
    finally:
        model.train(was_training)
    found: dict[int, tuple[int, ...]] = {}
    for number, completion in zip(order, done, strict=True):
        if completion.finish_reason == "error":
            raise RuntimeError("the model failed to answer; its weights may be damaged")
        found[number] = completion.ids
    return [found[number] for number in range(len(prompts))]
