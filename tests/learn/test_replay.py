from __future__ import annotations

from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.replay import choose_replay, general_questions
from nanohydra.learn.study import study


def test_replay_prefers_what_is_near_and_leaves_nobody_out() -> None:
    old = lessons_of(
        ["Mara lives in Lisbon.", "The museum opens at nine.", "Pim plays the flute.",
         "The fence is green."]
    )  # fmt: skip
    new = study(lessons_of(["Tom lives in Lisbon's old town."]), seed=0)
    earlier = study(old, seed=0).items
    chosen = choose_replay(earlier, new.items, count=24, seed=1)
    assert len(chosen) == 24 == len(set(chosen))
    assert {item.split for item in chosen} == {"train"}
    share = [sum(item.lesson_id == lesson.id for item in chosen) for lesson in old]
    assert share[0] == max(share) and min(share) >= 3
    assert chosen == choose_replay(earlier, new.items, count=24, seed=1)
    assert choose_replay((), new.items, count=5, seed=1) == ()


def test_general_questions_are_many_and_split() -> None:
    train, test = general_questions("train"), general_questions("test")
    assert len(train) > 100 and len(test) > 35
    assert len({*train, *test}) == len(train) + len(test)
