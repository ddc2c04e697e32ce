"""How long sequences may be, and how many blocks there are for them: what the memory allows."""

from __future__ import annotations

import torch

from nanohydra.core.errors import UserError
from nanohydra.core.runtime import available_memory
from nanohydra.engine.config import DEFAULT_MAX_LENGTH, EngineConfig

GIB = 2**30
SHARE_OF_CPU = 0.25  # of what is free: other models, a learner and the system live there as well
SHARE_OF_GPU = 0.85


def choose_num_blocks(
    config: EngineConfig, max_length: int, bytes_per_block: int, device: torch.device
) -> int:
    """Blocks to make, block 0 among them. Raises UserError if not even two fit."""
    if config.num_blocks:
        return config.num_blocks
    enough = config.max_rows * -(-max_length // config.block_size) + 1
    limit = int(config.kv_memory * GIB) or free_memory(device)
    fitting = limit // max(bytes_per_block, 1)
    if fitting < 2:
        raise UserError(
            f"{limit / GIB:.3g} GiB have no room for keys and values: a block of "
            f"{config.block_size} tokens takes {bytes_per_block / GIB:.3g} GiB, and two are "
            "needed; raise engine.kv_memory, lower engine.block_size, or end other programs"
        )
    return min(enough, fitting)


def free_memory(device: torch.device) -> int:
    """Bytes of the device that keys and values may take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * SHARE_OF_GPU)
    return int(available_memory() * SHARE_OF_CPU)


def longest_context(config: EngineConfig, limit: int) -> int:
    """Tokens that a sequence may have. Raises UserError for more than the model's limit."""
    if config.max_length > limit:
        raise UserError(
            f"engine.max_length is {config.max_length}, but the model was made for at most "
            f"{limit} tokens; give at most that, or 0"
        )
    return config.max_length or min(limit, DEFAULT_MAX_LENGTH)
