"""The learning of a server, from a POST to a plan: real store, bank, memory and learner."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nanohydra.adapters import attach_weights
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.data.notes import INTRODUCTION
from nanohydra.learn.consolidate import consolidate
from nanohydra.learn.gate import Gate
from nanohydra.learn.report import GateReport
from tests.learn.learning import DANA, PRINTER, World


def test_a_lesson_is_usable_from_memory_at_once_and_from_weights_later(world: World) -> None:
    answer = world.teach(PRINTER, work=False)
    assert answer["job"] and len(answer["lessons"]) == 1
    plan = world.plan("What is the printer called?")
    assert plan.adapter is None and plan.label == "base"
    assert plan.messages[0].role == "system"
    assert plan.messages[0].content.startswith(INTRODUCTION)
    assert [source["lesson"] for source in plan.sources] == answer["lessons"]
    assert plan.sources[0]["from"] == "memory"
    world.work()
    job = world.service.job(answer["job"])
    assert job["state"] == "live" and job["version"], job
    plan = world.plan("What is the printer called?")
    assert plan.adapter == job["version"] and plan.versions == (job["version"],)
    assert plan.adapter in world.host.resident
    assert plan.sources[0]["from"] == "weights"
    assert [m.content for m in plan.messages] == ["What is the printer called?"]
    listed = world.service.lessons()
    assert [(each["state"], each["version"]) for each in listed] == [("live", job["version"])]


def test_what_is_not_about_a_lesson_goes_to_the_base_unchanged(world: World) -> None:
    world.teach(PRINTER)
    for question in ("What is 12 times 12?", "Where does Lina live?", ""):
        plan = world.plan(question)
        assert (plan.adapter, plan.sources, plan.label) == (None, (), "base")
        assert [m.content for m in plan.messages] == [question]


def test_what_a_note_answers_better_is_answered_from_the_note(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: Any, **rest: Any) -> GateReport:
        report = gate_run(*words, **rest)
        return replace(
            report,
            lessons={lesson: 0.5 for lesson in report.lessons},
            remembered={lesson: share for lesson in report.lessons},
        )

    gate_run, share = Gate.run, 0.5
    monkeypatch.setattr(Gate, "run", run)
    world.teach(PRINTER)
    assert world.plan("What is the printer called?").versions  # as good: the weights
    share = 0.75
    world.teach(DANA)
    plan = world.plan("What does Dana Brook play?")
    assert not plan.versions and plan.sources[0]["from"] == "memory"
    assert world.plan("What does Dana Brook play?", memory="off").versions  # better than nothing
    assert world.plan("What is the printer called?").versions


def test_models_by_name(world: World) -> None:
    version = world.service.job(world.teach(PRINTER)["job"])["version"]
    asked = "What is the printer called?"
    for name in ("auto", "fake", "default"):
        assert world.plan(asked, model=name).adapter == version
    assert world.plan(asked, model="base", memory="off").adapter is None
    forced = world.plan("What is 1 + 1?", model=f"default@{version[:6]}")
    assert forced.adapter == version
    for name in ("defualt", "default@ffffffffffffffff"):
        with pytest.raises(UserError, match=r"unknown model|there is no version"):
            world.plan(asked, model=name)


def test_memory_off_leaves_the_weights_alone(world: World) -> None:
    world.teach(PRINTER, work=False)
    plan = world.plan("What is the printer called?", memory="off")
    assert (plan.adapter, plan.sources) == (None, ())


def test_owners_do_not_see_each_other(world: World) -> None:
    world.teach(PRINTER)
    messages = [Message(role="user", content="What is the printer called?")]
    other = world.service.of("someone-else")
    plan = asyncio.run(other.plan(messages, model="auto", memory="auto"))
    assert (plan.adapter, plan.sources) == (None, ())
    assert other.lessons() == []


def test_conflicts_are_asked_about_and_resolved(world: World) -> None:
    first = world.teach(PRINTER)
    other = {"kind": "fact", "text": "The printer on our floor is called Robin."}
    asked = world.teach(other, work=False)
    assert asked["job"] is None and asked["lessons"] == []
    assert asked["conflicts"][0]["earlier"]["id"] == first["lessons"][0]
    rejected = world.teach(other, resolve="reject", work=False)
    assert rejected["lessons"] == []
    replaced = world.teach(other, resolve="replace")
    assert len(replaced["lessons"]) == 1
    texts = [each["text"] for each in world.service.lessons()]
    assert texts == [other["text"]]
    plan = world.plan("What is the printer called?")
    assert [lesson["id"] for lesson in plan.lessons] == replaced["lessons"]


def test_a_deleted_lesson_is_gone_everywhere(world: World) -> None:
    taught = world.teach(PRINTER, DANA)
    version = world.service.job(taught["job"])["version"]
    world.service.delete_lesson(taught["lessons"][0])
    assert world.plan("What is the printer called?").sources == ()
    assert world.plan("What does Dana Brook play?").sources[0]["from"] == "memory"
    assert version not in [each["version"] for each in world.service.adapters()]
    world.work()
    plan = world.plan("What does Dana Brook play?")
    assert plan.adapter not in (None, version)
    files = [p.read_bytes() for p in world.home.rglob("*") if p.is_file()]
    assert not any(b"Heron" in content for content in files)


def test_rollback_and_switch(world: World) -> None:
    one = world.service.job(world.teach(PRINTER)["job"])["version"]
    two = world.service.job(world.teach(DANA)["job"])["version"]
    assert world.service.aliases()[0]["versions"] == [two, one]
    rolled = asyncio.run(world.service.rollback("default"))
    assert rolled["versions"] == [one]
    assert world.plan("What does Dana Brook play?", memory="off").adapter is None
    assert world.plan("What does Dana Brook play?").sources[0]["from"] == "memory"
    switched = asyncio.run(world.service.switch("default", [two]))
    assert switched["versions"] == [two]
    assert world.plan("What does Dana Brook play?").adapter == two


def test_consolidation_puts_one_version_in_the_place_of_many(world: World) -> None:
    world.teach(PRINTER)
    store, bank = world.service.store, world.service.bank
    with pytest.raises(UserError, match="nothing to put together"):
        consolidate("default", store=store, bank=bank)
    world.teach(DANA)
    before = bank.alias("default").versions
    job = consolidate("default", store=store, bank=bank)
    world.work()
    state = world.service.job(job)
    assert state["state"] == "live", state
    assert bank.alias("default").versions == (state["version"],)
    for question in ("What is the printer called?", "What does Dana Brook play?"):
        assert world.plan(question, memory="off").adapter == state["version"]
    asyncio.run(world.service.rollback("default"))
    assert bank.alias("default").versions == before


@pytest.mark.filterwarnings("default::FutureWarning", "default::DeprecationWarning")
def test_a_taught_adapter_gives_the_same_logits_in_peft(
    world: World, loaded: Loaded, model_folder: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their imports
        peft = pytest.importorskip("peft")
        transformers = pytest.importorskip("transformers")
    world.teach(PRINTER)
    bank = world.service.bank
    (version,) = bank.alias("default").versions
    base = transformers.AutoModelForCausalLM.from_pretrained(model_folder).eval()
    theirs = peft.PeftModel.from_pretrained(base, str(bank.path(version)))
    ids = torch.randint(90, (2, 23), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = loaded.model(ids)
        attached = attach_weights(loaded.model, bank.load(version))
        ours = loaded.model(ids)
        attached.detach()
        assert (ours - before).abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-4, rtol=0)


def test_the_dashboard_shows_what_was_measured(world: World) -> None:
    one = world.service.job(world.teach(PRINTER)["job"])["version"]
    two = world.service.job(world.teach(DANA)["job"])["version"]
    shown = world.service.dashboard()
    assert [entry["version"] for entry in shown["timeline"]] == [two, one]
    assert shown["versions"] == [one, two]
    assert [len(row) for row in shown["matrix"]] == [2, 2]
    assert shown["matrix"][0][1] is None  # not evaluated is null, never 0
    assert [isinstance(shown["matrix"][i][i], float) for i in (0, 1)] == [True, True]
    assert {each["version"] for each in shown["library"]} == {one, two}
    assert all(each["text"] for each in shown["ledger"])


def test_files_become_lessons(world: World) -> None:
    assert world.service.upload("a.txt", b"Some text.")[0]["kind"] == "document"
    lines = b'{"text": "A is B."}\n\n{"question": "Who?", "answer": "Me."}\n"C is D."\n'
    assert [each["kind"] for each in world.service.upload("b.jsonl", lines)] == [
        "fact", "qa", "fact",
    ]  # fmt: skip
    with pytest.raises(UserError, match="line 1"):
        world.service.upload("c.jsonl", b"{no json}\n")


def test_lessons_that_could_not_be_remembered_can_be_taught_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(sources: object) -> None:
        raise UserError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.service.memory, "add_all", full)
        with pytest.raises(UserError, match="the disk is full"):
            world.teach(PRINTER, DANA, work=False)
    assert world.service.lessons() == [] and world.service.jobs() == []
    answer = world.teach(PRINTER, work=False)
    assert answer["job"] and not answer["warnings"]
    assert world.plan("What is the printer called?").sources
