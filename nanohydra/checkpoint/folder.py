"""A model as one folder that alone rebuilds it: Hugging Face's layout and a manifest.

    config.json  generation_config.json  model.safetensors
    tokenizer.json  tokenizer_config.json  manifest.json

Knows nothing of optimizers; the state of a training run is in state.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanohydra.checkpoint.families.choice import family_of, read_config_file
from nanohydra.checkpoint.manifest import MANIFEST, read_manifest, verify_files, write_manifest
from nanohydra.checkpoint.memory import check_memory, footprint
from nanohydra.checkpoint.weights import (
    PICKLES,
    WEIGHTS,
    ModelTensors,
    read_tensors,
    write_tensors,
)
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, read_json, write_json
from nanohydra.core.registry import suggest
from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.quantised import KINDS, num_bytes, quantise_decoder, refuse_quantised
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.files import FILES as TOKENIZER_FILES

CONFIG, GENERATION = "config.json", "generation_config.json"
FILES = (CONFIG, GENERATION, WEIGHTS, MANIFEST, *TOKENIZER_FILES)
STORED = "stored"  # how weights are held; or one of KINDS
SAMPLING = ("temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model with what belongs to it; the manifest of another program's folder is empty."""

    model: Decoder
    tokenizer: Tokenizer
    config: ModelConfig
    manifest: Mapping[str, Any]

    @property
    def sampling(self) -> dict[str, float]:
        """How the model's makers sample from it (generation_config.json); empty if unsaid."""
        return _sampling(self.tokenizer.files.generation)


def stated_sampling(folder: str | Path) -> dict[str, float]:
    """`Loaded.sampling` of a model that is not loaded yet."""
    path = Path(folder) / GENERATION
    return _sampling(read_json(path)) if path.is_file() else {}


def _sampling(stated: Mapping[str, Any]) -> dict[str, float]:
    return {n: v for n in SAMPLING if isinstance(v := stated.get(n), int | float)}


def save(
    folder: str | Path, model: Decoder, tokenizer: Tokenizer, *, manifest: Mapping[str, Any]
) -> None:
    """Write a model folder, or replace one, at once: a reader sees the old one or the new one.

    The weights keep their dtype. `manifest` is the caller's own part of manifest.json (resolved
    recipe, step, metrics); its keys "nanohydra" and "files" are taken. Raises UserError if the
    tokenizer has more ids than the model, if the folder holds other things than a model, or if
    the model's weights are int8 or int4.
    """
    refuse_quantised(model, "saved")
    folder, config = Path(folder), model.config
    _check_target(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} ids but the model only "
            f"{config.vocab_size}; they do not belong together"
        )
    family = family_of(config)
    ids = token_ids(tokenizer)
    head = {"architectures": [family.architecture], "model_type": family.model_type}
    dtype = {"torch_dtype": str(model.dtype).removeprefix("torch.")}
    with atomic_path(folder) as new:
        new.mkdir()
        write_json(new / CONFIG, {**head, **family.to_hf(config), **ids, **dtype})
        write_json(new / GENERATION, {**ids, **tokenizer.files.generation})
        write_tensors(new / WEIGHTS, family.export_tensors(config, model.state_dict()))
        tokenizer.save(new)
        about = {
            "architecture": family.architecture,
            "standard": family.model_type != "nanohydra",
            "tokenizer": tokenizer.fingerprint,
        }
        write_manifest(new, manifest, about)


def token_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """The named ids of config.json, null for those that the tokenizer lacks.

    A model from elsewhere may have several ids that end a text; they stay as they were.
    """
    ends = list(tokenizer.files.eos_ids)
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": (ends if len(ends) > 1 else ends[0]) if ends else tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
    }


def load(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    weights: str = STORED,
) -> Loaded:
    """Read a model folder that `save` or transformers wrote, verifying what its manifest names.

    dtype: None keeps the dtype of the file. weights: "int8" and "int4" hold those of the linear
    layers so, for answering on a CPU (`nanohydra.model.quantised`). The model is in eval mode.
    Raises UserError naming the file that is missing, damaged, a pickle or of an unknown
    architecture.
    """
    path = _check_source(Path(folder))
    manifest = read_manifest(path)
    verify_files(path, manifest)
    tokenizer = Tokenizer.load(path)
    model = _read_model(path, device, dtype, weights)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise UserError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids but the model only "
            f"{model.config.vocab_size}; they do not belong together"
        )
    return Loaded(model=model, tokenizer=tokenizer, config=model.config, manifest=manifest)


