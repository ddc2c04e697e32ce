"""Models by their name at the hub: fetched once, checked, kept in its cache, found again offline.

Takes the files that a model needs and no others, never a pickle. Everything about transport is
`huggingface_hub`'s, which also reads HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.checkpoint.hub_errors import in_words, is_unreachable
from nanohydra.checkpoint.names import HubName, local_model, named
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.core.log import console

if TYPE_CHECKING:
    import torch

    from nanohydra.checkpoint.folder import Loaded

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one of them is enough
SMALL = (
    "config.json", "generation_config.json", "manifest.json", *TOKENIZERS, "merges.txt",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """How the hub is reached; None leaves it to `huggingface_hub` and its environment.

    cache: the folder of the hub's cache. offline: use what the cache holds and ask nobody.
    timeout: seconds without an answer.
    """

    endpoint: str | None = None
    cache: Path | None = None
    token: str | None = None
    offline: bool = False
    timeout: float = 10.0


def load(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    weights: str = "stored",
) -> Loaded:
    """Load a model from a folder, a run or the hub, as `nanohydra.checkpoint.load` does.

    revision: branch, tag or commit of a hub name. Raises UserError, as `locate` does.
    """
    from nanohydra.checkpoint import folder

    path = locate(name_or_folder, revision=revision)
    return folder.load(path, device=device, dtype=dtype, weights=weights)


def locate(
    name_or_folder: str | Path, *, revision: str | None = None, hub: HubConfig | None = None
) -> Path:
    """The folder of a model: a local one, that of a run, or the hub's, fetched if need be.

    name_or_folder: a local path wins; else `owner/name` or `owner/name@revision` at the hub.
    Where the hub cannot be reached, a complete copy in the cache is used and that is said.
    Raises UserError for what is not there, gated, without safetensors, or too large for the disk.
    """
    found = named(name_or_folder, revision)
    if isinstance(found, Path):
        if revision:
            raise UserError(f"--revision is for models at the hub; {found} is a folder")
        return local_model(found)
    return _fetch(found, hub or HubConfig())


def _fetch(name: HubName, config: HubConfig) -> Path:
    library = _library()
    cached = _cached(name, config)
    if cached is not None and name.revision == cached.name:
        return cached  # a commit never changes
    if config.offline or library.is_offline_mode():
        if cached is None:
            raise UserError(
                f"{name} is not in the cache, or not all of it, and the hub is switched off; fetch "
                "it once without HF_HUB_OFFLINE, or give a local folder"
            )
        return cached
    try:
        files = _listed(name, config)
    except Exception as error:  # the library's errors have no base of their own
        if cached is None or not is_unreachable(error):
            raise in_words(error, name, config) from error
        note = f"the hub cannot be reached; taking {name} from the cache, commit {cached.name[:12]}"
        console(stderr=True).print(note, markup=False, soft_wrap=True)
        return cached
    chosen = choose(str(name), files)
    _check_space(name, {file: files[file] for file in chosen}, config)
    folder = _download(name, chosen, config)
    if missing := missing_in(folder):
        raise UserError(f"{name} at the hub is not complete: {missing} is missing")
    return folder


def choose(name: str, files: Mapping[str, int]) -> tuple[str, ...]:
    """The files of a model's repository that are needed; `files`: path -> bytes.

    Raises UserError for a repository without a configuration or without safetensors.
    """
    if "config.json" not in files:
        what = (
            "it holds GGUF files" if any(f.endswith(".gguf") for f in files) else "no config.json"
        )
        raise UserError(f"{name} is no model that can be loaded here: {what}")
    shards = {f for f in files if f.startswith("model-") and f.endswith(".safetensors")}
    if WEIGHTS in files:
        weights = {WEIGHTS}
    elif INDEX in files and shards:
        weights = {INDEX, *shards}
    else:
        pickles = sorted(f for f in files if Path(f).suffix in PICKLES)
        if pickles:
            raise UserError(
                f"{name} has its weights only as {pickles[0]}, which is a pickle: it can run any "
                "code when it is loaded, so it is never read; take a repository with safetensors, "
                "or convert it where you trust it, for example with transformers: AutoModelFor"
                f"CausalLM.from_pretrained({name!r}).save_pretrained(new_folder)"
            )
        raise UserError(f"{name} has no weights as {WEIGHTS}")
    return tuple(sorted({file for file in SMALL if file in files} | weights))


def missing_in(folder: Path) -> str | None:
    """What a model's folder lacks, or None: an interrupted download leaves some files out."""
    if not (folder / "config.json").is_file():
        return "config.json"
    if not (folder / WEIGHTS).is_file():
        if not (folder / INDEX).is_file():
            return WEIGHTS
        shards = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        lacking = [shard for shard in shards if not (folder / shard).is_file()]
        if lacking or not shards:
            return str(lacking[0] if lacking else INDEX)
    return None if any((folder / name).is_file() for name in TOKENIZERS) else TOKENIZERS[0]


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "models by name need huggingface_hub: pip install 'nanohydra[hf]'; or give a folder"
        ) from error
    return huggingface_hub


