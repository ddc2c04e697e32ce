"""Tensors on disk: safetensors, whole or in shards, memory-mapped; never pickle.

Knows nothing of models. Hugging Face's file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file. Tensors that share memory are written out one by one."""
    save_file(_separate(tensors), path, metadata={"format": "pt"})


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
        raise UserError(
            f"{path} is damaged or not a safetensors file ({error}); take it from a backup or "
            "download it again"
        ) from error


def read_model_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder, in one file or in shards with an index."""
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        refuse_pickle(folder)
        return read_tensors(folder / WEIGHTS)
    names = read_json(folder / INDEX).get("weight_map", {})
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(names.values())):
        tensors.update(read_tensors(folder / Path(shard).name))
    return tensors


def refuse_pickle(folder: Path) -> None:
    """Raise UserError if pickled weights are all that the folder has."""
    if (folder / WEIGHTS).is_file():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UserError(_pickle_message(path))


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
