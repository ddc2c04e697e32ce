"""Opens the learning of a served model: its home, its memory, its router, and its learner."""

from __future__ import annotations

import threading
from pathlib import Path

from nanohydra.adapters.bank import Bank
from nanohydra.adapters.base import base_hash
from nanohydra.checkpoint import Loaded
from nanohydra.core.config import changes
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.curate import warm
from nanohydra.learn.home import Home
from nanohydra.learn.planner import AdapterHost, Planner
from nanohydra.learn.process import LearnerProcess
from nanohydra.learn.router import Router, RouterConfig
from nanohydra.learn.service import LearningService
from nanohydra.learn.store import LearningStore
from nanohydra.learn.study.words import common_words
from nanohydra.memory import Memory, load_embedder


def open_learning(
    home: Path,
    model: Path,
    loaded: Loaded,
    host: AdapterHost,
    *,
    name: str,
    embedder: str = "auto",
    learner: bool = True,
    config: LearnConfig | None = None,
    router: RouterConfig | None = None,
) -> LearningService:
    """The learning of a model that runs on `host`.

    name: what the model is served as. embedder: see `nanohydra.memory.load_embedder`. learner:
    whether to start its process, which learns by `config`. Raises UserError for damaged files.
    """
    files = Home(home)
    # The first lesson would otherwise wait two seconds for the evaluation questions.
    threading.Thread(target=warm, name="curate", daemon=True).start()
    encoder = load_embedder(embedder)
    store = LearningStore(files.database)
    memory = Memory(files.database, encoder)
    bank = Bank(files.bank)
    planner = Planner(
        store=store,
        bank=bank,
        memory=memory,
        router=Router(
            encoder.encode,
            common=common_words(),
            config=router,
            shelf=store,
            embedder=encoder.name,
        ),
        host=host,
        base=base_hash(loaded.model),
        name=name,
        system=loaded.tokenizer.chat.takes_system,
    )
    options = changes(config or LearnConfig(), "learn.")
    process = LearnerProcess(home, model, options) if learner else None
    return LearningService(
        store=store,
        bank=bank,
        memory=memory,
        planner=planner,
        config=loaded.config,
        markers=loaded.tokenizer.chat.markers,
        stop=process.close if process is not None else lambda: None,
        watch=learner,
    )
