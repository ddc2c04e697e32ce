"""What stands beside `tokenizer.json` in a model's folder: named tokens, templates, stop ids.

Reads Hugging Face's files, of several generations, and writes them as they were. Knows nothing of
ids other than those that the files name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, read_json, write_json

TOKENIZER, SENTENCEPIECE = "tokenizer.json", "tokenizer.model"
CONFIG, SPECIAL, GENERATION = (
    "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
)  # fmt: skip
JINJA, JINJA_JSON, MORE_JINJA = (
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)
GPT2_FILES = ("vocab.json", "merges.txt")
GPT2_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
}
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FILES = (TOKENIZER, SENTENCEPIECE, CONFIG, SPECIAL, JINJA, MORE_JINJA)  # that a tokenizer may have


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """The contents of a folder's files; empty where it has none.

    config, special, generation: tokenizer_config.json, special_tokens_map.json and
        generation_config.json. jinja: templates of their own files, by name; "default" is the one
        for every conversation. eos_ids: those of config.json.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    special: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    jinja: Mapping[str, str] = field(default_factory=dict)
    eos_ids: tuple[int, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> TokenizerFiles:
        """The files of a folder. Raises UserError for one that is damaged."""
        jinja = {path.stem: _text(path) for path in sorted((folder / MORE_JINJA).glob("*.jinja"))}
        if (folder / JINJA_JSON).is_file():
            jinja["default"] = str(_json(folder / JINJA_JSON).get("chat_template", ""))
        if (folder / JINJA).is_file():
            jinja["default"] = _text(folder / JINJA)
        about = _json(folder / "config.json")
        return cls(
            config=_json(folder / CONFIG),
            special=_json(folder / SPECIAL),
            generation=_json(folder / GENERATION),
            jinja=jinja,
            eos_ids=_ids(about.get("eos_token_id", _text_config(about).get("eos_token_id"))),
        )

    def write(self, folder: Path) -> None:
        """Write what belongs to the tokenizer; generation_config.json belongs to the model."""
        write_json(folder / CONFIG, dict(self.config))
        if self.special:
            write_json(folder / SPECIAL, dict(self.special))
        for name, text in self.jinja.items():
            path = folder / JINJA if name == "default" else folder / MORE_JINJA / f"{name}.jinja"
            path.parent.mkdir(exist_ok=True)
            with atomic_path(path) as new:
                new.write_text(text, encoding="utf-8")

    @property
    def templates(self) -> dict[str, str]:
        """Chat templates by name; files of their own win over tokenizer_config.json."""
        given = self.config.get("chat_template")
        if isinstance(given, str):
            named = {"default": given}
        elif isinstance(given, list):
            named = {str(each["name"]): str(each["template"]) for each in given}
        else:
            named = {}
        return {name: text for name, text in {**named, **self.jinja}.items() if text}

    @property
    def named_tokens(self) -> dict[str, str]:
        """`bos_token` and the like -> the token's text."""
        found = {}
        for name in NAMES:
            value = self.config.get(name, self.special.get(name))
            value = value.get("content") if isinstance(value, Mapping) else value
            if isinstance(value, str) and value:
                found[name] = value
        return found

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end a text, as the model's files say; generation_config.json first."""
        stated = _ids(self.generation.get("eos_token_id"))
        return tuple(dict.fromkeys((*stated, *self.eos_ids)))

    def added_tokens(self) -> Iterator[tuple[int, AddedToken]]:
        """Tokens that tokenizer_config.json lists with their ids."""
        listed = self.config.get("added_tokens_decoder") or {}
        for id, about in sorted(listed.items(), key=lambda pair: int(pair[0])):
            flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
            chosen = {flag: bool(about[flag]) for flag in flags if flag in about}
            yield int(id), AddedToken(about["content"], **chosen)

    def special_names(self) -> Iterator[str]:
        """Every token that the files call special, named or not."""
        yield from self.named_tokens.values()
        for key in ("additional_special_tokens", "extra_special_tokens"):
            given = self.config.get(key) or self.special.get(key) or ()
            for each in given.values() if isinstance(given, Mapping) else given:
                yield each["content"] if isinstance(each, Mapping) else str(each)


def _ids(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(id for id in values if isinstance(id, int) and not isinstance(id, bool))


def _text_config(about: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = about.get("text_config")
    return inner if isinstance(inner, Mapping) else {}


def _json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
