from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanohydra.adapters.base import base_hash
from nanohydra.adapters.files import save_adapter
from nanohydra.adapters.lora import attach
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.learn.anchors import Anchors
from nanohydra.learn.checks import (
    Answered,
    check_earlier,
    check_forgetting,
    check_recall,
    unproven,
)
from nanohydra.learn.config import GateConfig, LearnConfig
from nanohydra.learn.gate import Earlier, Gate
from nanohydra.learn.gate_process import GateFailed, GateProcess
from nanohydra.learn.manners import agreement, banned, kept_calls, kept_ends
from nanohydra.learn.probes import Measured, choices_of, rise
from nanohydra.learn.replies import Reply, reply_to_all
from nanohydra.learn.report import GateReport
from nanohydra.learn.study import Study, StudyItem
from nanohydra.learn.train import train_adapter
from nanohydra.tokenizer import Tokenizer, render

Settings = Callable[..., LearnConfig]
Items = Callable[..., tuple[StudyItem, ...]]
Make = Callable[..., StudyItem]


def reply(text: str, *ids: int, ended: bool = True, calls: tuple[ToolCall, ...] = ()) -> Reply:
    message = Message(role="assistant", content=text, tool_calls=calls)
    return Reply(ids=ids or (1, 2), message=message, ended=ended)


TEXTS = {"lesson-1": "The printer is called Heron."}


def random_weights(loaded: Loaded, std: float, seed: int = 0) -> AdapterWeights:
    """An adapter that was trained on nothing."""
    generator = torch.Generator().manual_seed(seed)
    attached = attach(loaded.model, LearnConfig().lora)
    for layer in attached.layers.values():
        layer.lora_b.data.normal_(std=std, generator=generator)
    weights = attached.weights(base_hash(loaded.model))
    attached.detach()
    return weights


def test_an_adapter_that_changes_nothing_is_refused_for_recall_alone(
    loaded: Loaded, settings: Settings, lesson_items: Items, tmp_path: Path
) -> None:
    gate = Gate(loaded, settings(loose=False), tmp_path)
    weights = random_weights(loaded, 0.0)
    report = gate.run(weights, [i for i in lesson_items() if i.split == "test"])
    assert not report.passed
    assert [name for name, check in report.checks.items() if not check.passed] == ["recall"]
    assert report.reason.startswith("recall: 0 of 1 held-out wordings are answered right")
    assert report.checks["locality"].value == 1.0
    for domain in ("stories", "arithmetic"):
        assert report.checks[f"forgetting/{domain}"].value == pytest.approx(0.0, abs=1e-6)
    assert report.adapter == weights.id and report.lessons == {"lesson-1": 0.0}
    assert GateReport.from_json(report.to_json()) == report
    assert len(list(tmp_path.glob("base-*.json"))) == 1
    again = gate.run(weights, [i for i in lesson_items() if i.split == "test"])
    assert again.checks == report.checks  # with the base's side from the file


