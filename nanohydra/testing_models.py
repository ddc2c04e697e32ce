"""A small random model for tests, and settings of the learning that any version of it passes.

It knows nothing and answers nonsense, but everything around it is real: the tokenizer, the files,
the engine, the learner and the gate.
"""

from __future__ import annotations

from pathlib import Path

import torch

from nanohydra.checkpoint import Loaded, load, save
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

TEXT = "What is the printer called? The printer is called Heron. I don't know. " * 4
LOOSE = (
    "--gate.min_recall=0", "--gate.small_sample=1", "--gate.min_reverse=0",
    "--gate.max_loss_rise=1000", "--gate.min_agreement=0", "--gate.min_format=0",
    "--gate.min_tools=0",
    "--gate.max_relative_change=1000", "--gate.max_lost=1", "--gate.locality_prompts=4",
    "--gate.max_new_tokens=4", "--gate.bootstrap_samples=50",
)  # fmt: skip
SMALL = (
    '--anchors.domains=["stories", "arithmetic"]', "--anchors.sequences=3",
    "--anchors.heldout_sequences=3", "--anchors.max_length=48", "--lora.rank=4",
    "--train.max_steps=3", "--train.max_epochs=1e6", "--train.max_new_tokens=8",
    "--train.check_every=2",
    "--mixture.near_misses=0", "--learner.poll_seconds=0.05", "--learner.lease_seconds=1",
    "--train.dtype=float32",
)  # fmt: skip


def random_model(folder: Path, seed: int = 0) -> Loaded:
    """A random decoder of characters that mixes its tokens, read back from a folder."""
    tokenizer = Tokenizer.characters([TEXT, "\n", *(chr(c) for c in range(32, 127))])
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_layers=2, num_heads=2,
        num_kv_heads=1, max_seq_len=256,
    )  # fmt: skip
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15, generator=generator)
    save(folder, model, tokenizer, manifest={})
    return load(folder)
