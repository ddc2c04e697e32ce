"""What every task of the table keeps, a newcomer's too."""

from __future__ import annotations

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tasks import TASKS, Task, final_text, load_task
from nanohydra.tasks.judge import says

# The passage, or the chat before, holds the answer on purpose.
ANSWER_IN_PROMPT = ("reading", "taught", "notes")
COUNT = 200


@pytest.fixture(params=list(TASKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def task(name: str) -> Task:
    return load_task(name)


def test_gold_scores_one_on_both_splits(task: Task) -> None:
    for split in ("train", "test"):
        for seed in range(3):
            for example in task.load(split, seed=seed, count=COUNT):
                gold = task.gold(example)
                assert task.score_reply(example, gold) == 1.0, (example, gold)


def test_wrong_replies_score_zero(task: Task) -> None:
    for example in task.load("test", count=COUNT):
        wrong = task.wrong(example)
        assert final_text(wrong), "a wrong reply is fluent"
        assert task.score_reply(example, wrong) == 0.0, (example, wrong)


def test_no_reply_scores_zero(task: Task) -> None:
    for example in task.load("test", count=20):
        for reply in ([], [Message(role="assistant")], [Message(role="assistant", content=" . ")]):
            assert task.score_reply(example, reply) == 0.0


def test_the_answer_to_another_question_scores_zero(name: str, task: Task) -> None:
    examples = task.load("test", count=COUNT)
    pairs = zip(examples, examples[1:] + examples[:1], strict=True)
    different = [(a, b) for a, b in pairs if a.answer != b.answer]
    if name.startswith("abstain"):
        pytest.skip("whether it abstains is asked, not what it answers")
    confused = sum(task.score_reply(a, task.gold(b)) for a, b in different)
    # The other answer's sentence may hold the right name by chance.
    assert confused <= 0.02 * len(different)


def test_the_prompt_does_not_give_the_answer_away(name: str, task: Task) -> None:
    if name in ANSWER_IN_PROMPT:
        pytest.skip("the answer is to be found in the prompt")
    examples = task.load("test", count=COUNT)
    told = [e for e in examples if any(says(m.content, [e.answer]) for m in task.prompt(e))]
    # Arithmetic may by chance give back an operand, as in 100 / 10.
    assert len(told) <= (0.1 * len(examples) if name == "arithmetic" else 0), told


def test_the_prompt_ends_with_the_user(task: Task) -> None:
    assert all(task.prompt(e)[-1].role == "user" for e in task.load("test", count=50))


def test_loading_is_deterministic_and_seeded(task: Task) -> None:
    first = load_task_examples(task, seed=1)
    assert first == load_task_examples(task, seed=1)
    assert first != load_task_examples(task, seed=2)


def test_train_and_test_share_no_prompt(task: Task) -> None:
    prompts = [
        {task.prompt(e) for e in task.load(split, seed=seed, count=400)}
        for split in ("train", "test")
        for seed in (0, 1)
    ]
    assert not (prompts[0] | prompts[1]) & (prompts[2] | prompts[3])


def test_examples_are_distinct(task: Task) -> None:
    prompts = [task.prompt(e) for e in task.load("test", count=COUNT)]
    assert len(prompts) == COUNT == len(set(prompts))


def test_it_says_its_version_and_its_metric(task: Task) -> None:
    assert task.version >= 1
    assert task.metric.endswith("_accuracy")


def test_metrics_are_distinct() -> None:
    metrics = [load_task(name).metric for name in TASKS]
    assert len(set(metrics)) == len(metrics)


def test_an_unknown_task_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean 'reading'"):
        load_task("readin")


def load_task_examples(task: Task, seed: int) -> list[tuple[object, str]]:
    return [(task.prompt(e), e.answer) for e in task.load("test", seed=seed, count=50)]
