"""From the engine's events to text that can be shown: what every kind of answer has in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nanohydra.chat.events import ChatParams, TextDelta, Token
from nanohydra.chat.stops import StopStrings
from nanohydra.chat.trail import Trail
from nanohydra.core.types import FinishReason
from nanohydra.engine import Event
from nanohydra.tokenizer import Tokenizer


class AnswerReader:
    """Counts tokens, holds back what may be a stop string, and notes why the answer ended.

    num_prompt, num_before: tokens of the prompt, and of the answer's earlier rounds. How tokens
    become text, and which have none, is the subclass's: `_text_of`, `_text_of_all` and `_flush`.
    """

    def __init__(self, tokenizer: Tokenizer, params: ChatParams, stop: tuple[str, ...]) -> None:
        self.tokenizer = tokenizer
        self.num_prompt = self.num_before = self.num_tokens = 0
        self.logprob = 0.0
        self.text = ""
        self.tokens: list[Token] = []
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None
        self._params = params
        self._stops = StopStrings(stop)
        self._trail = None if params.top_logprobs is None else Trail(tokenizer)

    def take(self, events: Iterable[Event]) -> TextDelta:
        """Take in events; returns the text that can be shown now, and its tokens."""
        if self._trail is None and not self._stops.stops:
            return self._take_plain(events)
        shown = ""
        for event in events:
            if event.token_id is not None:
                self._count(event)
                shown += self._read_token(event, event.token_id)
            if not self._stops.hit and event.finish_reason is not None:
                text = self._flush()
                if self._trail is not None:
                    self._trail.flush(text)
                shown += self._stops.push(text) + self._stops.flush()
                self.finish_reason, self.error = event.finish_reason, event.error
            if self._stops.hit:
                self.finish_reason = "stop"
            if self.finish_reason is not None:
                break
        self.text += shown
        tokens: tuple[Token, ...] = ()
        if self._trail is not None:
            tokens = self._trail.take(len(shown), last=self.finish_reason is not None)
            self.tokens += tokens
        return self._delta(shown, tokens)

    def _take_plain(self, events: Iterable[Event]) -> TextDelta:
        """The same where the engine alone ends the text: its tokens are decoded together."""
        written, most = list[Event](), self.tokenizer.vocab_size
        for event in events:
            if event.token_id is not None:
                self._count(event)
                if event.token_id < most:
                    written.append(event)
            if event.finish_reason is not None:
                self.finish_reason, self.error = event.finish_reason, event.error
                break
        shown = self._text_of_all(written)
        if self.finish_reason is not None:
            shown += self._flush()
        self.text += shown
        return self._delta(shown)

    def _count(self, event: Event) -> None:
        self.num_tokens += 1
        self.logprob += event.logprob

    def _delta(self, shown: str, tokens: tuple[Token, ...] = ()) -> TextDelta:
        return TextDelta(
            text=shown,
            tokens=tokens,
            prompt_tokens=self.num_prompt,
            completion_tokens=self.num_before + self.num_tokens,
        )

    def _read_token(self, event: Event, id: int) -> str:
        # A model's vocabulary may be padded beyond its tokenizer's.
        text = None if id >= self.tokenizer.vocab_size else self._text_of(event, id)
        if text is None:
            return ""
        return text if self.num_tokens <= self._params.min_tokens else self._stops.push(text)

    def _text_of(self, event: Event, id: int) -> str | None:
        """What the token adds; None for one that is no part of the answer."""
        raise NotImplementedError

    def _text_of_all(self, events: Sequence[Event]) -> str:
        """What several tokens add, where no trail is kept."""
        raise NotImplementedError

    def _flush(self) -> str:
        """What was held back until the end."""
        raise NotImplementedError
