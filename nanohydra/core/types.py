"""The few values that cross package borders: documents, messages, batches and completions.

Knows nothing of files, models or HTTP. Shape letters are explained in docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "abort", "error"]
IGNORE = -100  # a label that carries no loss, as in torch.nn.functional.cross_entropy


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A request of the model to run a tool; `arguments` is what its JSON text parsed to."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation, in the roles of the OpenAI chat format."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Document:
    """A plain text with the name of its source."""

    text: str
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Messages with the name of their source; the assistant's turns are what is learned."""

    messages: tuple[Message, ...]
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


Record = Document | Conversation


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of packed token sequences, ready for a training step.

    ids_BT: int64, the input tokens.
    labels_BT: int64, the token to predict at each place (already shifted), IGNORE = no loss.
    positions_BT: int64, restart at 0 with each packed sequence.
    segments_BT: int64, which packed sequence of the row a token belongs to; attention never
        crosses a segment. Padding has segment -1 and label IGNORE.
    """

    ids_BT: Tensor
    labels_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor

    @property
    def num_targets(self) -> int:
        """How many places carry loss."""
        return int((self.labels_BT != IGNORE).sum())

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        return Batch(
            ids_BT=self.ids_BT.to(device, non_blocking=True),
            labels_BT=self.labels_BT.to(device, non_blocking=True),
            positions_BT=self.positions_BT.to(device, non_blocking=True),
            segments_BT=self.segments_BT.to(device, non_blocking=True),
        )


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What the engine made of one request. `adapter` names the version that wrote it."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    finish_reason: FinishReason = "stop"
    adapter: str | None = None
