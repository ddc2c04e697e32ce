"""What a family has to say: whether it fits, its config.json, its tensors, in both directions.

A new family is one file like olmo2.py and one line in `FAMILIES`; its tests then run by
themselves. Knows nothing of files: tensors and mappings in, tensors and mappings out.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig


@dataclass(frozen=True)
class Layout:
    """How the tensors of one entry relate. `pack`: ours -> theirs; `unpack` is its inverse."""

    pack: Callable[[Sequence[Tensor]], Tensor]
    unpack: Callable[[Tensor], Sequence[Tensor]]


SAME = Layout(lambda ours: ours[0], lambda theirs: [theirs])
TRANSPOSED = Layout(lambda ours: ours[0].t(), lambda theirs: [theirs.t()])
# (kernel, width) here, (width, 1, kernel) there
CONVOLUTION = Layout(lambda ours: ours[0].t().unsqueeze(1), lambda theirs: [theirs[:, 0].t()])
FUSED_QKV = Layout(lambda ours: torch.cat(list(ours)).t(), lambda theirs: theirs.t().chunk(3))
FUSED_QKV_BIAS = Layout(lambda ours: torch.cat(list(ours)), lambda theirs: theirs.chunk(3))


def fused(*sizes: int) -> Layout:
    """Matrices of so many rows on top of each other."""
    return Layout(lambda ours: torch.cat(list(ours)), lambda x: torch.split(x, list(sizes)))


@dataclass(frozen=True)
class Entry:
    """One tensor of the file and the parameters of `Decoder` that it holds."""

    theirs: str
    ours: tuple[str, ...]
    layout: Layout = SAME


@dataclass(frozen=True)
class Module:
    """A module of theirs that holds a weight, and the modules of `Decoder` that are in it.

    transposed: its weight is (in, out), as in GPT-2's `Conv1D`.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False


class Family(ABC):
    """The contract. `prefix` begins all names but the head's; some files leave it out.

    rearranges: most tensors are laid out otherwise in the file, and so are copied when read.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[str]
    prefix: ClassVar[str] = ""
    rearranges: ClassVar[bool] = False

    @abstractmethod
    def fits(self, config: ModelConfig) -> bool:
        """Whether the family can express this decoder exactly."""

    @abstractmethod
    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """The fields of config.json, without model_type and architectures."""

    @abstractmethod
    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """The inverse. Raises UserError for what the decoder cannot do."""

    @abstractmethod
    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """All tensors of the file, without a tied head."""

    def modules(self, config: ModelConfig) -> Iterator[Module]:
        """How the modules with a weight are called, for files that name modules, as adapters do."""
        for entry in self.entries(config):
            names = (entry.theirs, *entry.ours)
            if all(name.endswith(".weight") for name in names):
                theirs, *ours = (name.removesuffix(".weight") for name in names)
                yield Module(theirs, tuple(ours), entry.layout in (TRANSPOSED, FUSED_QKV))

    def ignores(self, name: str) -> bool:
        """Whether a tensor of the file is no parameter and may be left aside."""
        return False

    def export_tensors(
        self, config: ModelConfig, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """A decoder's state dict -> the tensors of the file."""
        return {
            entry.theirs: entry.layout.pack([parameters[name] for name in entry.ours])
            for entry in self.entries(config)
        }

    def import_tensors(
        self,
        config: ModelConfig,
        tensors: Mapping[str, Tensor],
        *,
        dtype: torch.dtype | None = None,
        size: Callable[[str], int] | None = None,
    ) -> dict[str, Tensor]:
        """The tensors of a file -> a decoder's state dict, without a tied head.

        Each tensor is asked for once and let go before the next one, so that a layout which
        copies never holds two copies of all. dtype: what floating-point tensors are cast to, None
        keeps theirs. size: of a tensor; the largest are then read first, while little else is
        held. Raises UserError for tensors that are missing or unknown.
        """
        rest = set(tensors)
        if config.tie_embeddings:
            rest.discard("lm_head.weight")
        found: list[tuple[str, Entry]] = []
        for entry in self.entries(config):
            short = entry.theirs.removeprefix(self.prefix)
            name = entry.theirs if entry.theirs in rest else short
            if name not in rest:
                raise UserError(f"the tensor {entry.theirs!r} is missing")
            rest.remove(name)
            found.append((name, entry))
        unknown = sorted(name for name in rest if not self.ignores(name))
        if unknown:
            raise UserError(
                f"{len(unknown)} tensors are unknown to {self.architecture}, "
                f"among them {unknown[0]!r}"
            )
        if size is not None:
            found.sort(key=lambda pair: size(pair[0]), reverse=True)
        parameters: dict[str, Tensor] = {}
        for name, entry in found:
            pieces = entry.layout.unpack(tensors[name])
            settled = [settle(piece, dtype) for piece in pieces]
            parameters.update(zip(entry.ours, settled, strict=True))
            del pieces  # before the next one is read
        return parameters


