"""What one forward call of the engine runs over: new tokens of several sequences, laid end to end.

Sequences that decode bring one token, prompts bring a piece, speculation brings a few guesses; a
runner needs to know nothing else. Arrays are numpy's, as they are bookkeeping and not arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nanohydra.adapters.batch import ReadyAdapter

Ints = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class FlatBatch:
    """N new tokens of S sequences. Valid during one call: the arrays are reused afterwards.

    ids: (N,), the tokens of sequence s at starts[s] to starts[s + 1] - 1.
    starts: (S + 1,), rising: every sequence has at least one token.
    held: (S,), tokens that the blocks of each sequence hold already, so that token j of
        sequence s has position held[s] + j.
    tables: (S, width), numbers of each sequence's blocks in order; unused places are 0. They
        reach over all new tokens, and those blocks that are written belong to one sequence.
    wanted: (M,), rising: places in `ids` of the tokens whose logits are asked for.
    adapters: one for each sequence, None for the model itself. The same tuple as in the last
        call means the same adapters.
    """

    ids: Ints
    starts: Ints
    held: Ints
    tables: Ints
    wanted: Ints
    adapters: tuple[ReadyAdapter | None, ...]

    @property
    def num_tokens(self) -> int:
        """N."""
        return len(self.ids)

    @property
    def num_sequences(self) -> int:
        """S."""
        return len(self.held)
