"""Which replica answers: the one that has read a conversation before, or else the least busy one.

Keys are told from the request's body: the conversation's id, or how the prompt begins, as a later
turn begins like the earlier ones. Knows nothing of processes and of HTTP.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

MAX_KEYS = 10_000  # conversations that are remembered, the least recently used leave first
SLACK = 8  # more requests than the least busy one has, before a conversation moves
PREFIX = 512  # characters of a plain prompt that tell it from others


class Place(Protocol):
    """What is chosen from."""

    number: int
    active: int


def key_of(path: str, body: bytes) -> str | None:
    """What a request has in common with those that share its prefix; None if it has nothing."""
    if path not in ("/v1/chat/completions", "/v1/completions"):
        return None
    try:
        asked = json.loads(body)
    except ValueError:  # the replica will say what is wrong with it
        return None
    if not isinstance(asked, dict):
        return None
    if asked.get("conversation_id"):
        return f"conversation {asked['conversation_id']}"
    begin = begin_of(asked)
    if begin is None:
        return None
    text = json.dumps([asked.get("model"), begin], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def begin_of(asked: dict[str, Any]) -> Any:
    """The messages up to the first one of a person, or how a plain prompt begins."""
    messages = asked.get("messages")
    if isinstance(messages, list):
        begin = []
        for message in messages:
            if not isinstance(message, dict):
                return None
            begin.append([message.get("role"), message.get("content")])
            if message.get("role") == "user":
                break
        return begin or None
    prompt = asked.get("prompt")
    return prompt[:PREFIX] if isinstance(prompt, str | list) and prompt else None


class Affinity:
    """Remembers who answered what."""

    def __init__(self, max_keys: int = MAX_KEYS, slack: int = SLACK) -> None:
        self.max_keys = max_keys
        self.slack = slack
        self.numbers: OrderedDict[str, int] = OrderedDict()
        self._turn = 0

    def choose(self, key: str | None, places: Sequence[Place]) -> Place | None:
        """One of those that take requests now; None if there are none."""
        if not places:
            return None
        self._turn += 1
        least = min(places, key=lambda p: (p.active, (p.number - self._turn) % len(places)))
        if key is None:
            return least
        known = self.numbers.get(key)
        same = next((place for place in places if place.number == known), None)
        chosen = same if same and same.active <= least.active + self.slack else least
        self.numbers[key] = chosen.number
        self.numbers.move_to_end(key)
        while len(self.numbers) > self.max_keys:
            self.numbers.popitem(last=False)
        return chosen
