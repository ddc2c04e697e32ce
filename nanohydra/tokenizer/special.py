"""The special tokens, in the order of their ids 0..7. Ordinary text can never produce one."""

from __future__ import annotations

BOS, PAD, END = "<|bos|>", "<|pad|>", "<|end|>"
SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
CALL = "<|call|>"

SPECIAL_TOKENS = (BOS, PAD, END, SYSTEM, USER, ASSISTANT, TOOL, CALL)
MIN_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256
