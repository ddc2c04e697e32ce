"""The chat in a terminal or a pipe: commands, tools, what is kept, what is saved."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nanohydra.chat import ChatEvent, ChatModel, ChatParams, Journal
from nanohydra.chat.terminal import Screen, TerminalChat, printable
from nanohydra.core.types import Message

Make = Callable[..., ChatModel]
GREEDY = ChatParams(temperature=0)


class Paper:
    """A screen that keeps what is written on it."""

    def __init__(self) -> None:
        self.said = ""
        self.noted = ""
        self.both = ""

    def say(self, text: str) -> None:
        self.said += text
        self.both += text

    def note(self, text: str) -> None:
        self.noted += text
        self.both += text

    @property
    def screen(self) -> Screen:
        return Screen(say=self.say, note=self.note)


def chatted(chat: Any, lines: Sequence[str], **rest: Any) -> tuple[Paper, TerminalChat]:
    paper = Paper()
    terminal = TerminalChat(chat, paper.screen, rest.pop("params", GREEDY), **rest)
    terminal.run(iter(lines))
    return paper, terminal


def test_a_conversation_goes_on(chat: Make) -> None:
    model = chat(lambda prompt: f"answer {prompt.count('<|user|>')}<|end|>")
    paper, terminal = chatted(model, ["one\n", "\n", "two\n"], system="be kind")
    assert paper.said == "answer 1\nanswer 2\n"
    assert "context" in paper.noted
    assert [message.content for message in terminal.messages] == [
        "one", "answer 1", "two", "answer 2",
    ]  # fmt: skip
    prompts = model.loaded.model.prompts  # type: ignore[attr-defined]
    assert all(prompt.startswith("<|bos|><|system|>be kind<|end|>") for prompt in prompts)
    assert terminal.num_replies == 2 and terminal.num_tokens > 2


def test_tool_calls_are_shown(chat: Make) -> None:
    def script(prompt: str) -> str:
        if "<|tool|>" in prompt:
            return "888<|end|>"
        return 'Let me see.<|call|>calculator {"expression": "37 * 24"}<|end|>'

    paper, _ = chatted(chat(script), ["hello"])
    assert paper.both.startswith("Let me see.\ncalculator 37 * 24 = 888\n888\n")
    assert paper.said == "Let me see.888\n"


def test_commands(chat: Make) -> None:
    model = chat("yes<|end|>")
    paper, terminal = chatted(
        model,
        [
            "/help",
            "/system",
            "/system be  brief",
            "/temperature 0.3",
            "/temperature",
            "hi",
            "/clear",
        ],
    )
    assert "/save FILE" in paper.noted
    assert "system prompt: none\nsystem prompt: be  brief\n" in paper.noted
    assert paper.noted.count("temperature: 0.3\n") == 2
    assert terminal.params.temperature == 0.3 and terminal.messages == []
    assert paper.said == "yes\n"


def test_quit_ends_and_double_slashes_are_sent(chat: Make) -> None:
    model = chat("yes<|end|>")
    paper, terminal = chatted(model, ["//help me", "/quit", "never read"])
    assert terminal.messages[0].content == "/help me"
    assert paper.said == "yes\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/hepl", "unknown command '/hepl'; did you mean '/help'?"),
        ("/temperature warm", "the temperature must be a number, not 'warm'"),
        ("/temperature -1", "temperature must be 0 or more, not -1.0"),
        ("/save", "name the file"),
        ("long " * 500, "context holds 400"),
    ],
)
def test_mistakes_are_told_and_the_chat_goes_on(chat: Make, line: str, problem: str) -> None:
    paper, terminal = chatted(chat("yes<|end|>"), [line, "hello"])
    assert f"error: {problem}" in paper.noted or problem in paper.noted
    assert paper.said == "yes\n" and len(terminal.messages) == 2


def test_what_is_saved_can_be_imported(chat: Make, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    model = chat("yes<|end|>")
    paper, terminal = chatted(model, ["hello", f"/save {path}", f"/save {path}"], system="s")
    assert f"saved 2 messages to {path}" in paper.noted
    assert "exists already" in paper.noted
    journal = Journal(tmp_path / "journal.db")
    (id,) = journal.import_(json.loads(path.read_text()))
    found = journal.get(id)
    journal.close()
    assert [stored.message for stored in found.messages] == terminal.messages
    assert found.title == "hello" and found.settings["system"] == "s"


def test_a_reply_that_is_cut_says_so(chat: Make) -> None:
    model = chat("word " * 50 + "<|end|>")
    paper, _ = chatted(model, ["hello"], params=ChatParams(temperature=0, max_tokens=5))
    assert "cut off: the longest reply is reached" in paper.noted


def test_ctrl_c_stops_the_reply_alone(chat: Make) -> None:
    model = chat(lambda p: ("la " * 150 if "hello" in p[-40:] else "yes") + "<|end|>")

    class Interrupted:
        """Ctrl-C arrives after the first words of the first reply."""

        calls = 0

        async def stream(
            self, messages: Sequence[Message], params: ChatParams | None = None
        ) -> AsyncGenerator[ChatEvent]:
            self.calls += 1
            async with contextlib.aclosing(model.stream(messages, params)) as events:
                async for event in events:
                    yield event
                    if self.calls == 1:
                        signal.raise_signal(signal.SIGINT)
                        await asyncio.sleep(30)

    paper, terminal = chatted(Interrupted(), ["hello", "again"])
    assert paper.said.startswith("l") and paper.said.endswith("\nyes\n")
    assert "stopped\n" in paper.noted
    first = terminal.messages[1].content
    assert first.startswith("l") and len(first) < 450
    assert [message.content for message in terminal.messages] == ["hello", first, "again", "yes"]
    assert model.engine.engine.finished["stop"] == 1 and not model.engine.engine.has_work()


def test_an_engine_that_stopped_is_told(chat: Make) -> None:
    model = chat("yes<|end|>")
    model.engine.close()
    paper, _ = chatted(model, ["hello", "again"])
    assert paper.noted.count("error: the engine is closed") == 2


def test_control_characters_do_not_reach_the_terminal(chat: Make) -> None:
    assert printable("a\x1b[31mb\x07\tc\n\x9bd\r") == "a[31mb\tc\nd"
    paper, terminal = chatted(chat("a\x1b]0;title\x07b<|end|>"), ["hello"])
    assert paper.said == "a]0;titleb\n"
    assert terminal.messages[1].content == "a\x1b]0;title\x07b"
