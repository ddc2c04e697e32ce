"""Chat with a model in the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanohydra.checkpoint.names import title_of
from nanohydra.commands.options import AnsweringOptions, find_model, parse, sampling_defaults
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.chat.terminal import Screen


@dataclass(frozen=True, kw_only=True)
class ChatOptions(AnsweringOptions):
    """Options of `nanohydra chat`."""

    system: str = ""
    """System prompt."""
    max_tokens: int = 256
    """Longest reply in tokens; 0 is what the context leaves."""
    temperature: float | None = None
    """As the model's makers state, or 0.7, if not given; 0 always takes the likeliest token."""
    seed: int | None = None
    """Repeat the same replies."""


def main(words: list[str]) -> None:
    """Run `nanohydra chat`."""
    call = parse(ChatOptions, words, prog="chat", description=__doc__)
    run(call.options, call.recipe)


def run(options: ChatOptions, recipe: Recipe) -> None:
    """Chat until the input ends. In a pipe: one reply per line of input, and nothing else."""
    from nanohydra.chat import ChatParams
    from nanohydra.chat.terminal import TerminalChat
    from nanohydra.commands.serve import load_chat
    from nanohydra.engine import EngineConfig

    # A mistake is told before anything is fetched or loaded.
    ChatParams(temperature=options.temperature or 0.0, max_tokens=options.max_tokens)
    folder = find_model(options, recipe)
    sampling = sampling_defaults(folder, options.temperature)
    params = ChatParams(max_tokens=options.max_tokens, seed=options.seed, **sampling)
    name = title_of(folder)
    with console(stderr=True).status(f"loading {folder}"):
        engine = EngineConfig(max_rows=1)
        chat = load_chat(folder, recipe, engine, max_waiting=1, weights=options.weights)
    interactive = sys.stdin.isatty()
    with chat.engine:
        talk = TerminalChat(chat, make_screen(), params, system=options.system)
        if interactive:
            console(stderr=True).print(f"{name}. /help shows the commands.\n")
        talk.run(read_lines(interactive))
    if interactive:
        rows = {"replies": talk.num_replies, "tokens written": talk.num_tokens}
        summary_table(f"{name}, chatted", rows)


def make_screen() -> Screen:
    """Replies on standard output, everything else dimmed on standard error."""
    from rich.text import Text

    from nanohydra.chat.terminal import Screen

    aside = console(stderr=True)

    def say(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def note(text: str) -> None:
        aside.print(Text(text, style="dim"), end="", soft_wrap=True)

    return Screen(say=say, note=note)


def read_lines(interactive: bool) -> Iterator[str]:
    """Lines of the input until it ends; Ctrl-C at the prompt ends it too."""
    if not interactive:
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and editing keys
    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
