"""Anchors: texts on which an adapter must predict as the base does, and the divergence from it.

The base is the same weights with the adapter off, so there is no second model. As the base does
not change, its final hidden states are kept and not computed again; its predictions are one
product with the head away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nanohydra.adapters.lora import targeted
from nanohydra.continual.distillation import mean_divergence
from nanohydra.core.errors import UserError
from nanohydra.core.types import Document, Record
from nanohydra.data import open_source
from nanohydra.data.config import SourceConfig
from nanohydra.learn.config import AnchorConfig, LearnConfig
from nanohydra.learn.directions import Spread, spreads
from nanohydra.learn.replay import answered_by_base, general_questions, texts_of_base
from nanohydra.learn.samples import Sample, encode_record, pack
from nanohydra.model import Decoder

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded

ROWS_AT_ONCE = 16
MAX_SPREAD_SAMPLES = 256
PRIMER_DOMAINS = ("stories", "greetings", "arithmetic", "reading", "facts", "taught", "abstain")
GENERAL, OWN_TEXT = "general", "own_text"
OWN_SHARE = 3  # texts are a third as many as the records of another domain
SEED = 5  # of the primer's anchors, unlike the seeds of training data


def anchor_records(
    loaded: Loaded, anchors: AnchorConfig, split: Literal["train", "test"]
) -> dict[str, list[Record]]:
    """The records of each domain that hold training, or that the gate measures.

    No adapter may be on: the base answers the general questions, and writes its own texts. Raises
    UserError for a source that has no records.
    """
    count = anchors.sequences if split == "train" else anchors.heldout_sequences
    sources = dict(anchors.sources if split == "train" else anchors.heldout)
    domains = domains_of(loaded, anchors)
    for name in domains:
        if name not in (GENERAL, OWN_TEXT):
            sources[name] = SourceConfig(
                kind="primer", split=split, seed=SEED, counts={name: count}
            )
    found = {name: list(islice(open_source(s).records(), count)) for name, s in sources.items()}
    if GENERAL in domains:
        questions = general_questions(split)[:count]
        found[GENERAL] = answered_by_base(loaded, questions)
    if OWN_TEXT in domains:
        found[OWN_TEXT] = texts_of_base(loaded, split, -(-count // OWN_SHARE))
        if not found.get(GENERAL, True):  # as of one that thinks at length before any answer
            del found[GENERAL]
    for name, records in found.items():
        found[name] = [record for record in records if _can_be_said(loaded, record)]
        if not found[name]:
            what = "records that the model's chat format has a place for" if records else "records"
            raise UserError(f"the anchor source {name!r} has no {what}; correct learn.anchors")
    return found


def _can_be_said(loaded: Loaded, record: Record) -> bool:
    """Whether a record can be told to the model: some templates refuse roles or their order."""
    return isinstance(record, Document) or loaded.tokenizer.chat.takes(record.messages)


def domains_of(loaded: Loaded, anchors: AnchorConfig) -> tuple[str, ...]:
    """The domains that a model is held to; none where the recipe has texts of its own for it."""
    if anchors.sources or anchors.domains:
        return () if anchors.sources else anchors.domains
    data = loaded.manifest.get("recipe", {}).get("data", {})
    tables = [data.get(stage, {}).get("sources", {}) for stage in ("pretrain", "sft")]
    kinds = {source.get("kind") for table in tables for source in table.values()}
    return PRIMER_DOMAINS if "primer" in kinds else (GENERAL, OWN_TEXT)


class Anchors:
    """Samples with the base's final hidden states at the places that their masks name.

    samples: those given, with their places in `hidden_ND`. spreads: of the inputs that they give
    to linear layers, by name; a layer without one is adapted without regard to them. Made while
    no adapter is on; it all holds for as long as the base and its dtype stay as they are.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        hidden_ND: Tensor,
        spreads: Mapping[str, Spread] | None = None,
    ) -> None:
        self.samples, self.hidden_ND, self.spreads = list(samples), hidden_ND, spreads or {}

    @classmethod
    @torch.no_grad()
    def of(cls, model: Decoder, samples: Iterable[Sample]) -> Anchors:
        """What the base predicts in samples; those without targets are left out."""
        placed: list[Sample] = []
        held = [torch.zeros(0, model.config.hidden_size, dtype=model.dtype, device=model.device)]
        place = 0
        ordered = sorted((s for s in samples if s.num_targets), key=lambda s: len(s.ids))
        for start in range(0, len(ordered), ROWS_AT_ONCE):
            group = []
            for sample in ordered[start : start + ROWS_AT_ONCE]:
                group.append(replace(sample, place=place))
                place += sample.num_targets
            rows = pack([[sample] for sample in group])
            x_BTD = model.hidden(rows.batch.ids_BT.to(model.device))
            held.append(x_BTD[(rows.places_BT >= 0).to(model.device)])
            placed += group
        return cls(placed, torch.cat(held))

    @classmethod
    def of_recipe(cls, loaded: Loaded, config: LearnConfig) -> Anchors:
        """The anchors of a recipe. Raises UserError for a source that has no records."""
        limit = min(config.anchors.max_length, loaded.config.max_seq_len)
        samples = [
            encode_record(loaded.tokenizer, record, limit, whole=True)
            for records in anchor_records(loaded, config.anchors, "train").values()
            for record in records
        ]
        anchors = cls.of(loaded.model, samples)
        if config.train.directions == "lessons":
            some = samples[:: max(1, len(samples) // MAX_SPREAD_SAMPLES)]
            names = targeted(loaded.model, config.lora)
            floor = config.train.directions_floor
            anchors.spreads = spreads(loaded.model, names, some, floor=floor)
        return anchors

    def joined(self, others: Anchors) -> Anchors:
        """These and then the others, which get new places."""
        moved = [replace(s, place=s.place + len(self.hidden_ND)) for s in others.samples]
        hidden_ND = torch.cat([self.hidden_ND, others.hidden_ND])
        return Anchors([*self.samples, *moved], hidden_ND, self.spreads)

    def divergence(self, model: Decoder, x_BTD: Tensor, places_BT: Tensor) -> Tensor | None:
        """Mean KL(base || model) in nats over the tokens that have a place; None if none has.

        Forward, over the whole vocabulary, in float32. Differentiable in x_BTD.
        """
        mask_BT = places_BT >= 0
        if not bool(mask_BT.any()):
            return None
        base_ND = self.hidden_ND[places_BT[mask_BT].to(self.hidden_ND.device)]
        x_ND = x_BTD[mask_BT.to(x_BTD.device)]
        return mean_divergence(model, base_ND, model, x_ND)