def settle(piece: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The tensor, contiguous and cast in one copy, or itself if it is so already."""
    target = dtype if dtype is not None and piece.is_floating_point() else piece.dtype
    return piece.to(target, memory_format=torch.contiguous_format).contiguous()


@dataclass(frozen=True)
class Reader:
    """Values of a config.json, with the errors that a person can act on."""

    hf: Mapping[str, Any]

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; null counts as absent."""
        value = self.hf.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"{key!r} must be a whole number, not {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number; null counts as absent."""
        value = self.hf.get(key)
        value = default if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{key!r} must be a number, not {value!r}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; null counts as absent."""
        value = self.hf.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise UserError(f"{key!r} must be true or false, not {value!r}")
        return value

    def refuse(self, key: str, *accepted: Any) -> None:
        """Raise UserError unless the value is absent, null or among those accepted."""
        value = self.hf.get(key)
        if value is not None and value not in accepted:
            known = ", ".join(repr(item) for item in accepted) or "leaving it out"
            raise UserError(f"{key!r} is {value!r}, which is not supported; supported: {known}")

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers."""
        value = self.hf.get(key)
        if not isinstance(value, list | tuple) or not all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in value
        ):
            raise UserError(f"{key!r} must be a list of numbers, not {value!r}")
        return tuple(float(item) for item in value)

    def window(self, default: int | None) -> int:
        """The sliding window, 0 for none: here null says so, and absent means the default."""
        if "sliding_window" in self.hf and self.hf["sliding_window"] is None:
            return 0
        return self.integer("sliding_window", default or 0)

    def layer_types(self, names: Mapping[str, str], *default: str) -> tuple[str, ...]:
        """The list of layers in our names; `default`, in theirs, if it is absent."""
        given = self.hf.get("layer_types") or default or ("full_attention",)
        for theirs in given:
            if theirs not in names:
                raise UserError(
                    f"layer type {theirs!r} is not supported; supported: {', '.join(names)}"
                )
        layers = self.integer("num_hidden_layers")
        if len(given) not in (1, layers):
            raise UserError(f"'layer_types' has {len(given)} entries for {layers} layers")
        return tuple(names[theirs] for theirs in given)


# Which fields of ModelConfig are sizes and the like, that every family may choose.
SIZES = (
    *("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim"),
    *("intermediate_size", "max_seq_len", "norm_eps", "rope_theta", "tie_embeddings"),
    *("dropout", "conv_kernel", "layer_types", "sliding_window", "family"),
)


def is_plain(config: ModelConfig, free: Collection[str] = (), **options: Any) -> bool:
    """Whether all options have these values, or else their defaults, apart from free ones.

    So an option that ModelConfig gains fits no family before the family names it.
    """
    return all(
        getattr(config, field.name) == options.get(field.name, field.default)
        for field in dataclasses.fields(config)
        if field.name not in SIZES and field.name not in free
    )
