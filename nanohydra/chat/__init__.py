"""Messages -> messages: the turn loop with tools, and the journal of conversations."""

from typing import TYPE_CHECKING

from nanohydra.chat.events import (
    CallDelta,
    ChatEvent,
    ChatParams,
    Done,
    TextDelta,
    Timings,
    Token,
    ToolCalled,
    ToolReturned,
    Usage,
)
from nanohydra.chat.offer import Offer
from nanohydra.chat.records import (
    StoredConversation,
    StoredMessage,
    Summary,
    UnknownConversation,
    message_from_json,
    message_to_json,
)
from nanohydra.core.lazy import lazy_names
from nanohydra.engine.grammar import Grammar

if TYPE_CHECKING:
    from nanohydra.chat.answers import answer_all
    from nanohydra.chat.journal import Journal
    from nanohydra.chat.model import ChatModel
    from nanohydra.engine.request import QueueFull
    from nanohydra.engine.stats import EngineStats
    from nanohydra.engine.thread import EngineStopped

__all__ = [
    "CallDelta",
    "ChatEvent",
    "ChatModel",
    "ChatParams",
    "Done",
    "EngineStats",
    "EngineStopped",
    "Grammar",
    "Journal",
    "Offer",
    "QueueFull",
    "StoredConversation",
    "StoredMessage",
    "Summary",
    "TextDelta",
    "Timings",
    "Token",
    "ToolCalled",
    "ToolReturned",
    "UnknownConversation",
    "Usage",
    "answer_all",
    "message_from_json",
    "message_to_json",
]
__getattr__ = lazy_names(
    __name__,
    {
        "ChatModel": "nanohydra.chat.model",
        "answer_all": "nanohydra.chat.answers",
        "EngineStats": "nanohydra.engine.stats",
        "EngineStopped": "nanohydra.engine.thread",
        "Journal": "nanohydra.chat.journal",
        "QueueFull": "nanohydra.engine.request",
    },
)
