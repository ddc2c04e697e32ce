"""Messages -> messages: the turn loop with tools, and the journal of conversations."""

from typing import TYPE_CHECKING

from nanohydra.chat.events import (
    ChatEvent,
    ChatParams,
    Done,
    TextDelta,
    Timings,
    ToolCalled,
    ToolReturned,
    Usage,
)
from nanohydra.chat.records import (
    StoredConversation,
    StoredMessage,
    Summary,
    UnknownConversation,
    message_from_json,
    message_to_json,
)
from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.chat.answers import answer_all
    from nanohydra.chat.journal import Journal
    from nanohydra.chat.model import ChatModel
    from nanohydra.engine.request import QueueFull
    from nanohydra.engine.thread import EngineStopped

__all__ = [
    "ChatEvent",
    "ChatModel",
    "ChatParams",
    "Done",
    "EngineStopped",
    "Journal",
    "QueueFull",
    "StoredConversation",
    "StoredMessage",
    "Summary",
    "TextDelta",
    "Timings",
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
        "EngineStopped": "nanohydra.engine.thread",
        "Journal": "nanohydra.chat.journal",
        "QueueFull": "nanohydra.engine.request",
    },
)
