"""The weights of llama2.c (`model.bin`): versions 0 and 1 in float32, version 2 in int8.

Version 0: seven int32 (width, feed-forward, layers, heads, key/value heads, vocabulary, which is
negative where the head is not tied, and context), then the tensors, two tables of rotations among
them. Versions 1 and 2: a header of 256 bytes that begins with "ak42", then the norms, then the
matrices; int8 ones with a float32 scale for every group. Heads are rotated in pairs of neighbours
there and in two halves here, so rows of the query and key matrices change places.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig

MAGIC = 0x616B3432
HEADER_BYTES = 256  # of versions 1 and 2
FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
LARGEST = (1 << 16, 1 << 18, 1 << 10, 1 << 10, 1 << 10, 1 << 20, 1 << 20)
EPS, THETA = 1e-5, 10000.0  # the file does not say; its program fixes them
MATRICES = {
    "wq": "mixer.q_proj", "wk": "mixer.k_proj", "wv": "mixer.v_proj", "wo": "mixer.o_proj",
    "w1": "feed_forward.gate_proj", "w2": "feed_forward.down_proj", "w3": "feed_forward.up_proj",
}  # fmt: skip
NORMS = {"att": "mixer_norm", "ffn": "feed_forward_norm"}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself. start: where its tensors begin. group: int8 values per scale."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    tied: bool
    version: int
    start: int
    group: int = 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors, in the order of the file."""
        n, dim, hidden = self.n_layers, self.dim, self.hidden_dim
        kv = dim // self.n_heads * self.n_kv_heads
        embed: dict[str, tuple[int, ...]] = {"embed": (self.vocab_size, dim)}
        attention = {"wq": (n, dim, dim), "wk": (n, kv, dim), "wv": (n, kv, dim)}
        attention["wo"] = (n, dim, dim)
        forward = {"w1": (n, hidden, dim), "w2": (n, dim, hidden), "w3": (n, hidden, dim)}
        head = {} if self.tied else {"head": (self.vocab_size, dim)}
        if self.version:
            norms = {"att": (n, dim), "ffn": (n, dim), "final": (dim,)}
            return {**norms, **embed, **attention, **forward, **head}
        rotations = (2, self.seq_len, dim // self.n_heads // 2)
        rest = {"final": (dim,), "unused rotations": rotations, **head}
        return {**embed, "att": (n, dim), **attention, "ffn": (n, dim), **forward, **rest}

    @property
    def num_bytes(self) -> int:
        """Bytes that the whole file must have."""
        return self.start + sum(self.bytes_of(shape) for shape in self.shapes.values())

    def bytes_of(self, shape: Sequence[int]) -> int:
        """Bytes of one tensor; of version 2 only the norms are not int8."""
        count = int(np.prod(shape))
        quantized = self.version == 2 and shape[-1:] != shape and shape != (self.n_layers, self.dim)
        return count + 4 * (count // self.group) if quantized else 4 * count

    @property
    def config(self) -> ModelConfig:
        """The same as a decoder's configuration."""
        return ModelConfig(
            vocab_size=self.vocab_size, hidden_size=self.dim, intermediate_size=self.hidden_dim,
            num_layers=self.n_layers, num_heads=self.n_heads, num_kv_heads=self.n_kv_heads,
            max_seq_len=self.seq_len, norm_eps=EPS, rope_theta=THETA, qk_norm=False,
            tie_embeddings=self.tied, family="llama",
        )  # fmt: skip


def read_llama2c(path: str | Path) -> Decoder:
    """The model of a `model.bin`, in float32 and eval mode, its weights mapped into memory.

    Raises UserError for a file that is missing, truncated, too long or none of llama2.c's.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    header = read_header(path)
    size = path.stat().st_size
    if size != header.num_bytes:
        what = "truncated" if size < header.num_bytes else "too long, or not of llama2.c"
        raise UserError(f"{path} has {size} bytes, its header asks for {header.num_bytes}: {what}")
    parameters = dict(_parameters(header, _tensors(path, header)))
    if header.tied:
        parameters["head.weight"] = parameters["embed.weight"]
    with torch.device("meta"):
        model = Decoder(header.config)
    model.load_state_dict(parameters, assign=True)
    if header.tied:
        model.head.weight = model.embed.weight
    model.make_tables()  # those made on the meta device hold nothing
    return model.eval()


def read_header(path: Path) -> Header:
    """The header, checked. Raises UserError for one that no model has."""
    with path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    if len(data) < 28:
        raise UserError(f"{path} has {len(data)} bytes: too few for a model of llama2.c")
    magic, version = struct.unpack_from("<Ii", data)
    group = 0
    if magic != MAGIC:
        version, start, values = 0, 28, struct.unpack_from("<7i", data)
        tied, values = values[5] > 0, (*values[:5], abs(values[5]), values[6])
    else:
        if version not in (1, 2) or len(data) < HEADER_BYTES:
            raise UserError(f"{path} is of llama2.c's version {version}; versions 0 to 2 are read")
        start, values = HEADER_BYTES, struct.unpack_from("<7i", data, 8)
        tied = bool(data[36])
        group = struct.unpack_from("<i", data, 37)[0] if version == 2 else 0
    for name, value, most in zip(FIELDS, values, LARGEST, strict=True):
        if not 0 < value <= most:
            raise UserError(f"{path} is no model of llama2.c: its header says {name} = {value}")
    header = Header(
        **dict(zip(FIELDS, values, strict=True)),
        tied=tied, version=version, start=start, group=group,
    )  # fmt: skip
    _check_shape(path, header)
    return header


def _check_shape(path: Path, header: Header) -> None:
    heads, kv_heads = header.n_heads, header.n_kv_heads
    if header.dim % heads or header.dim // heads % 2 or heads % kv_heads:
        raise UserError(
            f"{path} is no model of llama2.c: {heads} heads and {kv_heads} key/value heads do not "
            f"fit a width of {header.dim}"
        )
    if header.version == 2 and (header.group < 1 or header.dim % header.group):
        raise UserError(
            f"{path} is no model of llama2.c: groups of {header.group} do not fit a width of "
            f"{header.dim}"
        )


def _tensors(path: Path, header: Header) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, in the order of the file."""
    # Copy on write: whoever changes a tensor changes memory, never the file.
    data = np.memmap(path, dtype=np.uint8, mode="c")
    place = header.start
    for name, shape in header.shapes.items():
        end = place + header.bytes_of(shape)
        if header.bytes_of(shape) == 4 * int(np.prod(shape)):
            yield name, _float32(data[place:end]).view(shape)
        else:
            layers = shape[0] if len(shape) == 3 else 1
            pieces = np.split(data[place:end], layers)
            parts = [_dequantized(piece, header.group) for piece in pieces]
            yield name, torch.cat(parts).view(shape)
        place = end


def _float32(data: np.ndarray) -> Tensor:
    """Bytes as numbers; a copy where they do not begin at a multiple of four."""
    if data.ctypes.data % 4:
        data = data.copy()
    return torch.from_numpy(data.view("<f4"))


def _dequantized(data: np.ndarray, group: int) -> Tensor:
    """int8 values and then a scale for every group of them, as numbers."""
    count = len(data) * group // (group + 4)
    values = torch.from_numpy(data[:count].view(np.int8)).view(-1, group)
    return (values * _float32(data[count:])[:, None]).flatten()


def _parameters(
    header: Header, tensors: Iterator[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    """The decoder's names and layouts."""
    whole: Mapping[str, str] = {"embed": "embed", "final": "final_norm", "head": "head"}
    for name, tensor in tensors:
        if name in whole:
            yield f"{whole[name]}.weight", tensor
            continue
        if name in ("wq", "wk"):
            heads = header.n_heads if name == "wq" else header.n_kv_heads
            tensor = halves(tensor, heads)
        own = MATRICES.get(name) or NORMS.get(name)
        for layer in range(header.n_layers if own else 0):
            yield f"blocks.{layer}.{own}.weight", tensor[layer]


def halves(weight_LOI: Tensor, heads: int) -> Tensor:
    """Rows of neighbouring pairs (0, 1), (2, 3), ... of each head -> first halves, then second."""
    layers, rows, width = weight_LOI.shape
    pairs = weight_LOI.view(layers, heads, rows // heads // 2, 2, width)
    return pairs.transpose(2, 3).reshape(layers, rows, width)
