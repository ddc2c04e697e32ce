"""Causal self-attention with grouped key/value heads, rotary positions and norms on q and k.

With as many key/value heads as heads it is multi-head attention, with one it is multi-query.
Follows Qwen3's layout (norm over each head before the rotation); arXiv 2305.13245 for grouping.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.kernels import causal_attention, norm_rope
from nanohydra.model.config import ModelConfig
from nanohydra.model.layers import Context, RMSNorm, make_rms_norm
from nanohydra.model.linear import Linear, project
from nanohydra.model.paged import KeyValuePages
from nanohydra.model.state import KeyValues, KeyValueState


class Attention(nn.Module):
    """x_BTD -> y_BTD, looking at no later place and at no other segment."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, head = config.hidden_size, config.head_dim
        queries, keys = config.num_heads * head, config.num_kv_heads * head
        bias = config.has_bias("qkv")
        self.q_proj = Linear(width, queries, bias=bias)
        self.k_proj = Linear(width, keys, bias=bias)
        self.v_proj = Linear(width, keys, bias=bias)
        self.o_proj = Linear(queries, width, bias=config.has_bias("output"))
        self.q_norm: RMSNorm | None = None
        self.k_norm: RMSNorm | None = None
        self.norm_whole = config.qk_norm and config.qk_norm_span == "all"
        if config.qk_norm:
            self.q_norm = make_rms_norm(config, queries if self.norm_whole else head)
            self.k_norm = make_rms_norm(config, keys if self.norm_whole else head)
        self.divisor = math.sqrt(config.query_pre_attn_scalar or head)

    def init_state(
        self, num_rows: int, max_length: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValueState:
        """An empty cache for `num_rows` sequences."""
        shape = (num_rows, self.config.num_kv_heads, max_length, self.config.head_dim)
        return KeyValueState(
            torch.zeros(shape, dtype=dtype, device=device),
            torch.zeros(shape, dtype=dtype, device=device),
        )

    def init_pages(
        self, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValuePages:
        """Empty pages for keys and values."""
        shape = (num_blocks, self.config.num_kv_heads, block_size, self.config.head_dim)
        return KeyValuePages(
            torch.zeros(shape, dtype=dtype, device=device),
            torch.zeros(shape, dtype=dtype, device=device),
        )

    def forward(self, x_BTD: Tensor, context: Context, state: KeyValues | None = None) -> Tensor:
        """Attend over the given tokens, and over what the state holds."""
        head = (*x_BTD.shape[:2], -1, self.config.head_dim)
        q, k, v = project(x_BTD, self.q_proj, self.k_proj, self.v_proj)
        if self.norm_whole:
            assert self.q_norm is not None and self.k_norm is not None
            q = self.place(self.q_norm(q).view(head), None, context)
            k = self.place(self.k_norm(k).view(head), None, context)
        else:
            q = self.place(q.view(head), self.q_norm, context)
            k = self.place(k.view(head), self.k_norm, context)
        v = v.view(head).transpose(1, 2)  # (B, G, T, K)
        y = self.attend(q, k, v, context, state)
        return self.o_proj(y.transpose(1, 2).flatten(2))

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, context: Context, state: KeyValues | None
    ) -> Tensor:
        """What the queries find among the given keys and values and those of the state."""
        softcap = self.config.attention_softcap
        if state is not None:
            assert context.rows is not None
            k, v = state.append(context.rows, k, v)
            if context.first_key:
                k, v = k[:, :, context.first_key :], v[:, :, context.first_key :]
            return grouped_attention(q, k, v, context.mask_B1TS, self.divisor, softcap)
        if softcap:  # PyTorch's fused operator has no place for it
            return grouped_attention(q, k, v, context.visible_B1TT, self.divisor, softcap)
        return causal_attention(q, k, v, context.bias_B1TT, 1 / self.divisor)

    def place(self, x_BTHK: Tensor, norm: RMSNorm | None, context: Context) -> Tensor:
        """Queries or keys, normed over each head and rotated by position, as (B, H, T, K)."""
        if context.cos_LJ is None or context.sin_LJ is None:
            return (x_BTHK if norm is None else norm(x_BTHK)).transpose(1, 2)
        if self.config.rotary_dim:
            return self.place_part(x_BTHK, norm, context)
        weight, eps, offset = (None, 0.0, 0.0) if norm is None else norm.arguments
        tables = (context.positions_BT, context.cos_LJ, context.sin_LJ)
        return norm_rope(x_BTHK, weight, eps, *tables, offset).transpose(1, 2)

    def place_part(self, x_BTHK: Tensor, norm: RMSNorm | None, context: Context) -> Tensor:
        """The same where only the first numbers of a head are rotated."""
        assert context.cos_LJ is not None and context.sin_LJ is not None
        x_BTHK = x_BTHK if norm is None else norm(x_BTHK)
        tables = (context.positions_BT, context.cos_LJ, context.sin_LJ)
        rotated = norm_rope(x_BTHK[..., : self.config.rotary_dim], None, 0.0, *tables)
        rest = x_BTHK[..., self.config.rotary_dim :]
        return torch.cat([rotated, rest], dim=-1).transpose(1, 2)


def grouped_attention(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    mask_B1TS: Tensor | None,
    divisor: float,
    softcap: float = 0.0,
) -> Tensor:
    """Attention over cached keys with the group folded into the query rows, (B, H, T, K).

    On a CPU in bfloat16 this is many times faster than `enable_gqa`, and for one new token it
    reads every key once for the whole group. divisor: of the scores. softcap: see ModelConfig.
    """
    batch, heads, length, head = q_BHTK.shape
    groups = k_BGSK.shape[1]
    fold = heads // groups
    q = q_BHTK.reshape(batch, groups, fold * length, head)
    if mask_B1TS is None and not softcap:
        y = F.scaled_dot_product_attention(q, k_BGSK, v_BGSK, scale=1 / divisor)
        return y.view(batch, heads, length, head)
    scores = (q @ k_BGSK.transpose(-1, -2)).float() / divisor  # (B, G, fold*T, S)
    if softcap:
        scores = (scores / softcap).tanh() * softcap
    if mask_B1TS is not None:
        mask = mask_B1TS.expand(batch, fold, length, mask_B1TS.shape[-1])
        scores = scores.masked_fill(~mask.reshape(batch, 1, fold * length, -1), -torch.inf)
    y = scores.softmax(-1).to(q.dtype) @ v_BGSK
    return y.view(batch, heads, length, head)
