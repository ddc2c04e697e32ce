"""Causal self-attention with grouped key/value heads, rotary positions and norms on q and k.

With as many key/value heads as heads it is multi-head attention, with one it is multi-query.
Follows Qwen3's layout (norm over each head before the rotation); arXiv 2305.13245 for grouping.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.model.config import ModelConfig
from nanohydra.model.layers import Context, RMSNorm, apply_rope
from nanohydra.model.state import KeyValueState


class Attention(nn.Module):
    """x_BTD -> y_BTD, looking at no later place and at no other segment."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, head = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(width, config.num_heads * head, bias=config.bias)
        self.k_proj = nn.Linear(width, config.num_kv_heads * head, bias=config.bias)
        self.v_proj = nn.Linear(width, config.num_kv_heads * head, bias=config.bias)
        self.o_proj = nn.Linear(config.num_heads * head, width, bias=config.bias)
        self.q_norm = RMSNorm(head, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(head, config.norm_eps) if config.qk_norm else None

    def init_state(
        self, num_rows: int, max_length: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValueState:
        """An empty cache for `num_rows` sequences."""
        shape = (num_rows, self.config.num_kv_heads, max_length, self.config.head_dim)
        return KeyValueState(
            torch.zeros(shape, dtype=dtype, device=device),
            torch.zeros(shape, dtype=dtype, device=device),
        )

    def forward(
        self, x_BTD: Tensor, context: Context, state: KeyValueState | None = None
    ) -> Tensor:
        """Attend over the given tokens, and over what the state holds."""
        head = (*x_BTD.shape[:2], -1, self.config.head_dim)
        q = self.q_proj(x_BTD).view(head)  # (B, T, H, K)
        k = self.k_proj(x_BTD).view(head)
        v = self.v_proj(x_BTD).view(head)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if context.cos_BT1K is not None and context.sin_BT1K is not None:
            q = apply_rope(q, context.cos_BT1K, context.sin_BT1K)
            k = apply_rope(k, context.cos_BT1K, context.sin_BT1K)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, K)
        if state is None:
            y = self.attend(q, k, v, context.mask_B1TS)
        else:
            assert context.rows is not None
            k, v = state.append(context.rows, k, v)
            y = grouped_attention(q, k, v, context.mask_B1TS)
        return self.o_proj(y.transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attention over one whole call, (B, H, T, K) each; None is a plain causal mask."""
        if k.shape[1] != q.shape[1]:
            # Expanded by hand: with enable_gqa the CPU leaves its fused kernel.
            group = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


def grouped_attention(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask_B1TS: Tensor | None
) -> Tensor:
    """Attention over cached keys with the group folded into the query rows, (B, H, T, K).

    On a CPU in bfloat16 this is many times faster than `enable_gqa`, and for one new token it
    reads every key once for the whole group.
    """
    batch, heads, length, head = q_BHTK.shape
    groups = k_BGSK.shape[1]
    fold = heads // groups
    q = q_BHTK.reshape(batch, groups, fold * length, head)
    scores = (q @ k_BGSK.transpose(-1, -2)).float() / math.sqrt(head)  # (B, G, fold*T, S)
    if mask_B1TS is not None:
        mask = mask_B1TS.expand(batch, fold, length, mask_B1TS.shape[-1])
        scores = scores.masked_fill(~mask.reshape(batch, 1, fold * length, -1), -torch.inf)
    y = scores.softmax(-1).to(q.dtype) @ v_BGSK
    return y.view(batch, heads, length, head)
