"""The decoder: tokens -> logits, over layers chosen one by one from tables.

Knows nothing of text, files, losses or devices beyond where its parameters lie.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.model.config import FEED_FORWARDS, MIXERS, ModelConfig
from nanohydra.model.layers import Context, make_norm, rope_tables, sinusoidal_table
from nanohydra.model.state import DecodingState, LayerState, Rows

# Larger than the usual 0.02: what the blocks add soon outgrows a small embedding, and with it the
# identity of the token that in-context lookup has to match (measured in docs/log.md).
EMBEDDING_STD = 0.1


class Block(nn.Module):
    """Pre-norm residual block: a mixer of tokens, then a feed-forward."""

    def __init__(self, config: ModelConfig, layer_type: str) -> None:
        super().__init__()
        self.mixer_norm = make_norm(config)
        self.mixer: nn.Module = MIXERS.load(layer_type)(config)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward: nn.Module = FEED_FORWARDS.load(config.feed_forward)(config)
        self.dropout = config.dropout

    def forward(self, x_BTD: Tensor, context: Context, state: LayerState | None) -> Tensor:
        """x_BTD -> x_BTD."""
        x_BTD = x_BTD + self.drop(self.mixer(self.mixer_norm(x_BTD), context, state))
        return x_BTD + self.drop(self.feed_forward(self.feed_forward_norm(x_BTD)))

    def drop(self, y_BTD: Tensor) -> Tensor:
        """Dropout on what a sublayer adds, while training."""
        return F.dropout(y_BTD, self.dropout) if self.dropout and self.training else y_BTD


class Decoder(nn.Module):
    """ids_BT -> logits_BTV."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config, kind) for kind in config.layer_types)
        self.final_norm = make_norm(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
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
        self._tables: tuple[Tensor, ...] = ()
        if config.position == "rope":
            self._tables = rope_tables(config)
        elif config.position == "sinusoidal":
            self._tables = (sinusoidal_table(config.max_seq_len, config.hidden_size),)

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
                parameter.fill_(1.0 if "norm" in leaf and name.endswith("weight") else 0.0)
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

    def forward(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        state: DecodingState | None = None,
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
        state: DecodingState | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """The final hidden states x_BTD, before the head; arguments as in `forward`."""
        extension: Rows | None = None
        if state is not None:
            extension = state.select(rows, ids_BT)
        context = self._context(ids_BT, positions_BT, segments_BT, extension)
        x_BTD = self._embed(ids_BT, context.positions_BT)
        for index, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, context, state.layers[index] if state is not None else None)
        if state is not None and extension is not None:
            state.advance(extension)
        return self.final_norm(x_BTD)

    def unembed(self, x_BTD: Tensor) -> Tensor:
        """Hidden states -> logits over the vocabulary."""
        return self.head(x_BTD)

    def _embed(self, ids_BT: Tensor, positions_BT: Tensor) -> Tensor:
        x_BTD = self.embed(ids_BT)
        if self.position_table is not None:
            x_BTD = x_BTD + self.position_table(positions_BT)
        elif self.config.position == "sinusoidal":
            (table,) = self._tables_here()
            x_BTD = x_BTD + table[positions_BT].to(x_BTD.dtype)
        if self.config.dropout and self.training:
            x_BTD = F.dropout(x_BTD, self.config.dropout)
        return x_BTD

    def _tables_here(self) -> tuple[Tensor, ...]:
        """The fixed tables on the model's device, float32."""
        if self._tables and self._tables[0].device != self.device:
            self._tables = tuple(table.to(self.device) for table in self._tables)
        return self._tables

    def _context(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None,
        segments_BT: Tensor | None,
        rows: Rows | None,
    ) -> Context:
        batch, length = ids_BT.shape
        steps = torch.arange(length, device=ids_BT.device)
        mask = bias = None
        if rows is not None:
            positions_BT = rows.lengths_B[:, None] + steps
            if length > 1 or batch > 1:
                keys = torch.arange(rows.longest + length, device=ids_BT.device)
                mask = (keys <= positions_BT[..., None]).unsqueeze(1)
        elif segments_BT is not None:
            same = segments_BT[:, :, None] == segments_BT[:, None, :]
            hidden = ~(same & (steps[:, None] >= steps)).unsqueeze(1)
            bias = torch.zeros(hidden.shape, dtype=self.dtype, device=ids_BT.device)
            bias.masked_fill_(hidden, -torch.inf)
        if positions_BT is None:
            positions_BT = steps.expand(batch, length)
        cos, sin = self._tables_here() if self.config.position == "rope" else (None, None)
        return Context(
            positions_BT=positions_BT,
            cos_LJ=cos,
            sin_LJ=sin,
            bias_B1TT=bias,
            mask_B1TS=mask,
            rows=rows,
        )
