"""Which of several named shards the next record comes from, so that token shares follow weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.data.config import Phase
from nanohydra.data.packing import Piece
from nanohydra.data.stream import Stream


class Mixture:
    """Draws from the streams by stride scheduling: always from the one that is furthest behind.

    Within a phase the tokens drawn from each stream follow the weights to within one piece of each,
    without chance. phases: as in LoaderConfig; () = in proportion to the streams' tokens.
    """

    def __init__(self, streams: Sequence[Stream], phases: Sequence[Phase]) -> None:
        self.streams = streams
        names = [stream.name for stream in streams]
        tokens = {stream.name: float(stream.shards.num_tokens) for stream in streams}
        self._phases = phases or (Phase(weights=tokens),)
        for phase in self._phases:
            for name in phase.weights:
                if name not in names:
                    raise UserError(f"weights name {name!r}; {suggest(name, names)}")
        self._drawn = [0] * len(streams)  # tokens, in this phase
        self._enter(0)

    @property
    def phase(self) -> int:
        """The number of the phase that draws are made in."""
        return self._phase

    def set_progress(self, progress: float) -> None:
        """Say which share of the run is done, 0 to 1; may begin the next phase."""
        number = next(
            (n for n, phase in enumerate(self._phases) if progress < phase.until),
            len(self._phases) - 1,
        )
        if number != self._phase:
            self._drawn = [0] * len(self.streams)
            self._enter(number)

    def draw(self) -> Piece | None:
        """The next piece of an endless mixture."""
        chosen = min(self._active, key=lambda i: self._drawn[i] / self._weights[i])
        piece = self.streams[chosen].draw()
        if piece is not None:
            self._drawn[chosen] += piece.length
        return piece

    def draw_in_order(self) -> Piece | None:
        """The next piece when every stream is read once, one after the other; None at the end."""
        return next((piece for stream in self.streams if (piece := stream.draw())), None)

    def state_dict(self) -> dict[str, Any]:
        """Where the mixture and its streams stand, as plain JSON types."""
        return {
            "phase": self._phase,
            "drawn": list(self._drawn),
            "streams": {stream.name: stream.state_dict() for stream in self.streams},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        self._enter(min(state["phase"], len(self._phases) - 1))
        self._drawn = list(state["drawn"])
        for stream in self.streams:
            stream.load_state_dict(state["streams"][stream.name])

    def _enter(self, number: int) -> None:
        self._phase = number
        weights = self._phases[number].weights
        self._weights = [weights.get(stream.name, 0.0) for stream in self.streams]
        self._active = [i for i, weight in enumerate(self._weights) if weight > 0]
