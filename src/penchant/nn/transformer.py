"""The self-attention block of SASRec, in the three ways of placing its norms."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from penchant.nn.attention import Packing, cached_attention, causal_attention, last_attention
from penchant.nn.dropout import Dropout
from penchant.nn.mlp import bare_linear
from penchant.nn.user_state import Extension

Norm = Literal["sasrec", "pre", "post"]


class Block(nn.Module):
    """Causal self-attention, then a feed-forward layer, on packed rows.

    Args:
        width: D.
        heads: attention heads.
        ffn_mult: width of the feed-forward layer, in multiples of D.
        dropout: inside and after the feed-forward layer; for "pre" and "post" after the attention too.
        attention_dropout: of attention weights.
        norm: "sasrec": the normalised query is the residual, keys and values come from the bare input; "pre":
            norms before each half, bare residuals; "post": norms after each residual sum.
        generator: what the initial weights are drawn from (Xavier normal; biases are zero).
    """

    def __init__(
        self, width: int, heads: int, ffn_mult: int, dropout: float, attention_dropout: float, norm: Norm,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.norm: Norm = norm
        self.query = linear(width, width, generator)
        self.key_value = linear(width, 2 * width, generator)
        with torch.no_grad():  # two matrices in one: each has its own scale
            for half in self.key_value.weight.chunk(2):
                nn.init.xavier_normal_(half, generator=generator)
        self.merge = linear(width, width, generator)
        self.wide = linear(width, width * ffn_mult, generator)
        self.narrow = linear(width * ffn_mult, width, generator)
        self.first_norm = nn.LayerNorm(width, eps=1e-8)
        self.second_norm = nn.LayerNorm(width, eps=1e-8)
        self.drop = Dropout(dropout)

    def forward(self, rows: Tensor, packing: Packing, *, last: bool = False) -> Tensor:
        """Packed rows [T, D] to packed rows, with `last` to those of the newest events alone, [B', D]."""
        query, residual, key_value = self._inputs(rows)
        if not last:
            dropout = self.attention_dropout if self.training else 0.0
            found = causal_attention(self.query(query), key_value, packing, self.heads, dropout)
            return self._finish(residual, found)
        query, residual = query.index_select(0, packing.newest), residual.index_select(0, packing.newest)
        return self._finish(residual, last_attention(self.query(query), key_value, packing, self.heads))

    def extend(self, rows: Tensor, cache: Tensor, extension: Extension) -> tuple[Tensor, Tensor]:
        """New rows [T', D] after those whose keys and values are cached, [B, L, 2D]; and the new cache."""
        query, residual, key_value = self._inputs(rows)
        cache = cache.flatten(0, 1).index_copy(0, extension.cell, key_value).view(cache.shape)
        found = cached_attention(
            self.query(query), cache, extension.owner, extension.offset, extension.place, self.heads
        )
        return self._finish(residual, found), cache

    def _inputs(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What queries are made from, what the attention is added to, and keys and values."""
        normed = rows if self.norm == "post" else self.first_norm(rows)
        key_value = self.key_value(rows if self.norm == "sasrec" else normed)
        return normed, rows if self.norm == "pre" else normed, key_value

    def _finish(self, residual: Tensor, found: Tensor) -> Tensor:
        found = self.merge(found)
        if self.norm == "sasrec":
            middle = self.second_norm(residual + found)
            return middle + self._feed(middle)
        middle = residual + self.drop(found)
        if self.norm == "pre":
            return middle + self._feed(self.second_norm(middle))
        middle = self.first_norm(middle)
        return self.second_norm(middle + self._feed(middle))

    def _feed(self, rows: Tensor) -> Tensor:
        return self.drop(self.narrow(self.drop(F.relu(self.wide(rows)))))


def linear(inputs: int, outputs: int, generator: Generator) -> nn.Linear:
    """A linear layer with Xavier normal weights and zero biases."""
    layer = bare_linear(inputs, outputs)
    nn.init.xavier_normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
