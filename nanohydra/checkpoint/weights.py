"""Tensors on disk: safetensors, whole or in shards, memory-mapped; never pickle.

Knows nothing of models. Hugging Face's file names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.core.files import not_written, read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file. Tensors that share memory are written out one by one.

    Raises UserError if it cannot be written, as when the disk is full.
    """
    try:
        save_file(_separate(tensors), path, metadata={"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise not_written(path, error) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of one file, mapped into memory and read when first used.

    Writing to them changes the process's own copy, never the file. Raises UserError naming the
    file if it is missing, truncated or not safetensors.
    """
    if path.suffix in PICKLES:
        raise UserError(_pickle_message(path))
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(_damaged(path, error)) from error


class ModelTensors(Mapping[str, Tensor]):
    """The tensors of a model folder by name, as they are stored, each mapped when it is asked for.

    dtype: what the caller casts floating-point tensors to; None means the file's.
    kept: whether the caller keeps tensors that it does not cast. What it copies has a map of its
        own, because pages stay in memory as long as their map does.
    Raises UserError naming the file that is missing, damaged or a pickle.
    """

    def __init__(
        self, folder: Path, *, dtype: torch.dtype | None = None, kept: bool = True
    ) -> None:
        self.dtype, self.kept = dtype, kept
        self._files = model_files(folder)
        self._open: dict[Path, Any] = {}
        self._where: dict[str, Path] = {}
        for path in self._files:
            for name in self._file(path).keys():  # noqa: SIM118
                self._where[name] = path

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __getitem__(self, name: str) -> Tensor:
        path = self._where[name]
        kept = self.kept and self._target(name) == self.stored_dtype(name)
        file = self._file(path) if kept else open_file(path)
        try:
            tensor: Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise UserError(_damaged(path, error)) from error
        return tensor

    def stored_dtype(self, name: str) -> torch.dtype:
        """The dtype that the file holds a tensor in."""
        path = self._where[name]
        stored = self._file(path).get_slice(name).get_dtype()
        if stored not in DTYPES:
            raise UserError(f"{path}: the tensor {name!r} is of type {stored}, which is not known")
        return DTYPES[stored]

    @property
    def main_dtype(self) -> torch.dtype:
        """The dtype of most of the numbers, once they are cast."""
        sizes: Counter[torch.dtype] = Counter()
        for name in self:
            sizes[self._target(name)] += self.num_bytes(name)
        return max(sizes, key=lambda dtype: sizes[dtype], default=torch.float32)

    def num_bytes(self, name: str) -> int:
        """Memory that a tensor takes in the dtype that it is cast to."""
        shape = self._file(self._where[name]).get_slice(name).get_shape()
        return math.prod(shape) * self._target(name).itemsize

    def _target(self, name: str) -> torch.dtype:
        stored = self.stored_dtype(name)
        return self.dtype if self.dtype is not None and stored.is_floating_point else stored

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            self._open[path] = open_file(path)
        return self._open[path]


def open_file(path: Path) -> Any:
    """A safetensors file, mapped into memory. Raises UserError if it is missing or damaged."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise UserError(_damaged(path, error)) from error


def model_files(folder: Path) -> list[Path]:
    """The weight files of a model folder: one, or shards with an index. Refuses pickles."""
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        refuse_pickle(folder)
        if not (folder / WEIGHTS).is_file():
            raise UserError(f"there is no file {folder / WEIGHTS}")
        return [folder / WEIGHTS]
    index = read_json(folder / INDEX)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise UserError(f"{folder / INDEX} has no table 'weight_map' of tensors and their files")
    return [folder / Path(shard).name for shard in sorted(set(names.values()))]


def refuse_pickle(folder: Path) -> None:
    """Raise UserError if pickled weights are all that the folder has."""
    if (folder / WEIGHTS).is_file():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UserError(_pickle_message(path))


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} is damaged or not a safetensors file ({error}); take it from a backup or "
        "download it again"
    )


def _pickle_message(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run any code when it is loaded, so it is never read; "
        "convert it to safetensors where you trust it, for example with transformers: "
        "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
    )


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, contiguous on the CPU, each with memory of its own."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        # A part of a larger storage counts as shared, too: safetensors would refuse it.
        partial = tensor.numel() * tensor.element_size() != tensor.untyped_storage().nbytes()
        if tensor.numel() and (place in seen or partial):
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(place)
        result[name] = tensor
    return result