def _cached(name: HubName, config: HubConfig) -> Path | None:
    """The complete copy of the name's revision in the cache."""
    found = _cached_file(name, "config.json", config, name.revision)
    folder = found.parent if found else None
    return folder if folder is not None and missing_in(folder) is None else None


def _cached_file(name: HubName, file: str, config: HubConfig, revision: str | None) -> Path | None:
    try:
        found = _library().try_to_load_from_cache(
            str(name), file, cache_dir=config.cache, revision=revision
        )
    except ValueError as error:  # a name that the hub does not allow
        raise in_words(error, name, config) from error
    return Path(found) if isinstance(found, str) else None


def _listed(name: HubName, config: HubConfig) -> dict[str, int]:
    """Path -> bytes of the repository's files."""
    api = _library().HfApi(endpoint=config.endpoint, token=config.token)
    info = api.model_info(
        str(name), revision=name.revision, files_metadata=True, timeout=config.timeout
    )
    return {file.rfilename: file.size or 0 for file in info.siblings or ()}


def _check_space(name: HubName, files: Mapping[str, int], config: HubConfig) -> None:
    """Raise UserError if the files that are not in the cache yet do not fit on the disk."""
    cache = config.cache or Path(_library().constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    wanted = {
        file: size
        for file, size in files.items()
        if _cached_file(name, file, config, name.revision) is None
    }
    need, free = sum(wanted.values()), shutil.disk_usage(place).free
    if need > free:
        raise UserError(
            f"{name} takes {gigabytes(need)} on the disk, of which {gigabytes(free)} are free in "
            f"{place}; make room, or set HF_HOME to a folder on another disk"
        )
    if need:
        note = f"fetching {name}: {len(wanted)} files, {gigabytes(need)}, to {cache}"
        console(stderr=True).print(note, markup=False, soft_wrap=True)


def _download(name: HubName, files: tuple[str, ...], config: HubConfig) -> Path:
    """Fetch what is missing: whole files that an interrupted attempt left are kept."""
    revision = name.revision
    folder = Path()
    try:
        # One by one and not with `snapshot_download`: its threads outlive Ctrl-C by whole files.
        for file in sorted(files, key=lambda file: file != "config.json"):
            path = _library().hf_hub_download(
                str(name),
                file,
                revision=revision,
                cache_dir=config.cache,
                endpoint=config.endpoint,
                token=config.token,
                etag_timeout=config.timeout,
            )
            folder = Path(path).parent
            revision = folder.name  # the commit: all files are of one, whatever is pushed meanwhile
    except Exception as error:  # the library's errors have no base of their own
        raise in_words(error, name, config) from error
    return folder


def gigabytes(count: int) -> str:
    """A number of bytes as people read it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
