"""What goes live is read before a request has to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from nanohydra.learn.watch import Watch
from nanohydra.testing import wait_for
from tests.learn.learning import DANA, PRINTER, World


@pytest.fixture
def encoded(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which thread embedded how many texts for the router."""
    found: list[tuple[str, int]] = []
    router = world.service.planner.router
    encode = router.encode

    def watched(texts: Sequence[str]) -> Any:
        found.append((threading.current_thread().name, len(texts)))
        return encode(texts)

    monkeypatch.setattr(router, "encode", watched)
    return found


def test_a_request_finds_what_was_prepared(world: World, encoded: list[tuple[str, int]]) -> None:
    world.teach(PRINTER)
    planner = world.service.planner
    planner.prepare()
    assert [count > 1 for _, count in encoded] == [True]
    assert world.plan("What is the printer called?").versions
    assert encoded[1:] == [(encoded[1][0], 1)]  # the question alone
    before = planner._live
    planner.prepare()
    assert planner._live is before and len(encoded) == 2
    world.teach(DANA)
    planner.prepare()
    assert world.plan("What does Dana Brook play?").versions
    assert len(encoded) == 4  # Dana's texts and the question


def test_unprepared_it_is_found_as_well(world: World, encoded: list[tuple[str, int]]) -> None:
    world.teach(PRINTER)
    assert world.plan("What is the printer called?").versions
    assert len(encoded) == 2


def test_a_watch_prepares_by_itself_and_survives_what_fails(
    world: World, encoded: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = world.service.planner
    prepare, failed = planner.prepare, threading.Event()

    def fail_once() -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("locked")
        prepare()

    monkeypatch.setattr(planner, "prepare", fail_once)
    watch = Watch(world.service._last_event, world.service._planners, every=0.01)
    try:
        world.teach(PRINTER)
        wait_for(lambda: bool(planner._live.lessons))
    finally:
        watch.close()
    assert failed.is_set()
    assert {name for name, _ in encoded} == {"router-watch"}
    assert not watch._thread.is_alive()
    world.service.of("ana")
    assert len(world.service._planners()) == 2
