"""Who guesses for an engine, by what its configuration says."""

from __future__ import annotations

from nanohydra.core.errors import UserError
from nanohydra.engine.config import EngineConfig
from nanohydra.engine.sampler import Sampler
from nanohydra.engine.speculation import Proposer, Speculator
from nanohydra.model import Decoder


def make_proposer(
    config: EngineConfig, draft: Decoder | None, max_length: int, vocab_size: int
) -> Proposer | None:
    """None where nothing is guessed. Raises UserError if a draft model is missing or unfit."""
    if config.speculation == "off":
        return None
    if config.speculation == "ngram":
        from nanohydra.engine.ngrams import NgramProposer

        return NgramProposer()
    if draft is None:
        raise UserError(
            "engine.speculation is draft, which needs a draft model of the same vocabulary; "
            "give one, or take ngram"
        )
    from nanohydra.engine.draft import DraftModel

    return DraftModel(draft, config, max_length, vocab_size)


def make_speculator(
    config: EngineConfig, proposer: Proposer | None, sampler: Sampler
) -> Speculator | None:
    """Who decides when a proposer is asked."""
    if proposer is None:
        return None
    return Speculator(
        proposer,
        sampler,
        num_guesses=config.draft_tokens,
        max_tokens=config.max_rows * config.draft_tokens,
    )
