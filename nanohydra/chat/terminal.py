"""A chat in a terminal or a pipe: lines in, streamed replies out, a few slash commands.

Knows no models and parses no options; it talks to a ChatModel and to three functions that read
and write, so that tests can stand in for the terminal.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nanohydra.chat.events import ChatEvent, ChatParams, Done, TextDelta, ToolCalled, ToolReturned
from nanohydra.chat.records import StoredConversation, StoredMessage, file_to_json, make_title
from nanohydra.core.errors import UserError
from nanohydra.core.files import write_json
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message
from nanohydra.engine import EngineStopped

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
HELP = """\
/help              this text
/system [TEXT]     show the system prompt, or set it
/temperature [N]   show the temperature, or set it; 0 always takes the likeliest token
/clear             begin a new conversation
/save FILE         write the conversation as JSON, which the web page can import
/quit              end, as Ctrl-D does; Ctrl-C stops a reply
A line that begins with // is sent with one /."""


class Talker(Protocol):
    """What this needs of a chat model."""

    def stream(
        self, messages: Sequence[Message], params: ChatParams | None = None
    ) -> AsyncGenerator[ChatEvent]:
        """Answer a conversation."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Where the chat goes: `say` the reply itself, `note` everything else, with line ends."""

    say: Callable[[str], None]
    note: Callable[[str], None]


class TerminalChat:
    """One conversation with its settings. `run` it on lines of input."""

    def __init__(
        self, chat: Talker, screen: Screen, params: ChatParams, *, system: str = ""
    ) -> None:
        self.chat = chat
        self.screen = screen
        self.params = params
        self.system = system
        self.messages: list[Message] = []
        self.num_replies = 0
        self.num_tokens = 0
        self._commands: dict[str, Callable[[str], bool]] = {
            "/help": self._help,
            "/system": self._set_system,
            "/temperature": self._set_temperature,
            "/clear": self._clear,
            "/save": self._save,
            "/quit": lambda _: False,
        }

    def run(self, lines: Iterator[str]) -> None:
        """Answer line after line until there are no more, or one says /quit."""
        with asyncio.Runner() as runner:
            for line in lines:
                text = line.strip()
                if not text:
                    continue
                try:
                    if text.startswith("/") and not text.startswith("//"):
                        if not self._command(text):
                            return
                    else:
                        self._answer(runner, text.removeprefix("/"))
                except (UserError, EngineStopped) as error:
                    self.screen.note(f"error: {error}\n")

    def _answer(self, runner: asyncio.Runner, text: str) -> None:
        """One turn; Ctrl-C ends it and keeps what was said so far."""
        asked = [*self.messages, Message(role="user", content=text)]
        said: list[str] = []
        try:
            done = runner.run(self._reply(asked, said))
        except KeyboardInterrupt:
            self.screen.say("\n")
            self.screen.note("stopped\n")
            self.messages = [*asked, Message(role="assistant", content="".join(said))]
            return
        self.messages = [*asked, *done.messages]
        self.num_replies += 1
        self.num_tokens += done.usage.completion_tokens
        self.screen.note(summary(done) + "\n")

    async def _reply(self, asked: Sequence[Message], said: list[str]) -> Done:
        """Show a reply while it is written; `said` collects its last turn."""
        system = [Message(role="system", content=self.system)] if self.system else []
        stream = self.chat.stream([*system, *asked], self.params)
        begun = False
        try:
            async for event in stream:
                if isinstance(event, TextDelta):
                    text = printable(event.text)
                    said.append(event.text)
                    self.screen.say(text if begun else text.lstrip("\n"))
                    begun = begun or bool(text.strip("\n"))
                elif isinstance(event, ToolCalled):
                    said.clear()
                    self.screen.note(("\n" if begun else "") + describe(event))
                    begun = False
                elif isinstance(event, ToolReturned):
                    self.screen.note(f" = {printable(event.result)}\n")
                elif isinstance(event, Done):
                    self.screen.say("\n")
                    return event
        finally:
            await stream.aclose()
        raise AssertionError("a reply ends with Done")

    def _command(self, text: str) -> bool:
        """Run a slash command; False ends the chat."""
        name, _, argument = text.partition(" ")
        if name not in self._commands:
            raise UserError(f"unknown command {name!r}; {suggest(name, self._commands)}")
        return self._commands[name](argument.strip())

    def _help(self, _: str) -> bool:
        self.screen.note(HELP + "\n")
        return True

    def _set_system(self, text: str) -> bool:
        if text:
            self.system = text
        self.screen.note(f"system prompt: {self.system or 'none'}\n")
        return True

    def _set_temperature(self, text: str) -> bool:
        if text:
            try:
                value = float(text)
            except ValueError:
                raise UserError(f"the temperature must be a number, not {text!r}") from None
            self.params = replace(self.params, temperature=value)
        self.screen.note(f"temperature: {self.params.temperature:g}\n")
        return True

    def _clear(self, _: str) -> bool:
        self.messages = []
        self.screen.note("a new conversation\n")
        return True

    def _save(self, text: str) -> bool:
        if not text:
            raise UserError("name the file, as in /save apples.json")
        path = Path(text).expanduser()
        if path.exists():
            raise UserError(f"{path} exists already; choose another name")
        try:
            write_json(path, file_to_json([self._stored()]))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error}") from error
        self.screen.note(f"saved {len(self.messages)} messages to {path}\n")
        return True

    def _stored(self) -> StoredConversation:
        """The conversation as the journal keeps it."""
        messages = [StoredMessage(message=message) for message in self.messages]
        now = time.time()
        return StoredConversation(
            id="",
            title=make_title(messages),
            created=now,
            updated=now,
            settings={"system": self.system, "temperature": self.params.temperature},
            messages=tuple(messages),
        )


def printable(text: str) -> str:
    """The text without control characters, with which a model could take over a terminal."""
    return CONTROL.sub("", text)


def describe(event: ToolCalled) -> str:
    """A call in a few words: the tool and its arguments."""
    values = (str(value) for value in event.call.arguments.values())
    return printable(f"{event.call.name} {', '.join(values)}").strip()


def summary(done: Done) -> str:
    """What is worth knowing after a reply, in one line."""
    usage, parts = done.usage, []
    if done.finish_reason == "length":
        parts.append(f"cut off: {done.note or 'the longest reply is reached'}")
    elif done.note:
        parts.append(f"{done.finish_reason}: {done.note}")
    if done.dropped_turns:
        parts.append(f"the oldest {done.dropped_turns} turns no longer fit")
    if done.timings.tokens_per_s:
        parts.append(f"{done.timings.tokens_per_s:.0f} tokens/s")
    parts.append(f"context {usage.context_tokens} of {usage.context_length}")
    return " · ".join(parts)
