from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.core.config import changes, from_dict, keys, load_config, to_dict
from nanohydra.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Phase:
    until: float
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Train:
    lr: float = 0.02
    steps: int = 100
    schedule: Literal["cosine", "linear"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float | None = None
    phases: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str = "run"
    out: Path = Path("runs")
    resume: bool = False
    tasks: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: {"stories": 1.0, "facts": 2.0})
    device: int | Literal["auto"] = "auto"
    train: Train = Train(steps=7)
    second: Train | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    runs: Mapping[str, Train] = field(default_factory=lambda: {"base": Train(steps=9)})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A class that derives one value from another, as ModelConfig does."""

    width: int = 8
    hidden: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", self.hidden or 4 * self.width)


@dataclass(frozen=True, kw_only=True)
class Net:
    shape: Shape = field(default_factory=Shape)


def recipe(folder: Path, text: str) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def test_defaults_then_file_then_command_line(tmp_path: Path) -> None:
    path = recipe(tmp_path, 'name = "file"\n[train]\nlr = 0.5\nschedule = "linear"')
    run = load_config(Run, path, ["--train.lr=3e-4", "--out", "elsewhere"])
    assert run.name == "file"
    assert run.out == Path("elsewhere")
    assert run.train == Train(lr=3e-4, schedule="linear", steps=7)  # 7: the field's own default


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("--train.lr=.5", Run(train=Train(lr=0.5, steps=7))),
        ("--train.steps=1e6", Run(train=Train(steps=1_000_000))),
        ("--train.clip=1", Run(train=Train(steps=7, clip=1.0))),
        ("--train.clip=none", Run()),
        ("--train.betas=0.8,0.9", Run(train=Train(steps=7, betas=(0.8, 0.9)))),
        ("--train.betas=[0.8, 0.9]", Run(train=Train(steps=7, betas=(0.8, 0.9)))),
        ("--tasks=sums,facts", Run(tasks=("sums", "facts"))),
        ("--tasks=sums", Run(tasks=("sums",))),
        ("--tasks=", Run()),
        ("--name=12", Run(name="12")),
        ("--name=a=b", Run(name="a=b")),
        ('--name="a b"', Run(name="a b")),
        ('--name="a', Run(name='"a')),
        ('--device="auto"', Run()),
        ("--resume", Run(resume=True)),
        ("--resume=False", Run()),
        ("--device=3", Run(device=3)),
        ("--device=auto", Run()),
        ("--second.lr=1", Run(second=Train(lr=1.0))),
        ("--weights.facts=5", Run(weights={"stories": 1.0, "facts": 5.0})),
        ("--weights={facts = 5}", Run(weights={"facts": 5.0})),
    ],
)
def test_a_value_is_read_as_its_key_wants_it(override: str, expected: Run) -> None:
    assert load_config(Run, None, [override]) == expected


def test_a_table_of_the_file_replaces_the_default_one(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[weights]\nfacts = 5")
    assert load_config(Run, path).weights == {"facts": 5.0}
    assert load_config(Run, path, ["--weights.a=1"]).weights == {"facts": 5.0, "a": 1.0}


def test_a_derived_value_does_not_outlive_what_it_came_from() -> None:
    assert load_config(Net, None, ["--shape.width=2"]).shape == Shape(width=2, hidden=8)


def test_entries_of_a_table_of_tables(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[runs.a-b]\nlr = 1\nsteps = 3")
    overrides = ["--runs.a-b.lr=2", "--runs.c.steps=5"]
    made = load_config(Sweep, path, overrides).runs
    assert made == {"a-b": Train(lr=2.0, steps=3), "c": Train(steps=5)}
    assert load_config(Sweep, None, ["--runs.base.lr=2"]).runs == {"base": Train(lr=2.0, steps=9)}


def test_lists_of_tables(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[[train.phases]]\nuntil = 0.5\n[[train.phases]]\nuntil = 1")
    assert load_config(Run, path).train.phases == (Phase(until=0.5), Phase(until=1.0))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--train.lrr=1", "unknown key 'train.lrr' on the command line; did you mean 'train.lr'?"),
        ("--train.learning_rate=1", "did you mean 'train.lr'?"),
        ("--lr=1", "unknown key 'lr' on the command line; did you mean 'train.lr' or 'second.lr'?"),
        ("--train.zzz=1", "known: betas, clip, lr, phases, schedule, steps"),
        (
            "--train.steps=1.5",
            "'train.steps' is '1.5' on the command line; expected a whole number",
        ),
        ("--train.steps=inf", "expected a whole number"),
        ("--train.lr=fast", "'train.lr' is 'fast' on the command line; expected a number"),
        ("--train.schedule=cosin", "expected one of 'cosine', 'linear'"),
        ("--resume=maybe", "expected true or false"),
        ("--train.betas=1", "expected a list of 2"),
        ("--train.betas=1,x", "'train.betas[1]' is 'x' on the command line; expected a number"),
        ("--train.steps=5\nlr=1", "expected a whole number"),
        ("--train=1", "expected a table with the keys lr, steps,"),
        ("--train.clip=x", "expected a number or none"),
        ("--train.steps=0", "train: steps is 0; it must be at least 1 on the command line"),
        ("--train.phases=[{weights={}}]", "'train.phases[0].until' is missing"),
        ("train.lr=1", "cannot read 'train.lr=1' on the command line; write --key=value"),
    ],
)
def test_mistakes_on_the_command_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(Run, None, [override])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nlearning_rat = 1", "unknown key 'train.learning_rat' in {}; did you mean"),
        ("[train]\nsteps = 'many'", "'train.steps' is 'many' in {}; expected a whole number"),
        ("resume = 'true'", "'resume' is 'true' in {}; expected true or false"),
        ("[train]\nsteps = true", "'train.steps' is True in {}; expected a whole number"),
        ("name = 3", "'name' is 3 in {}; expected text"),
        ("tasks = 'sums'", "'tasks' is 'sums' in {}; expected a list"),
        ("name = ", "cannot read {}: Invalid value"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = recipe(tmp_path, text)
    with pytest.raises(UserError) as error:
        load_config(Run, path)
    assert message.format(path) in str(error.value)


def test_mistakes_name_the_place_they_were_made_in(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[train]\nsteps = 'many'")
    with pytest.raises(UserError, match="tiny.toml"):
        load_config(Run, path, ["--train.lr=1"])
    with pytest.raises(UserError, match="on the command line"):
        load_config(Run, path, ["--train.steps=few"])


def test_override_below_a_list_is_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, "tasks = ['sums']")
    with pytest.raises(UserError, match="'tasks' is not a table; set it whole: --tasks=VALUE"):
        load_config(Run, path, ["--tasks.0=facts"])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        load_config(Run, tmp_path / "none.toml")


def test_to_dict_is_plain_and_from_dict_inverts_it() -> None:
    run = Run(second=Train(phases=(Phase(until=1.0, weights={"a": 2.0}),)), tasks=("sums",))
    plain = to_dict(run)
    assert plain["out"] == "runs" and plain["second"]["phases"][0]["weights"] == {"a": 2.0}
    assert from_dict(Run, plain) == run


def test_changes_make_the_same_configuration_again() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Whole:
        name: str = "a"
        train: Train = Train()
        shares: Mapping[str, float] = field(default_factory=dict)

    assert changes(Whole()) == []
    config = Whole(
        name='say "b" = 1', train=Train(lr=1e-5, betas=(0.5, 0.25), schedule="linear", clip=1.0),
        shares={"x": 0.5},
    )  # fmt: skip
    words = changes(config)
    assert "--train.betas=[0.5, 0.25]" in words and len(words) == 6
    assert load_config(Whole, None, words) == config
    assert changes(Train(lr=0.5), "run.") == ["--run.lr=0.5"]


def test_from_dict_says_where() -> None:
    with pytest.raises(UserError, match="unknown key 'nam' in manifest.json; did you mean 'name'"):
        from_dict(Run, {"nam": 1}, "in manifest.json")


def test_keys_are_dotted_and_complete() -> None:
    assert {"name", "train", "train.lr", "second.steps"} <= set(keys(Run))


unquoted = st.text().filter(lambda text: text[:1] not in ("'", '"'))


@given(st.integers(), st.floats(allow_nan=False), unquoted)
def test_any_number_and_text_survives_the_command_line(steps: int, lr: float, name: str) -> None:
    overrides = [f"--train.steps={abs(steps) + 1}", f"--train.lr={lr!r}", f"--name={name}"]
    run = load_config(Run, None, overrides)
    assert run.train.steps == abs(steps) + 1 and run.name == name
    assert math.isclose(run.train.lr, lr) or run.train.lr == lr
