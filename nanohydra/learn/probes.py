"""What the gate asks a model that has nothing to do with the lessons, and what the base says to it.

The base's side is the same for every version, so it is measured once and kept in a file that is
named by everything it depends on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanohydra import __version__
from nanohydra.chat.records import message_from_json, message_to_json
from nanohydra.checkpoint import Loaded
from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, sha256, write_json
from nanohydra.core.types import Document, Message, Record
from nanohydra.kernels import linear_cross_entropy
from nanohydra.learn.anchors import OWN_TEXT, anchor_records
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.replies import Reply, reply_to_all
from nanohydra.learn.samples import Sample, encode_record, pack
from nanohydra.model import Decoder

ROWS_AT_ONCE = 16
OPENING_CHARS = 60


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Messages that nothing was taught about."""

    domain: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a model does with the probes.

    nats, tokens: per domain, of each sequence. replies: to each prompt. choices: what it finds
    likeliest at each place of the base's replies, given the base's words before it.
    """

    nats: Mapping[str, Sequence[float]]
    tokens: Mapping[str, Sequence[int]]
    replies: Sequence[Reply]
    choices: Sequence[Sequence[int]] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        replies = [
            {"ids": list(r.ids), "message": message_to_json(r.message), "ended": r.ended}
            for r in self.replies
        ]
        nats, tokens = ({k: list(v) for k, v in d.items()} for d in (self.nats, self.tokens))
        choices = [list(each) for each in self.choices]
        return {"nats": nats, "tokens": tokens, "replies": replies, "choices": choices}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Measured:
        """The inverse of `to_json`."""
        replies = [
            Reply(
                ids=tuple(reply["ids"]),
                message=message_from_json(reply["message"], "reply"),
                ended=reply["ended"],
            )
            for reply in body["replies"]
        ]
        names = ("nats", "tokens", "choices")
        return cls(replies=replies, **{name: body[name] for name in names})


class Probes:
    """Sequences of every anchor domain, and prompts of those that are conversations."""

    def __init__(self, loaded: Loaded, config: LearnConfig) -> None:
        anchors, self.gate = config.anchors, config.gate
        limit = min(anchors.max_length, loaded.config.max_seq_len)
        records = anchor_records(loaded, anchors, "test")
        self.sequences: dict[str, list[Sample]] = {}
        for name, found in records.items():
            samples = (encode_record(loaded.tokenizer, record, limit) for record in found)
            self.sequences[name] = [sample for sample in samples if sample.num_targets]
        turn_by_turn = zip_longest(
            *(
                [Prompt(domain=name, messages=_opening(r)) for r in rs]
                for name, rs in records.items()
                if name != OWN_TEXT or len(records) == 1  # no question: each reply is by chance
            )
        )
        prompts = [p for p in chain.from_iterable(turn_by_turn) if p is not None and p.messages]
        self.prompts = prompts[: self.gate.locality_prompts]
        about = (
            __version__, to_dict(anchors), to_dict(self.gate),
            loaded.tokenizer.fingerprint, loaded.tokenizer.files.templates,
            # what the base has said itself may differ by a rounding
            {name: [s.ids for s in samples] for name, samples in self.sequences.items()},
        )  # fmt: skip
        self.key = sha256(json.dumps(about).encode())[:16]

    def measure(self, loaded: Loaded, base: Sequence[Reply] | None = None) -> Measured:
        """What the model does with all of them, as it is now.

        base: the base's replies, from its own measurement; None: this is that.
        """
        found = {name: losses(loaded.model, each) for name, each in self.sequences.items()}
        replies = reply_to_all(
            loaded.model,
            loaded.tokenizer,
            [prompt.messages for prompt in self.prompts],
            max_new_tokens=self.gate.max_new_tokens,
        )
        pairs = zip(self.prompts, replies if base is None else base, strict=True)
        return Measured(
            nats={name: nats for name, (nats, _) in found.items()},
            tokens={name: tokens for name, (_, tokens) in found.items()},
            replies=replies,
            choices=[choices_of(loaded, prompt.messages, reply) for prompt, reply in pairs],
        )

    def measure_base(self, loaded: Loaded, base: str, folder: Path | None) -> Measured:
        """The same of the base, from the file in `folder` if it was measured before."""
        path = folder / f"base-{base[:16]}-{self.key}.json" if folder else None
        if path is not None and path.is_file():
            try:
                return Measured.from_json(read_json(path))
            except (UserError, KeyError, TypeError):
                pass  # damaged: measure again
        measured = Measured.from_json(self.measure(loaded).to_json())
        if path is not None:
            write_json(path, measured.to_json())
        return measured


@torch.inference_mode()
def losses(model: Decoder, samples: Sequence[Sample]) -> tuple[list[float], list[int]]:
    """Nats of each sample's targets, and how many they are, in the samples' order."""
    order = sorted(range(len(samples)), key=lambda n: len(samples[n].ids))
    nats, tokens = [0.0] * len(samples), [0] * len(samples)
    for start in range(0, len(order), ROWS_AT_ONCE):
        group = order[start : start + ROWS_AT_ONCE]
        batch = pack([[samples[number]] for number in group]).batch
        x_BTD = model.hidden(batch.ids_BT.to(model.device))
        for row, number in enumerate(group):
            loss, count = linear_cross_entropy(
                x_BTD[row],
                model.head.weight,
                batch.labels_BT[row],
                softcap=model.config.logit_softcap,
            )
            nats[number], tokens[number] = float(loss), count
    return nats, tokens


@torch.inference_mode()
def choices_of(loaded: Loaded, messages: Sequence[Message], reply: Reply) -> list[int]:
    """The token that the model finds likeliest at each place of a reply, given those before it."""
    prompt = loaded.tokenizer.chat.prompt(messages)
    ids = [*prompt, *reply.ids][-loaded.config.max_seq_len :]
    x_BTD = loaded.model.hidden(torch.tensor([ids[:-1]], device=loaded.model.device))
    chosen: list[int] = loaded.model.unembed(x_BTD[0, -len(reply.ids) :]).argmax(-1).tolist()
    return chosen


def rise(
    before: Sequence[float], after: Sequence[float], tokens: Sequence[int], *, samples: int
) -> tuple[float, float]:
    """Mean rise of the loss in nats per token, and the upper end of its 95% interval.

    Paired bootstrap over sequences: the same sequences are drawn on both sides.
    """
    change = np.asarray(after) - np.asarray(before)
    count = np.asarray(tokens, dtype=float)
    draws = np.random.default_rng(0).integers(0, len(change), (samples, len(change)))
    ratios = change[draws].sum(1) / count[draws].sum(1)
    return float(change.sum() / count.sum()), float(np.quantile(ratios, 0.975))


def _opening(record: Record) -> tuple[Message, ...]:
    """A conversation up to its first tool call or its last answer; of a text, its beginning."""
    if isinstance(record, Document):
        opening = record.text[:OPENING_CHARS].rsplit(" ", 1)[0]
        return (Message(role="user", content=opening),)
    turns = [n for n, message in enumerate(record.messages) if message.role == "assistant"]
    calls = [n for n in turns if record.messages[n].tool_calls]
    return record.messages[: (calls or turns[-1:] or [0])[0]]