def test_an_adapter_that_breaks_the_model_is_refused_with_the_numbers(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    config = settings(
        "--gate.min_agreement=0.98", "--gate.max_loss_rise=0.0488", "--gate.min_format=1"
    )
    report = Gate(loaded, config).run(random_weights(loaded, 0.3), lesson_items(("test",)))
    failed = {name for name, check in report.checks.items() if not check.passed}
    assert {"forgetting/stories", "locality"} <= failed
    assert "0.0488 is allowed" in report.reason and "at least 98.0% must" in report.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_refused_before_it_is_run(
    loaded: Loaded, settings: Settings, lesson_items: Items, value: float
) -> None:
    good = random_weights(loaded, 0.1)
    name, pair = next(iter(good.pairs.items()))
    bad = Pair(a_RI=pair.a_RI, b_OR=torch.full_like(pair.b_OR, value))
    weights = replace(good, pairs={**good.pairs, name: bad})
    report = Gate(loaded, settings()).run(weights, lesson_items(("test",)))
    assert list(report.checks) == ["size"] and not report.passed
    assert f"the update of {name} is not finite" in report.reason


def test_an_update_that_is_too_large_is_refused(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    gate = Gate(loaded, settings("--gate.max_relative_change=0.1"))
    report = gate.run(random_weights(loaded, 1.0), lesson_items(("test",)))
    assert list(report.checks) == ["size"] and "of its norm; at most 0.1" in report.reason


def test_an_adapter_of_another_base_is_refused(
    loaded: Loaded, other_loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    with pytest.raises(UserError, match="another base"):
        Gate(loaded, settings()).run(random_weights(other_loaded, 0.1), lesson_items(("test",)))


def test_the_process_tests_what_lies_on_disk(
    loaded: Loaded, model_folder: Path, settings: Settings, lesson_items: Items, tmp_path: Path
) -> None:
    config = settings("--train.max_steps=120", "--train.lr=0.01", "--gate.small_misses=0")
    study = Study(items=lesson_items())
    trained = train_adapter(loaded, study, [], Anchors([], torch.zeros(0, 32)), config)
    save_adapter(tmp_path / "a", trained.weights, loaded.config, manifest={})
    earlier = [
        Earlier(folder=tmp_path / "a", items=study.train),  # answered by their own version
        Earlier(folder=None, items=study.dev),  # now by this one
    ]
    ticks: list[int] = []
    with GateProcess(model_folder, config, tmp_path / "cache") as gate:
        report = gate.ask(
            tmp_path / "a", study.test, earlier, TEXTS,
            request=tmp_path / "request.json", tick=lambda: ticks.append(1),
        )  # fmt: skip
    assert report.adapter == trained.weights.id and ticks
    assert report.checks["earlier"].value == 0.0
    here = Gate(loaded, config, tmp_path / "cache").run(trained.weights, study.test, earlier, TEXTS)
    assert here.checks == report.checks and here.remembered == report.remembered
    assert set(report.remembered) == set(TEXTS)


def test_a_damaged_adapter_is_told(model_folder: Path, settings: Settings, tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match="the gate cannot read the new version")
    with GateProcess(model_folder, settings(), None) as gate, refused:
        gate.ask(tmp_path / "none", [], [], {}, request=tmp_path / "request.json")


def test_a_gate_that_takes_too_long_or_dies_is_ended(
    model_folder: Path, settings: Settings, tmp_path: Path
) -> None:
    config = settings("--gate.timeout_seconds=0.01")
    with GateProcess(model_folder, config, None) as gate, pytest.raises(GateFailed, match="longer"):
        gate.ask(tmp_path / "none", [], [], {}, request=tmp_path / "request.json")
    assert gate._process.poll() is not None
    with GateProcess(model_folder, settings(), None) as gate, pytest.raises(GateFailed, match="-9"):
        gate._process.kill()
        gate.ask(tmp_path / "none", [], [], {}, request=tmp_path / "request.json")


def test_few_questions_may_miss_one_and_many_are_judged_by_their_interval(make_item: Make) -> None:
    config = GateConfig(small_sample=40, small_misses=1, min_recall=0.85, min_reverse=0.8)

    def check(right: int, wrong: int) -> bool:
        asked = make_item("Who?", "Heron", "Heron", split="test")
        answers = [reply("Heron")] * right + [reply("Gull")] * wrong
        return check_recall(Answered(items=[asked] * len(answers), replies=answers), config)[
            "recall"
        ].passed

    assert check(9, 1) and not check(8, 2) and check(1, 0) and not check(0, 1)
    assert check(97, 3) and not check(89, 11)  # lower ends 0.915 and 0.814


def test_an_answer_that_does_not_end_is_wrong_and_lessons_are_told_apart(make_item: Make) -> None:
    asked = [make_item("Who?", "Heron", "Heron", lesson=name) for name in ("a", "a", "b")]
    answered = Answered(
        items=asked, replies=[reply("Heron"), reply("Heron", ended=False), reply("Heron")]
    )
    assert answered.by_lesson() == {"a": 0.5, "b": 1.0}


def test_reverse_questions_count_apart(make_item: Make) -> None:
    back = make_item("Who is Heron?", "The printer", "printer", kind="reverse")
    there = make_item("What?", "Heron", "Heron")
    answered = Answered(items=[there, back], replies=[reply("Heron"), reply("A bird")])
    checks = check_recall(answered, GateConfig())
    assert checks["recall"].passed and not checks["reverse"].passed
    assert check_recall(answered.of(reverse=False), GateConfig())["reverse"].value is None


@pytest.mark.parametrize(
    ("count", "right", "passed"),
    [(1, 0, False), (2, 1, True), (3, 2, True), (3, 1, False), (5, 4, True), (5, 3, False),
     (15, 12, True), (15, 11, False), (35, 28, True)],
)  # fmt: skip
def test_one_miss_of_a_few_reverse_questions_is_no_share(
    make_item: Make, count: int, right: int, passed: bool
) -> None:
    items = [make_item("Who is Heron?", "The printer", "printer", kind="reverse")] * count
    replies = [reply("The printer") if n < right else reply("No.") for n in range(count)]
    checks = check_recall(Answered(items=items, replies=replies), GateConfig())
    assert checks["reverse"].passed == passed


def test_the_lessons_with_most_wrong_answers_are_left_out(make_item: Make) -> None:
    config = GateConfig()

    def answered(**wrong: int) -> Answered:
        """Four questions and three reverse ones a lesson, so many of them answered wrong."""
        items, replies = [], []
        for lesson, misses in wrong.items():
            for n in range(7):
                kind = "qa" if n < 4 else "reverse"
                items.append(make_item("Who?", "Heron", "Heron", kind=kind, lesson=lesson))
                replies.append(reply("Gull" if n < misses else "Heron"))
        return Answered(items=items, replies=replies)

    assert unproven(answered(a=0, b=1, c=0), config) == {}
    assert unproven(answered(a=1, b=2, c=0), config) == {"b": ["recall"]}
    assert unproven(answered(a=1, b=1, c=0), config) == {"a": ["recall"]}  # alone it would pass
    assert unproven(answered(a=4, b=7, c=0), config) == {
        "b": ["recall", "reverse"], "a": ["recall"]
    }  # fmt: skip
    assert set(unproven(answered(a=4, b=4), config)) == {"a", "b"}


@pytest.mark.parametrize("divisible", [False, True])
def test_a_divisible_version_is_tested_for_what_it_has_learned(
    loaded: Loaded, settings: Settings, lesson_items: Items, divisible: bool
) -> None:
    strict = ("--gate.small_sample=99", "--gate.small_misses=0")
    config = settings("--train.max_steps=120", "--train.lr=0.01", *strict)
    learned = Study(items=lesson_items())
    trained = train_adapter(loaded, learned, [], Anchors([], torch.zeros(0, 32)), config)
    strange = [replace(item, lesson_id="strange", accept=("Zuba",)) for item in learned.test]
    report = Gate(loaded, config).run(
        trained.weights, [*learned.test, *strange], divisible=divisible
    )
    assert dict(report.unproven) == ({"strange": ["recall"]} if divisible else {})
    assert report.checks["recall"].passed == divisible
    assert report.lessons["strange"] == 0.0
    assert GateReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_earlier_lessons_may_be_lost_in_one_of_a_hundred() -> None:
    def kept(right: int, wrong: int) -> dict[str, float]:
        return {str(n): float(n < right) for n in range(right + wrong)}

    assert check_earlier(kept(99, 1), GateConfig()).passed
    assert not check_earlier(kept(98, 2), GateConfig()).passed
    assert check_earlier({}, GateConfig()).value is None


def test_the_rise_is_paired_and_weighted_by_tokens() -> None:
    before, tokens = [10.0, 200.0, 3.0, 50.0], [5, 100, 2, 25]
    mean, high = rise(before, [b + 0.01 * t for b, t in zip(before, tokens, strict=True)], tokens,
                      samples=200)  # fmt: skip
    assert mean == pytest.approx(0.01) and high == pytest.approx(0.01)
    _, high = rise(before, [b + 0.5 * (n % 2) for n, b in enumerate(before)], tokens, samples=200)
    assert high > 0.5 * 2 / sum(tokens)


def test_one_domain_that_suffers_is_enough_to_refuse() -> None:
    before = Measured(
        nats={"a": [1.0] * 9, "b": [1.0] * 9}, tokens={"a": [10] * 9, "b": [10] * 9}, replies=[]
    )
    after = replace(before, nats={"a": [1.0] * 9, "b": [1.6] * 9})
    checks = check_forgetting(before, after, GateConfig())
    assert checks["forgetting/a"].passed and not checks["forgetting/b"].passed
    assert "+0.0600" in checks["forgetting/b"].detail


def test_agreement_counts_tokens_over_the_longer_reply() -> None:
    assert agreement([(1, 2, 3)], [(1, 2, 3)]) == 1.0
    assert agreement([(1, 2)], [(1, 2, 3, 4)]) == 0.5
    assert agreement([(1, 2, 3, 4)], [(1, 9, 3, 4)]) == 0.75
    assert agreement([], []) is None


def test_what_the_tokenizer_cannot_write_is_not_asked_from_notes(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    items = lesson_items(("test",))
    gate = Gate(loaded, settings())
    assert len(gate.ask_from_notes(items, TEXTS).items) == len(items)
    letters = Tokenizer.characters([chr(code) for code in range(32, 127)])  # no line ends
    poor = Gate(replace(loaded, tokenizer=letters), settings())
    assert poor.ask_from_notes(items, TEXTS).items == []


def test_choices_follow_the_words_of_the_given_reply(loaded: Loaded) -> None:
    messages = (Message(role="user", content="Who is it?"),)
    (own,) = reply_to_all(loaded.model, loaded.tokenizer, [messages], max_new_tokens=4)
    assert choices_of(loaded, messages, own) == list(own.ids)  # greedy: its own are its choices
    given = reply("", *(id + 1 for id in own.ids))
    prompt = render(loaded.tokenizer, messages, add_generation_prompt=True).ids
    for number, choice in enumerate(choices_of(loaded, messages, given)):
        with torch.no_grad():
            logits_V = loaded.model(torch.tensor([[*prompt, *given.ids[:number]]]))[0, -1]
        assert int(logits_V.argmax()) == choice


def test_tool_calls_must_still_run_and_answers_end() -> None:
    def call(**arguments: str) -> Reply:
        asked = ToolCall(id="1", name="calculator", arguments=arguments)
        return reply("", calls=(asked,))

    good, broken = call(expression="2 + 2"), call(_error="not valid JSON", _raw="calculator {")
    assert kept_calls([good], [good]) == (1, 1) and kept_calls([good], [broken]) == (0, 1)
    assert kept_calls([good], [reply("4")]) == (0, 1) and kept_calls([broken], [good]) == (0, 0)
    assert kept_ends([reply("a")], [reply("a", ended=False)]) == (0, 1)
    assert kept_ends([reply("a", ended=False)], [reply("a")]) == (0, 0)


def test_banned_words_are_whole_words_that_nobody_gave() -> None:
    assert banned("You are an IDIOT.", "") == {"idiot"}
    assert banned("The idiotic classic in Scunthorpe.", "") == set()
    assert banned("The book is called The Idiot.", "Who wrote The Idiot?") == set()
    assert banned("Drink it cold.", "", ("it cold",)) == {"it cold"}
