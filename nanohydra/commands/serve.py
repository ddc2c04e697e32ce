"""Serve a model over HTTP: the OpenAI API, a chat page, and lessons that it learns."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanohydra.checkpoint.names import title_of
from nanohydra.commands.guessing import GuessingOptions, engine_settings, load_draft
from nanohydra.commands.options import (
    answering_dtype,
    find_model,
    parse,
    sampling_defaults,
)
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.core.scheduling import take_short_turns
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.chat import ChatModel
    from nanohydra.engine import EngineConfig
    from nanohydra.learn.service import LearningService
    from nanohydra.server import ServerConfig
    from nanohydra.server.learning import SharedLearning
    from nanohydra.server.service import ChatLike


@dataclass(frozen=True, kw_only=True)
class ServeOptions(GuessingOptions):
    """Options of `nanohydra serve`."""

    host: str = "127.0.0.1"
    """Address to listen on; other than this machine needs --api-key."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    api_key: str = ""
    """Key that clients must send; several, separated by commas. OWNER:KEY gives one its owner."""
    api_key_file: Path | None = None
    """File with such a key on each line; --api-key is seen by other users of the machine."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names under which clients may call the server."""
    allow_origins: tuple[str, ...] = ()
    """Web pages elsewhere that may call the server, such as https://name:port."""
    open: bool = False
    """Open the page in the browser, where there is one."""
    journal: Path = Path("runs/journal.db")
    """File that keeps the conversations of the page."""
    learn: bool = True
    """Take lessons, and learn them in a process beside the server."""
    learning: Path | None = None
    """Folder of lessons and adapters; `learning` in the model's run if not given."""
    embedder: str = "auto"
    """What finds lessons by meaning: minilm, hashing, or sentence-transformers:NAME."""
    temperature: float | None = None
    """For requests that do not say: as the model's makers state, or 0.7; 0: the likeliest token."""
    max_rows: int = 8
    """Requests that are answered at the same time."""
    max_waiting: int = 32
    """Requests that may wait beyond those; more are told to come back."""
    max_waiting_tokens: int = 65536
    """Prompt tokens that may wait; requests beyond them are told to come back; 0: no limit."""
    drain_seconds: float = 30.0
    """How long SIGTERM waits for the answers under way."""
    log_json: bool = False
    """Write every line of the log as a JSON object."""
    max_length: int = 0
    """Tokens of question and answer together; 0 is what the model was made for."""
    replicas: int = 1
    """Processes that answer behind the one port, each with its share of the cores, or its GPU."""


def main(words: list[str]) -> None:
    """Run `nanohydra serve`."""
    call = parse(ServeOptions, words, prog="serve", description=__doc__)
    run(call.options, call.recipe, words)


def run(options: ServeOptions, recipe: Recipe, words: Sequence[str] = ()) -> None:
    """Serve until SIGINT or SIGTERM, then finish the answers under way and say what was done.

    words: of the command line, for the replicas.
    """
    from nanohydra.server import ServerConfig

    folder = find_model(options, recipe)
    settings = ServerConfig(
        model_name=title_of(folder),
        host=options.host,
        port=options.port,
        api_key=keys_of(options),
        allowed_hosts=options.allowed_hosts,
        allow_origins=options.allow_origins,
        drain_seconds=options.drain_seconds,
        **sampling_defaults(folder, options.temperature),
    )
    if options.replicas != 1:
        from nanohydra.commands.replicas import run_replicas

        run_replicas(options, recipe, words, settings)
    else:
        run_server(options, recipe, folder, settings)


def run_server(options: ServeOptions, recipe: Recipe, folder: Path, settings: ServerConfig) -> None:
    """Serve in this process."""
    from nanohydra.chat import Journal
    from nanohydra.engine import EngineConfig
    from nanohydra.server import create_app, serve

    engine = EngineConfig(
        max_rows=options.max_rows, max_length=options.max_length, **engine_settings(options)
    )
    start_logging(as_json=options.log_json)
    take_short_turns()
    loaded: list[ChatModel] = []
    teachers: list[LearningService] = []

    def load() -> ChatModel:
        chat = load_chat(
            folder, recipe, engine, options.max_waiting, options.weights,
            max_waiting_tokens=options.max_waiting_tokens, draft=options.draft,
        )  # fmt: skip
        loaded.append(chat)
        return chat

    def teach(chat: ChatLike) -> SharedLearning:
        from nanohydra.learn.home import home_of
        from nanohydra.learn.opening import open_learning

        home = options.learning or home_of(folder)
        service = open_learning(
            home, folder, loaded[0].loaded, loaded[0].engine.engine,
            name=settings.model_name, embedder=options.embedder, config=recipe.learn,
        )  # fmt: skip
        teachers.append(service)
        return service

    def greet(url: str) -> None:
        console().print(f"{settings.model_name} at {url}  (Ctrl-C ends it)")
        if options.open:
            open_browser(url)

    with contextlib.closing(Journal(options.journal)) as journal:
        app = create_app(load, journal, settings, learning=teach if options.learn else None)
        try:
            serve(app, on_start=greet)
        finally:
            for service in teachers:
                service.close()
    if loaded:
        stats = loaded[0].engine.stats()
        rows = {
            "answers": sum(stats.finished.values()),
            "tokens read": stats.prompt_tokens,
            "tokens written": stats.generated_tokens,
            "conversations in": str(options.journal),
        }
        summary_table(f"{settings.model_name}, served", rows)


def load_chat(
    folder: Path,
    recipe: Recipe,
    config: EngineConfig,
    max_waiting: int,
    weights: str = "stored",
    *,
    max_waiting_tokens: int = 0,
    draft: Path | None = None,
) -> ChatModel:
    """The model of a folder, with its engine running. draft: the folder of one that guesses."""
    from nanohydra.chat import ChatModel
    from nanohydra.checkpoint import load
    from nanohydra.core.runtime import setup
    from nanohydra.engine import Engine, EngineThread
    from nanohydra.tokenizer.table import token_table

    runtime = setup(recipe.runtime)
    dtype = answering_dtype(folder, runtime, recipe)
    loaded = load(folder, device=runtime.device, dtype=dtype, weights=weights)
    if note := loaded.tokenizer.chat.note:
        console(stderr=True).print(note, style="dim")
    settings = replace(config, num_ids=loaded.tokenizer.vocab_size)
    engine = Engine(
        loaded.model,
        settings,
        vocabulary=token_table(loaded.tokenizer),
        draft=load_draft(draft, runtime.device, loaded.model.dtype),
    )
    limits = {"max_waiting": max_waiting, "max_waiting_tokens": max_waiting_tokens}
    return ChatModel(loaded, EngineThread(engine, **limits))


def keys_of(options: ServeOptions) -> str:
    """The keys that clients may send, separated by commas."""
    if options.api_key_file is None:
        return options.api_key
    try:
        lines = options.api_key_file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the keys in {options.api_key_file}: {error}") from None
    if not lines:
        raise UserError(f"there is no key in {options.api_key_file}; write one on each line")
    return ",".join([*lines, options.api_key])


def start_logging(*, as_json: bool = False) -> None:
    """One line per request on standard error; uvicorn speaks only of trouble."""
    from nanohydra.server.logs import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def open_browser(url: str) -> None:
    """Show the page, unless there is no screen: a text browser would take the terminal."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not screen:
        return
    # Some launchers wait for the browser to end.
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
