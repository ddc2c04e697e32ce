from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from nanohydra import recipe as module
from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.errors import UserError
from nanohydra.data.primer import DOMAINS
from nanohydra.data.sources import SOURCES
from nanohydra.model.config import ModelConfig
from nanohydra.model.plan import DEVICES, count, training_bytes, training_seconds
from nanohydra.recipe import Recipe, find_recipe, load_recipe, recipe_names

SIZES = {  # parameters in millions that the name or the first line of the recipe promises
    "tiny": (1, 5),
    "tinystories": (7, 9),
    "shakespeare": (1, 5),
    "small": (50, 53),
    "continual_labels": (1, 5),
    "continual_months": (1, 5),
    "continual_quick": (0.3, 1),
    "continual_three_tasks": (1, 5),
    "base-124m": (123, 125),
    "base-560m": (555, 565),
    "base-1b": (950, 1050),
}


def test_all_recipes_are_listed() -> None:
    assert recipe_names() == sorted(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_recipe_loads_and_is_what_its_name_says(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    least, most = SIZES[name]
    assert least <= count(recipe.model, 1).parameters / 1e6 <= most
    assert recipe.pretrain.num_steps > 0
    assert recipe.sft is None or recipe.sft.num_steps > 0


@pytest.mark.parametrize("name", SIZES)
def test_recipe_fits_the_device_that_it_is_for(name: str) -> None:
    recipe = load_recipe(name)
    device = DEVICES["cpu" if SIZES[name][1] < 10 else "h100"]
    for train in filter(None, (recipe.pretrain, recipe.sft)):
        rows = train.micro_rows or train.rows_per_step
        assert training_bytes(recipe.model, rows * train.row_length) < device.memory
        tokens = train.num_steps * train.tokens_per_step
        seconds = training_seconds(recipe.model, tokens, train.row_length, device)
        assert 0 < seconds < 30 * 86400


@pytest.mark.parametrize("name", SIZES)
def test_recipe_reads_known_sources_in_each_stage_it_has(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.data.pretrain.sources
    assert bool(recipe.data.sft.sources) == (recipe.sft is not None)
    for corpus in (recipe.data.pretrain, recipe.data.sft):
        for source in [*corpus.sources.values(), *corpus.heldout.values()]:
            assert source.kind == "auto" or source.kind in SOURCES
            if source.kind == "primer":
                assert source.counts and set(source.counts) <= set(DOMAINS)


@pytest.mark.parametrize("name", SIZES)
def test_recipe_survives_json(name: str) -> None:
    recipe = load_recipe(name)
    assert from_dict(Recipe, to_dict(recipe)) == recipe


def test_first_line_of_a_recipe_says_what_it_is() -> None:
    for name in recipe_names():
        first = find_recipe(name).read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# ") and len(first) > 30, name


def test_the_vocabulary_is_the_tokenizers() -> None:
    assert load_recipe("tiny", ["--tokenizer.vocab_size=2048"]).model.vocab_size == 2048


def test_the_dial_sets_the_whole_shape_and_later_words_change_it() -> None:
    style = '--model.layer_types=["conv", "full"]'
    model = load_recipe("tiny", ["--depth=8", style]).model
    dial = ModelConfig.from_depth(8)
    for key in module.DIAL:
        assert getattr(model, key) == getattr(dial, key)
    assert model.layer_types == ("conv", "full") * 4  # the style stays
    assert load_recipe("tiny", ["--depth=8", "--model.head_dim=64"]).model.head_dim == 64


@pytest.mark.parametrize("depth", ["0", "-1", "deep", "1.5"])
def test_a_depth_that_is_none(depth: str) -> None:
    if depth == "0":
        assert load_recipe("tiny", ["--depth=0"]) == load_recipe("tiny")
    else:
        with pytest.raises(UserError, match="depth"):
            load_recipe("tiny", [f"--depth={depth}"])


def test_depth_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ndepth = 4\n[model]\nfeed_forward = "gelu"')
    model = load_recipe(path).model
    assert (model.num_layers, model.hidden_size, model.feed_forward) == (4, 256, "gelu")
    path.write_text('name = "mine"\ndepth = 4\n[model]\nhidden_size = 128')
    with pytest.raises(UserError, match="gives both depth and model.hidden_size; keep one"):
        load_recipe(path)


def test_mistakes_across_packages() -> None:
    with pytest.raises(UserError, match="pretrain.row_length is 2048, but the model sees at most"):
        load_recipe("tiny", ["--pretrain.row_length=2048"])
    with pytest.raises(UserError, match="names 'storys', which is not a source; did you mean 'st"):
        load_recipe("small", ["--data.pretrain.weights.storys=1"])


def test_unknown_recipe() -> None:
    with pytest.raises(UserError, match="unknown recipe 'tinny'; did you mean 'tiny'?"):
        find_recipe("tinny")


def test_recipes_are_found_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text('name = "own"')
    monkeypatch.setattr(module, "FOLDERS", (tmp_path, tmp_path / "none"))
    assert recipe_names() == ["own"] and find_recipe("own") == tmp_path / "own.toml"


def test_recipe_has_a_section_for_each_stage() -> None:
    names = {field.name for field in fields(Recipe)}
    assert {"tokenizer", "model", "data", "pretrain", "sft", "eval", "runtime"} <= names
