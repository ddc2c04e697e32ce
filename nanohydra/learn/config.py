"""What a recipe may set under [learn]: study, adapter, training, anchors, gate, learner, nights.

Frozen dataclasses, imported without torch. The defaults are those that were measured on the model
of the recipe `tiny`; docs/log.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nanohydra.adapters.config import LoraConfig
from nanohydra.core.errors import UserError
from nanohydra.data.config import SourceConfig


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"learn.{name} is {value}; it lies between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What the base itself adds to the study of a lesson.

    writer: "auto" lets it write if it passes a test of its own, "on" in any case, "off" never.
    questions, paraphrases: that it is asked for, of each statement.
    min_kept: share of what it writes in that test that has to be of use.
    """

    writer: Literal["auto", "on", "off"] = "auto"
    questions: int = 6
    paraphrases: int = 3
    min_kept: float = 0.3

    def __post_init__(self) -> None:
        for name in ("questions", "paraphrases"):
            if not 0 <= getattr(self, name) <= 50:
                raise UserError(f"learn.study.{name} is {getattr(self, name)}; from 0 to 50 go")
        _share("study.min_kept", self.min_kept)


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Shares of the tokens of every step; what is left, 0.35 by default, are the new lessons.

    replay: earlier lessons, which versions of their own answer. anchors: what the base already
        does. Both are held by a KL term to the base.
    near_misses: the questions of the new lessons about names that nobody taught, to be answered
        as the base does. A part for which there is nothing gives its share to the others.
    """

    replay: float = 0.15
    anchors: float = 0.45
    near_misses: float = 0.05

    def __post_init__(self) -> None:
        for name in ("replay", "anchors", "near_misses"):
            _share(f"mixture.{name}", getattr(self, name))
        if self.replay + self.anchors + self.near_misses >= 1:
            raise UserError("the shares of learn.mixture leave nothing for the new lessons")


@dataclass(frozen=True, kw_only=True)
class AdapterTrainConfig:
    """How one adapter is trained.

    dtype: the base is loaded and computes in; auto: bfloat16 where the hardware multiplies it
        fast, or where the memory lacks room for float32. The adapter's own numbers are float32.
    lr: AdamW's rate; it rises over warmup_steps and then stays until
        the lessons are recalled.
    directions: what the first factor of each layer reads: "lessons", what lessons have and anchors
        do not, and it stays so; or "random", and it is trained. directions_floor: variance of the
        anchors, as a share of the mean one, that counts as none.
    row_length, rows_per_step: tokens of a row, and rows of a step. An item that is longer makes
        the rows longer, up to what the model sees.
    kl_weight: of the divergence from the base on anchors, forward KL over the whole vocabulary
        in nats per token.
    max_epochs, max_steps, max_seconds: caps, the first on passes over the new items; a run that
        meets one keeps what it has, and the gate decides.
    min_steps: of a run in all, even if all is recalled sooner, or passed over that often.
    replay_factor: what max_epochs and min_steps are multiplied by where there are earlier lessons
        to replay.
    check_every: steps between checks whether the development wordings are recalled, or half a
        pass over the new items where that is longer.
    word_dropout: share of a question's words that every second time it is drawn are left out, but
        names and what the answer says.
    reverse_times: how often a reverse question is drawn for once that another is; they are few, and
        the base says "I don't know" to them.
    stop_recall: share of them that is enough, by greedy decoding. settle_steps: the last ones,
        after that or before a cap, over which the rate falls to zero.
    emphasis: what the update is multiplied by before them. Wordings that were not trained move less
        than those that were; more of the same direction brings them over the edge. settle_kl: what
        kl_weight is multiplied by then, to take back the harm of it.
    max_new_tokens: of a decoded answer.
    checkpointing: whether the backward pass computes the layers again instead of keeping what is
        inside them; auto: where that would take more than checkpointing_share of the free memory.
    """

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpointing: Literal["auto", "on", "off"] = "auto"
    checkpointing_share: float = 0.25
    lr: float = 4e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    directions: Literal["lessons", "random"] = "lessons"
    directions_floor: float = 0.001
    warmup_steps: int = 5
    clip_norm: float = 1.0
    row_length: int = 128
    rows_per_step: int = 8
    kl_weight: float = 8.0
    max_epochs: float = 22.0
    min_steps: int = 120
    max_steps: int = 4000
    max_seconds: float = 1800.0
    replay_factor: float = 1.35
    check_every: int = 10
    stop_recall: float = 1.0
    settle_steps: int = 40
    settle_kl: float = 2.0
    emphasis: float = 1.25
    word_dropout: float = 0.25
    reverse_times: int = 2
    max_new_tokens: int = 48

    def __post_init__(self) -> None:
        for name in ("row_length", "rows_per_step", "max_steps", "check_every", "reverse_times"):
            if getattr(self, name) < 1:
                raise UserError(f"learn.train.{name} is {getattr(self, name)}; it is at least 1")
        for name in (
            "lr",
            "max_epochs",
            "max_seconds",
            "directions_floor",
            "emphasis",
            "settle_kl",
            "replay_factor",
        ):
            if not getattr(self, name) > 0:
                raise UserError(f"learn.train.{name} is {getattr(self, name)}; it is above 0")
        names = ("kl_weight", "weight_decay", "warmup_steps", "clip_norm", "settle_steps")
        for name in (*names, "min_steps"):
            if not getattr(self, name) >= 0:
                raise UserError(f"learn.train.{name} is {getattr(self, name)}; it is not negative")
        _share("train.stop_recall", self.stop_recall)
        _share("train.word_dropout", self.word_dropout)
        _share("train.checkpointing_share", self.checkpointing_share)


@dataclass(frozen=True, kw_only=True)
class AnchorConfig:
    """What a lesson must leave as it was.

    domains: of the primer, whose train split holds training and whose test split the gate
        measures; "general": everyday questions that the base answers itself; "own_text": texts
        that it writes. None given: the primer's for a model that was trained on it, the other two
        for any other. sources, heldout:
        name -> other texts for the two, in place of all these; each name of the second is a
        domain of the gate's.
    sequences, heldout_sequences: how many of each are used. max_length: tokens of one at most.
    """

    domains: tuple[str, ...] = ()
    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    heldout: Mapping[str, SourceConfig] = field(default_factory=dict)
    sequences: int = 96
    heldout_sequences: int = 40
    max_length: int = 128

    def __post_init__(self) -> None:
        for name in ("sequences", "heldout_sequences", "max_length"):
            if getattr(self, name) < 1:
                raise UserError(f"learn.anchors.{name} is {getattr(self, name)}; at least 1")
        if bool(self.sources) != bool(self.heldout):
            raise UserError("learn.anchors.sources and learn.anchors.heldout go together")


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What a version must reach before it goes live. Shares lie between 0 and 1.

    min_recall: lower end of Wilson's interval of the held-out wordings answered right, from
        small_sample wordings on; below that, all but small_misses of them.
    min_reverse: share of held-out reverse questions answered right, where a lesson has them, or all
        but small_misses if that is less.
    max_loss_rise: nats per token, upper 95% end of a paired bootstrap over sequences, on every
        anchor domain with the adapter on; 0.0488 = ln 1.05 is 5% of perplexity.
    max_lost: share of earlier lessons whose questions, routed to their version, are not answered.
    earlier_items: questions about earlier lessons that are asked at most.
    min_agreement: share of the tokens of the base's greedy answers to unrelated prompts that are
        still the likeliest, given the words before them, with the adapter forced on.
    min_tools: share of the base's replies with well-formed tool calls that keep such calls.
    min_format: share of the base's replies that ended by themselves and still do.
    max_relative_change: largest ||dW|| / ||W|| of a layer.
    banned_words: an answer that says one of them fails, unless the lesson or the base says it;
        () is a short list of its own.
    locality_prompts, max_new_tokens: how many prompts are decoded, and how far.
    timeout_seconds: for the whole gate; one that takes longer has failed.
    """

    min_recall: float = 0.85
    small_sample: int = 40
    small_misses: int = 1
    min_reverse: float = 0.8
    max_loss_rise: float = 0.0488
    bootstrap_samples: int = 1000
    max_lost: float = 0.01
    earlier_items: int = 200
    min_agreement: float = 0.98
    min_tools: float = 1.0
    min_format: float = 0.95
    max_relative_change: float = 1.0
    banned_words: tuple[str, ...] = ()
    locality_prompts: int = 48
    max_new_tokens: int = 32
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("min_recall", "min_reverse", "max_lost", "min_agreement", "min_tools"):
            _share(f"gate.{name}", getattr(self, name))
        _share("gate.min_format", self.min_format)
        if not self.max_loss_rise > 0:
            raise UserError(f"learn.gate.max_loss_rise is {self.max_loss_rise}; it is above 0")


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How the learner tries again after a refusal, before it leaves lessons in memory only.

    attempts: trainings of one lesson in all; several are tried once, then those that failed or the
        halves, unless this is 1.

    A part needs less `emphasis`. A lesson that was only learned too little is trained longer the
    next time, by `longer`. Any other time it is trained more gently: with lr_factor of the rate,
    kl_factor of the KL weight and `replay` as the share of replay, then also in the upper half of
    the layers only.
    """

    attempts: int = 3
    emphasis: float = 1.0
    longer: float = 1.5
    lr_factor: float = 0.5
    kl_factor: float = 2.0
    replay: float = 0.25

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 3:
            raise UserError(f"learn.retry.attempts is {self.attempts}; it lies between 1 and 3")
        if not (self.longer >= 1 and self.emphasis > 0):
            raise UserError(
                f"learn.retry.longer is {self.longer} and learn.retry.emphasis {self.emphasis}; "
                "the first is at least 1, the second above 0"
            )


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """The learner's process.

    threads: CPU threads of learner and gate each. nice: how far they stand behind others, 0-19.
    lease_seconds: a job whose learner has not been heard of for so long is taken up again.
    poll_seconds: between two looks at an empty queue.
    """

    threads: int = 1
    nice: int = 19
    lease_seconds: float = 60.0
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UserError(f"learn.learner.threads is {self.threads}; it is at least 1")
        if not 0 <= self.nice <= 19:
            raise UserError(f"learn.learner.nice is {self.nice}; it lies between 0 and 19")
        if not (self.lease_seconds > 0 and self.poll_seconds > 0):
            raise UserError("learn.learner.lease_seconds and poll_seconds must be above 0")


@dataclass(frozen=True, kw_only=True)
class ConsolidateConfig:
    """When many versions are put together into one without being asked.

    nightly: whether at all. hours: from and until, 0 to 24 by the clock of the place.
    most_versions: an alias may have; with more it is due.
    """

    nightly: bool = True
    hours: tuple[int, int] = (2, 5)
    most_versions: int = 32

    def __post_init__(self) -> None:
        if not all(0 <= hour <= 24 for hour in self.hours):
            raise UserError(f"learn.consolidate.hours is {self.hours}; hours lie from 0 to 24")
        if self.most_versions < 1:
            raise UserError(
                f"learn.consolidate.most_versions is {self.most_versions}; it is at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class LearnConfig:
    """How lessons become adapters.

    facts_per_version: more are learned one part after another, each a version of its own.
    """

    seed: int = 0
    facts_per_version: int = 5
    lora: LoraConfig = LoraConfig(rank=32)
    study: StudyConfig = StudyConfig()
    mixture: MixtureConfig = MixtureConfig()
    train: AdapterTrainConfig = AdapterTrainConfig()
    anchors: AnchorConfig = AnchorConfig()
    gate: GateConfig = GateConfig()
    retry: RetryConfig = RetryConfig()
    learner: LearnerConfig = LearnerConfig()
    consolidate: ConsolidateConfig = ConsolidateConfig()

    def __post_init__(self) -> None:
        if self.lora.kind != "lora":
            raise UserError(
                f"learn.lora.kind is {self.lora.kind!r}; only adapters of kind 'lora' can be served"
            )
        if self.facts_per_version < 1:
            raise UserError(f"learn.facts_per_version is {self.facts_per_version}; at least 1")
