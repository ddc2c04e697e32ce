"""GGUF, the one file that llama.cpp, Ollama and others run: weights, shape, tokenizer, template."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.checkpoint.gguf.file import Written, write_gguf

__all__ = ["TYPES", "Written", "write_gguf"]
TYPES = ("f32", "f16", "q8_0", "q4_0")
__getattr__ = lazy_names(
    __name__, dict.fromkeys(("Written", "write_gguf"), "nanohydra.checkpoint.gguf.file")
)
