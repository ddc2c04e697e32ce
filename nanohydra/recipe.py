"""A whole run as data: every package's own settings in one frozen dataclass, read from TOML.

Recipes are packaged under names; a path to a TOML file works everywhere a name does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nanohydra.continual.config import ContinualConfig
from nanohydra.core.config import load_config, read_toml
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.runtime import RuntimeConfig
from nanohydra.data.config import CleanConfig, HoldOut, Packing, Phase, SourceConfig
from nanohydra.eval.config import EvalConfig
from nanohydra.learn.config import LearnConfig
from nanohydra.model.config import ModelConfig
from nanohydra.tokenizer.config import TokenizerConfig
from nanohydra.training.config import TrainConfig

# What `depth` sets; the vocabulary is the tokenizer's, and the rest of [model] is style.
DIAL = ("num_layers", "hidden_size", "num_heads", "num_kv_heads", "head_dim", "intermediate_size")
FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[1] / "recipes")
"""Where packaged recipes lie: in an installed package, and in a checkout."""


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """What one stage of training reads.

    sources: name of the shards -> where their records come from; {} = the stage has no data.
    heldout: the same for validation.
    valid_fraction, hold_out: share of `sources` that is held out if `heldout` is {}, and how, see
        nanohydra.data.hold_out.
    clean: which records are dropped.
    packing, weights, phases, buffer_size: as in LoaderConfig; names are those of `sources`.
    """

    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    heldout: Mapping[str, SourceConfig] = field(default_factory=dict)
    valid_fraction: float = 0.01
    hold_out: HoldOut = "auto"
    clean: CleanConfig = CleanConfig()
    packing: Packing = "crop"
    weights: Mapping[str, float] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    buffer_size: int = 512

    def __post_init__(self) -> None:
        """Refuse a weight of shards that no source makes, and a fraction that is none."""
        if not 0 <= self.valid_fraction < 1:
            raise UserError(f"valid_fraction is {self.valid_fraction}; it lies in [0, 1)")
        for table in (self.weights, *(phase.weights for phase in self.phases)):
            for name in table:
                if name not in self.sources:
                    hint = suggest(name, self.sources)
                    raise UserError(f"a weight names {name!r}, which is not a source; {hint}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What each stage reads."""

    pretrain: CorpusConfig = CorpusConfig()
    sft: CorpusConfig = CorpusConfig(packing="pad")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a run is told. The resolved recipe travels with the weights.

    name: also the run's folder, `runs/<name>`, unless another is given.
    depth: the one dial: the model's shape follows from it (ModelConfig.from_depth); 0 = [model]
        says it. Given on the command line, it wins over the shape in [model].
    model: its vocab_size is the tokenizer's, whatever it says.
    sft: None = the run ends with pretraining.
    learn: how lessons become adapters, once the model is served.
    continual: a stream of tasks on which strategies against forgetting are compared.
    """

    name: str
    depth: int = 0
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = DataConfig()
    pretrain: TrainConfig = TrainConfig()
    sft: TrainConfig | None = None
    eval: EvalConfig = EvalConfig()
    learn: LearnConfig = LearnConfig()
    continual: ContinualConfig = ContinualConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    def __post_init__(self) -> None:
        """Take the vocabulary from the tokenizer and refuse rows that the model cannot see."""
        model = replace(self.model, vocab_size=self.tokenizer.vocab_size)
        object.__setattr__(self, "model", model)
        for stage, train in (("pretrain", self.pretrain), ("sft", self.sft)):
            if train is not None and train.row_length > model.max_seq_len:
                raise UserError(
                    f"{stage}.row_length is {train.row_length}, but the model sees at most "
                    f"model.max_seq_len = {model.max_seq_len} tokens; change one of them"
                )


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A packaged recipe or a TOML file, with `--a.b=c` overrides.

    Raises UserError for an unknown name and for whatever `load_config` refuses.
    """
    path = find_recipe(name)
    table = read_toml(path)
    words = [*dial_words(table, path, overrides), *overrides]
    return load_config(Recipe, path, words)


def find_recipe(name: str | Path) -> Path:
    """The TOML file of a packaged recipe, or of a path. Raises UserError if there is none."""
    if str(name).endswith(".toml"):
        return Path(name)
    for folder in FOLDERS:
        path = folder / f"{name}.toml"
        if path.is_file():
            return path
    raise UserError(f"unknown recipe {str(name)!r}; {suggest(str(name), recipe_names())}")


def recipe_names() -> list[str]:
    """Names of the packaged recipes, sorted."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.toml")})


def dial_words(table: Mapping[str, Any], path: Path, overrides: Sequence[str]) -> list[str]:
    """The model's shape as overrides, if `depth` is given in the file or on the command line."""
    depth = table.get("depth", 0)
    shape = [key for key in DIAL if key in table.get("model", {})]
    if depth and shape:
        raise UserError(f"{path} gives both depth and model.{shape[0]}; keep one")
    for word in overrides:
        key, _, value = word.partition("=")
        if key == "--depth":
            depth = value
    if str(depth) == "0" or not str(depth).lstrip("-").isdigit():
        return []  # no dial; or no number, which load_config refuses
    model = ModelConfig.from_depth(int(depth))
    return [f"--model.{key}={getattr(model, key)}" for key in DIAL]
