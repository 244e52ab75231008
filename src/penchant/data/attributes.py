"""What is known of users and of items beside their ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.vocabulary import FIRST, Vocabulary
from penchant.errors import ArgumentError, nearest


@dataclass(frozen=True, eq=False)
class Categories:
    """A multi-label attribute, ragged.

    Attributes:
        values: label indices [T] int32, from 2 (0 padding, 1 unknown).
        offsets: [V+1] int64; the labels of row v are `values[offsets[v]:offsets[v+1]]`.
        labels: the names of the labels.
    """

    values: Tensor
    offsets: Tensor
    labels: Vocabulary

    def __repr__(self) -> str:
        rows, kinds = len(self.offsets) - 1, len(self.labels) - FIRST
        return f"Categories({len(self.values):,} labels of {kinds:,} kinds in {rows:,} rows)"

    @cached_property
    def padded(self) -> Tensor:
        """The same as a table [V, M] int64, 0 where a row has fewer than M labels (M at least 1)."""
        lengths = self.offsets.diff()
        rows = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        place = torch.arange(len(self.values)) - self.offsets[:-1][rows]
        width = max(1, int(lengths.max()) if len(lengths) else 1)
        table = torch.zeros(len(lengths), width, dtype=torch.int64)
        table[rows, place] = self.values.long()
        return table


@dataclass(frozen=True, eq=False)
class Attributes:
    """Attributes of users, or of items (the catalogue), one row an index of `vocabulary`.

    Attributes:
        vocabulary: the ids; V = len(vocabulary), padding and unknown included.
        categories: multi-label attributes by name.
        numbers: [V] float32 by name, NaN where missing.
        text: [V] strings by name, null where missing.
        vectors: [V, D] float32 by name, zero where missing.
        title: the text attribute to show to people, if any.
    """

    vocabulary: Vocabulary
    categories: Mapping[str, Categories] = field(default_factory=dict[str, Categories])
    numbers: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    text: Mapping[str, pl.Series] = field(default_factory=dict[str, pl.Series])
    vectors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    title: str | None = None

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        kinds = {"categories": self.categories, "numbers": self.numbers, "text": self.text}
        kinds |= {"vectors": self.vectors}
        named = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
        return f"Attributes({'; '.join([f'{len(self):,} rows', *named])})"

    def category(self, name: str) -> Categories:
        """The attribute `name`; ArgumentError names the nearest one where there is none."""
        if name not in self.categories:
            hint = nearest(name, list(self.categories))
            raise ArgumentError(
                "categories", name, expected=f"a category of the log ({hint})",
                fix="leave it out, or read the log with it: items(..., categories=...), --items-categories",
            )  # fmt: skip
        return self.categories[name]

    def titles(self, index: np.ndarray | list[int]) -> list[str]:
        """What to call the rows `index` in front of people: the title, else the external id."""
        ids = self.vocabulary.ids(index).cast(pl.String)
        if self.title is not None:
            ids = self.text[self.title].gather(pl.Series(np.asarray(index, dtype=np.int64))).fill_null(ids)
        return ids.fill_null("?").to_list()
