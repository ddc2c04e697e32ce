"""Tasks are asked through a function and judged; nothing here generates."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.data.primer import Split
from nanohydra.eval import EvalConfig, TaskResult, run_task, run_tasks, wilson
from nanohydra.tasks import TASKS, Example, Task, load_task, say

Conversation = tuple[Message, ...]


class Capitals(Task):
    """Ten questions; a reply that is the answer is right."""

    metric = "capitals_accuracy"

    def load(self, split: Split, *, seed: int = 0, count: int | None = None) -> list[Example]:
        examples = [
            Example(
                prompt=(Message(role="user", content=f"{split} {seed} {index}?"),),
                answer=str(index),
                meta={"kind": "odd" if index % 2 else "even"},
            )
            for index in range(10)
        ]
        return examples[:count]

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        return float(text == example.answer)

    def gold(self, example: Example) -> Conversation:
        return say(example.answer)

    def wrong(self, example: Example) -> Conversation:
        return say("no")


def echo_below_seven(conversations: list[Conversation]) -> list[list[Message]]:
    """Answers right up to question 6, then says nothing at all."""
    replies = []
    for conversation in conversations:
        number = conversation[-1].content.split()[-1].rstrip("?")
        replies.append(list(say(number)) if int(number) < 7 else [])
    return replies


def test_shares_intervals_kinds_and_samples() -> None:
    config = EvalConfig(count=0, counts={}, samples=3, seed=4)
    result = run_task("capitals", Capitals(), echo_below_seven, config)
    assert (result.num_examples, result.accuracy) == (10, 0.7)
    assert result.interval == wilson(7, 10)
    assert (result.metric, result.split, result.seed) == ("capitals_accuracy", "test", 4)
    assert {k: (c.right, c.asked) for k, c in result.by_kind.items()} == {
        "even": (4.0, 5),
        "odd": (3.0, 5),
    }
    assert [s.expected for s in result.bad] == ["7", "8", "9"]
    assert [s.expected for s in result.good] == ["0", "2", "4"], "spread over all right ones"
    assert result.bad[0].reply == () and result.bad[0].score == 0.0
    assert result.good[0].prompt[0].content == "test 4 0?"


def test_counts_are_per_task() -> None:
    asked: list[int] = []

    def answer(conversations: list[Conversation]) -> list[list[Message]]:
        asked.append(len(conversations))
        return [[] for _ in conversations]

    config = EvalConfig(count=3, counts={"all": 0, "two": 2})
    run_tasks({"some": Capitals(), "all": Capitals(), "two": Capitals()}, answer, config)
    assert asked == [3, 10, 2]


def test_each_result_is_heard_as_it_comes() -> None:
    heard: list[str] = []

    def hear(result: TaskResult) -> None:
        heard.append(result.name)

    results = run_tasks(
        {"a": Capitals(), "b": Capitals()}, echo_below_seven, EvalConfig(counts={}), hear
    )
    assert heard == list(results) == ["a", "b"]


@pytest.mark.parametrize("name", list(TASKS))
def test_a_model_that_knows_the_gold_replies_scores_all(name: str) -> None:
    task = load_task(name)
    config = EvalConfig(count=40, counts={})
    gold = {task.prompt(e): list(task.gold(e)) for e in task.load("test", seed=0, count=40)}
    result = run_task(name, task, lambda asked: [gold[prompt] for prompt in asked], config)
    assert result.accuracy == 1.0
    assert not result.bad and len(result.good) == config.samples


def test_the_config_refuses_what_cannot_be() -> None:
    for wrong in ({"count": -1}, {"row_length": 0}, {"stride": 300}, {"max_tokens": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            EvalConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="split 'tset'"):
        EvalConfig(split="tset")  # type: ignore[arg-type]
