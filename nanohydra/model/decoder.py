"""The decoder: tokens -> logits, over layers chosen one by one from tables.

Knows nothing of text, files, losses or devices beyond where its parameters lie.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nanohydra.model.config import FEED_FORWARDS, MIXERS, ModelConfig
from nanohydra.model.layers import Context, make_norm, sinusoidal_table
from nanohydra.model.linear import Linear
from nanohydra.model.masks import first_key_of, score_bias, state_mask
from nanohydra.model.paged import LayerPages, PagedState
from nanohydra.model.rope import RopeTables
from nanohydra.model.state import DecodingState, Extension, LayerState, State

# Larger than the usual 0.02: what the blocks add soon outgrows a small embedding, and with it the
# identity of the token that in-context lookup has to match (measured in docs/log.md).
EMBEDDING_STD = 0.1


class Block(nn.Module):
    """Residual block: a mixer of tokens, then a feed-forward, each with norms before or after."""

    def __init__(self, config: ModelConfig, layer_type: str) -> None:
        super().__init__()
        before, after = config.norm_place != "post", config.norm_place != "pre"
        self.mixer_norm = make_norm(config) if before else None
        self.mixer: nn.Module = MIXERS.load(layer_type)(config)
        self.mixer_post_norm = make_norm(config) if after else None
        self.feed_forward_norm = make_norm(config) if before else None
        self.feed_forward: nn.Module = FEED_FORWARDS.load(config.feed_forward)(config)
        self.feed_forward_post_norm = make_norm(config) if after else None
        self.dropout = config.dropout

    def forward(self, x_BTD: Tensor, context: Context, state: Any) -> Tensor:
        """x_BTD -> x_BTD."""
        y_BTD = x_BTD if self.mixer_norm is None else self.mixer_norm(x_BTD)
        y_BTD = self.mixer(y_BTD, context, state)
        if self.mixer_post_norm is not None:
            y_BTD = self.mixer_post_norm(y_BTD)
        x_BTD = x_BTD + self.drop(y_BTD)
        y_BTD = x_BTD if self.feed_forward_norm is None else self.feed_forward_norm(x_BTD)
        y_BTD = self.feed_forward(y_BTD)
        if self.feed_forward_post_norm is not None:
            y_BTD = self.feed_forward_post_norm(y_BTD)
        return x_BTD + self.drop(y_BTD)

    def drop(self, y_BTD: Tensor) -> Tensor:
        """Dropout on what a sublayer adds, while training."""
        return F.dropout(y_BTD, self.dropout) if self.dropout and self.training else y_BTD


class Decoder(nn.Module):
    """ids_BT -> logits_BTV.

    recompute: a backward pass computes each block again from its input, instead of keeping what
    is inside: less memory for a third more time (arXiv 1604.06174).
    pristine: `base_hash` of the weights that a quantised model was made from; else empty.
    """

    recompute: bool = False
    pristine: str = ""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config, kind) for kind in config.layer_types)
        self.final_norm = make_norm(config)
        self.head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.embed.weight
        self.position_table: nn.Embedding | None = None
        if config.position == "learned":
            self.position_table = nn.Embedding(config.max_seq_len, config.hidden_size)
        self.make_tables()
        self.init_weights()

    def make_tables(self) -> None:
        """Compute the position tables: float32, outside of the state dict and of dtype casts.

        To be called again after a model was built on the meta device.
        """
        config = self.config
        self._rope = RopeTables(config) if config.position == "rope" else None
        self._local_rope = self._rope
        if config.position == "rope" and config.rope_local_theta:
            self._local_rope = RopeTables(config, local=True)
        self._sinusoids: Tensor | None = None
        if config.position == "sinusoidal":
            self._sinusoids = sinusoidal_table(config.max_seq_len, config.hidden_size)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Normal weights of standard deviation width^-0.5, what adds to the residual zero.

        Zero output projections make the model start as its embedding alone (as in muP and
        modded-nanogpt), which trains faster with Muon and hurts nothing with AdamW.
        """
        width = self.config.hidden_size
        for name, parameter in self.named_parameters():
            leaf = name.rsplit(".", 2)[-2]
            if name.endswith("conv_weight"):
                parameter.zero_()
                parameter[-1] = 1.0
            elif parameter.ndim == 1:
                scale = "norm" in leaf and name.endswith("weight")
                parameter.fill_(1.0 if scale and not self.config.norm_unit_offset else 0.0)
            elif leaf in ("o_proj", "out_proj", "down_proj"):
                parameter.zero_()
            elif leaf in ("embed", "head", "position_table"):
                parameter.normal_(std=EMBEDDING_STD, generator=generator)
            else:
                parameter.normal_(std=width**-0.5, generator=generator)

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the weights are stored and multiplied in."""
        return self.embed.weight.dtype

    def init_state(
        self, num_rows: int, max_length: int, dtype: torch.dtype | None = None
    ) -> DecodingState:
        """An empty decoding state for `num_rows` sequences of at most `max_length` tokens."""
        layers = [
            cast(
                LayerState,
                block.mixer.init_state(  # type: ignore[union-attr,operator]
                    num_rows, max_length, dtype or self.dtype, self.device
                ),
            )
            for block in self.blocks
        ]
        return DecodingState(layers, num_rows, max_length)

    def init_pages(
        self,
        num_blocks: int,
        block_size: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> PagedState:
        """An empty decoding state in blocks of `block_size` tokens, block 0 among them."""
        layers = [
            cast(
                LayerPages,
                block.mixer.init_pages(  # type: ignore[union-attr,operator]
                    num_blocks, block_size, dtype or self.dtype, device or self.device
                ),
            )
            for block in self.blocks
        ]
        return PagedState(layers, num_blocks, block_size)

    def forward(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        state: State | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V) for the next token at every place.

        positions_BT, segments_BT: for packed rows (see core.types.Batch); without them a row is
        one sequence. With a state, the tokens continue its rows (`rows`: their numbers, default
        the first B), and positions follow from their lengths.
        """
        x_BTD = self.hidden(
            ids_BT, positions_BT=positions_BT, segments_BT=segments_BT, state=state, rows=rows
        )
        return self.unembed(x_BTD)

    def hidden(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        state: State | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """The final hidden states x_BTD, before the head; arguments as in `forward`."""
        extension: Extension | None = None
        if state is not None:
            extension = state.select(rows, ids_BT)
        context = self._context(ids_BT, positions_BT, segments_BT, extension)
        x_BTD = self._embed(ids_BT, context.positions_BT)
        recompute = self.recompute and state is None and torch.is_grad_enabled()
        for index, block in enumerate(self.blocks):
            if recompute:
                x_BTD = checkpoint(block, x_BTD, context, None, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, context, state.layers[index] if state is not None else None)
        if state is not None and extension is not None:
            state.advance(extension)
        return self.final_norm(x_BTD)

    def unembed(self, x_BTD: Tensor) -> Tensor:
        """Hidden states -> logits over the vocabulary."""
        logits = self.head(x_BTD)
        softcap = self.config.logit_softcap
        return torch.tanh(logits / softcap) * softcap if softcap else logits

    def _embed(self, ids_BT: Tensor, positions_BT: Tensor) -> Tensor:
        x_BTD = self.embed(ids_BT)
        if self.config.scale_embeddings:
            # The factor is rounded to the weights' dtype, as it was when Gemma was trained.
            root = torch.tensor(math.sqrt(self.config.hidden_size), dtype=x_BTD.dtype)
            x_BTD = x_BTD * root.item()
        if self.position_table is not None:
            x_BTD = x_BTD + self.position_table(positions_BT)
        elif self._sinusoids is not None:
            self._sinusoids = self._sinusoids.to(self.device)
            x_BTD = x_BTD + self._sinusoids[positions_BT].to(x_BTD.dtype)
        if self.config.dropout and self.training:
            x_BTD = F.dropout(x_BTD, self.config.dropout)
        return x_BTD

    def _context(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None,
        segments_BT: Tensor | None,
        rows: Extension | None,
    ) -> Context:
        batch, length = ids_BT.shape
        steps = torch.arange(length, device=ids_BT.device)
        total = length
        if rows is not None:
            positions_BT = rows.lengths_B[:, None] + steps
            total += rows.longest
        elif positions_BT is None:
            positions_BT = steps.expand(batch, length)
        else:
            total = self._places(positions_BT)
        sliding = None
        if window := self.config.sliding_window:
            sliding = self._masked(positions_BT, segments_BT, rows, total, window, None)
        return self._masked(positions_BT, segments_BT, rows, total, 0, sliding)

    def _masked(
        self,
        positions_BT: Tensor,
        segments_BT: Tensor | None,
        rows: Extension | None,
        total: int,
        window: int,
        sliding: Context | None,
    ) -> Context:
        """The context of the layers with this window: who sees whom, and the rotations."""
        bias = mask = cos = sin = None
        first_key = 0
        if rows is None:
            bias = score_bias(positions_BT.shape[1], segments_BT, window, self.embed.weight)
        else:
            first_key = first_key_of(rows.shortest, window) if window else 0
            mask = state_mask(positions_BT, total, window, first_key)
        rope = self._local_rope if window else self._rope
        if rope is not None:
            cos, sin = rope.cover(total, self.device)
        return Context(
            positions_BT=positions_BT,
            cos_LJ=cos,
            sin_LJ=sin,
            bias_B1TT=bias,
            mask_B1TS=mask,
            first_key=first_key,
            rows=rows,
            sliding=sliding,
        )

    def _places(self, positions_BT: Tensor) -> int:
        """How many places given positions reach over, as far as tables have to grow for them."""
        limit = self.config.max_seq_len
        if self._rope is None or self._rope.length >= limit:
            return limit
        return int(positions_BT.max()) + 1  # waits for the device: for long contexts alone