def load_model(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    weights: str = STORED,
) -> Decoder:
    """As `load`, for a folder whose tokenizer is missing or not of nanohydra: the weights alone."""
    path = _check_source(Path(folder))
    verify_files(path, read_manifest(path))
    return _read_model(path, device, dtype, weights)


def _read_model(
    folder: Path, device: str | torch.device, dtype: torch.dtype | None, weights: str
) -> Decoder:
    known = (STORED, *KINDS)
    if weights not in known:
        raise UserError(f"weights {weights!r} are not known; {suggest(weights, known)}")
    if weights != STORED:
        return _read_quantised(folder, device, dtype, weights)
    family, config = read_config_file(folder / CONFIG)
    dtype = dtype or ModelTensors(folder).main_dtype
    tensors = ModelTensors(folder, dtype=dtype, kept=not family.rearranges)
    if torch.device(device).type == "cpu":
        check_memory(folder, footprint(config, tensors), dtype)
    try:
        parameters = family.import_tensors(config, tensors, dtype=dtype, size=tensors.num_bytes)
    except UserError as error:
        raise UserError(f"{folder / WEIGHTS}: {error}") from None
    return _assemble(config, parameters, folder / WEIGHTS).to(device).eval()


def _read_quantised(
    folder: Path, device: str | torch.device, dtype: torch.dtype | None, kind: str
) -> Decoder:
    """As `_read_model`: rounds what the file holds, tensor by tensor, and lets go of it."""
    if torch.device(device).type != "cpu":
        raise UserError(f"{kind} weights are for answering on a CPU; the device is {device}")
    family, config = read_config_file(folder / CONFIG)
    dtype = dtype or ModelTensors(folder).main_dtype
    dtype = torch.bfloat16 if dtype == torch.float16 else dtype  # far slower on a CPU
    need = footprint(config, ModelTensors(folder, dtype=dtype))
    check_memory(folder, replace(need, weights=num_bytes(config, dtype, kind)), dtype)
    try:
        parameters = family.import_tensors(config, ModelTensors(folder, kept=False))
    except UserError as error:
        raise UserError(f"{folder / WEIGHTS}: {error}") from None
    model = _assemble(config, parameters, folder / WEIGHTS).eval()
    parameters.clear()
    return quantise_decoder(model, dtype, kind)


def _assemble(config: ModelConfig, parameters: Mapping[str, Tensor], path: Path) -> Decoder:
    """A decoder that uses the given tensors as they are, without initial weights or a copy."""
    with torch.device("meta"):
        model = Decoder(config)
    for name, expected in model.state_dict().items():
        if name in parameters and parameters[name].shape != expected.shape:
            raise UserError(
                f"{path}: the tensor for {name!r} has shape {tuple(parameters[name].shape)}, "
                f"config.json asks for {tuple(expected.shape)}"
            )
    state = dict(parameters)
    if config.tie_embeddings:
        state["head.weight"] = state["embed.weight"]
    model.load_state_dict(state, assign=True)
    if config.tie_embeddings:
        model.head.weight = model.embed.weight
    model.make_tables()  # those made on the meta device hold nothing
    return model


def _check_source(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.suffix in PICKLES:
        read_tensors(path)  # refuses
    if path.is_file():
        raise UserError(f"{path} is a file; give the folder that holds the model")
    raise UserError(f"there is no model folder {path}; `nanohydra speedrun` makes one")


def _check_target(folder: Path) -> None:
    """Replacing a folder removes what is in it, so only a model's own files may be there."""
    if folder.is_dir():
        other = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if other:
            raise UserError(
                f"{folder} holds {other[0]!r}, which is not part of a model; "
                "choose another folder, because saving replaces the whole of it"
            )
    elif folder.exists():
        raise UserError(f"{folder} is a file; choose a folder to save the model to")
