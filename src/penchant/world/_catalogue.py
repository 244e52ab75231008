"""The items of a world: categories, popularity, births, sequels, content; and how one is drawn from a
category.
"""

from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from penchant.data.loader import keyed_generator
from penchant.world.effects import Births, Content, Popularity

_NAMES = (
    "drama", "comedy", "thriller", "romance", "mystery", "fantasy", "western", "history", "science", "travel",
    "cooking", "music", "sports", "nature", "crime", "horror", "poetry", "family", "animation", "business",
    "health", "politics", "art", "gaming", "fashion", "gardening", "technology", "war", "biography",
    "adventure", "faith", "design",
)  # fmt: skip


def category_names(count: int) -> list[str]:
    """Readable names, unique."""
    size = len(_NAMES)
    return [_NAMES[n % size] + (f" {1 + n // size}" if n >= size else "") for n in range(count)]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items, drawn once. V items, C categories, T days.

    Attributes:
        main, other: [V] categories; the same where an item has one only.
        share: [V] how much of the item lies in `main` (1 or 1/2); the rest lies in `other`.
        weight: [V] popularity weights w.
        quality: [V] log w, standardised.
        born: [V] days.
        sequel: [V] items.
        vectors: [V, D] float32; None without content.
        stars: [V] float32; None without content.
        mass: [T, C] popularity weight of the born items of a category, each by its share.
        alive: [T] born items.
    """

    main: Tensor
    other: Tensor
    share: Tensor
    weight: Tensor
    quality: Tensor
    born: Tensor
    sequel: Tensor
    vectors: Tensor | None
    stars: Tensor | None
    mass: Tensor
    alive: Tensor
    _by_birth: Tensor  # [V] items, the oldest first
    _listed: Tensor  # items category by category, the oldest first
    _sums: Tensor  # running sum of their weights, one longer
    _begin: Tensor  # [C] where a category begins
    _end: Tensor  # [T, C] where its born items end

    def in_category(self, category: Tensor, day: Tensor, u: Tensor) -> Tensor:
        """Draws born items of categories in proportion to m_ic w_i.

        Args:
            category: any shape.
            day: days, of a shape that broadcasts to it.
            u: uniform numbers, of its shape.
        """
        begin, end = self._begin[category], self._end[day, category]
        low = self._sums[begin]
        point = low + u * (self._sums[end] - low)
        place = torch.searchsorted(self._sums, point, right=True) - 1
        return self._listed[torch.minimum(torch.maximum(place, begin), end - 1)]

    def any_born(self, day: Tensor, u: Tensor) -> Tensor:
        """Draws born items uniformly."""
        alive = self.alive[day]
        return self._by_birth[torch.minimum((u * alive).long(), alive - 1)]

    def chance(self, items: Tensor, by_category: Tensor, day: Tensor) -> Tensor:
        """sum_c p_c m_ic w_i / w_c: the chance of items when a category is drawn first.

        Args:
            items: [B, K].
            by_category: p [B, C].
            day: [B].
        """
        ratio = by_category / self.mass.index_select(0, day)
        found = self.mix(ratio, items) * self.weight[items]
        return found * (self.born[items] <= day.unsqueeze(1))

    def mix(self, by_category: Tensor, items: Tensor) -> Tensor:
        """sum_c m_ic x_c, [B, K].

        Args:
            by_category: x [B, C].
            items: [B, K].
        """
        share = self.share[items]
        return share * by_category.gather(1, self.main[items]) + (1 - share) * by_category.gather(
            1, self.other[items]
        )

    def frame(self, names: list[str]) -> pl.DataFrame:
        """The item table that a model may read: title, categories, day of birth, content."""
        main, other = self.main.tolist(), self.other.tolist()
        table = pl.DataFrame(
            {
                "item": torch.arange(len(main)).numpy(),
                "title": [f"{names[c]} {i}" for i, c in enumerate(main)],
                "category": [
                    names[a] if a == b else f"{names[a]}|{names[b]}"
                    for a, b in zip(main, other, strict=True)
                ],
                "born": self.born.numpy().astype("float32"),
            }
        )  # fmt: skip
        if self.vectors is None or self.stars is None:
            return table
        vectors = pl.Series("vector", self.vectors.numpy(), dtype=pl.Array(pl.Float32, self.vectors.shape[1]))
        return table.with_columns(
            pl.Series("stars", self.stars.numpy()), vectors.cast(pl.List(pl.Float32)).alias("vector")
        )


def make_catalogue(
    items: int, categories: int, days: int, seed: int, *, popularity: Popularity | None,
    births: Births | None, content: Content | None,
) -> Catalogue:  # fmt: skip
    """Draws the items of a world; every effect has draws of its own, so that one does not move another's."""
    main = torch.randperm(items, generator=keyed_generator(seed, "categories")) % categories
    other, share = main.clone(), torch.ones(items, dtype=torch.float64)
    if content is not None and categories > 1:
        g = keyed_generator(seed, "second categories")
        two = torch.rand(items, generator=g) < content.second
        step = torch.randint(1, categories, (items,), generator=g)
        other, share = torch.where(two, (main + step) % categories, main), 1 - 0.5 * two.double()
    rank = torch.randperm(items, generator=keyed_generator(seed, "popularity")) + 1
    log_weight = -(0.0 if popularity is None else popularity.tail) * rank.double().log()
    spread = log_weight.std(correction=0)
    quality = (log_weight - log_weight.mean()) / spread if spread > 0 else torch.zeros_like(log_weight)
    born = _births(items, categories, days, main, seed, births)
    weight = log_weight.exp()
    vectors = stars = None
    if content is not None:
        g = keyed_generator(seed, "content")
        centres = torch.randn(categories, content.width, generator=g, dtype=torch.float64)
        noise = torch.randn(items, content.width, generator=g, dtype=torch.float64)
        part = share.unsqueeze(1)
        vectors = (part * centres[main] + (1 - part) * centres[other] + content.noise * noise).float()
        stars = (quality + torch.randn(items, generator=g, dtype=torch.float64)).float()
    listed, sums, begin, end = _lists(main, other, share, weight, born, categories, days)
    return Catalogue(
        main=main, other=other, share=share, weight=weight, quality=quality, born=born,
        sequel=_cycles(main, seed), vectors=vectors, stars=stars, mass=sums[end] - sums[begin],
        alive=torch.searchsorted(born.sort().values, torch.arange(days), right=True),
        _by_birth=born.argsort(stable=True), _listed=listed, _sums=sums, _begin=begin, _end=end,
    )  # fmt: skip


def centres_of(categories: int, seed: int, content: Content) -> Tensor:
    """The centres [C, D] of `make_catalogue`: the first draws of the stream."""
    g = keyed_generator(seed, "content")
    return torch.randn(categories, content.width, generator=g, dtype=torch.float64)


def _births(items: int, categories: int, days: int, main: Tensor, seed: int, births: Births | None) -> Tensor:
    born = torch.zeros(items, dtype=torch.int64)
    if births is None or days < 2:
        return born
    g = keyed_generator(seed, "births")
    late = torch.rand(items, generator=g) < births.share
    day = torch.randint(1, days, (items,), generator=g)
    born = torch.where(late, day, born)
    first = torch.full((categories,), days).scatter_reduce(0, main, born, "amin")
    return torch.where(born == first[main], 0, born)  # a category has an item from the beginning


def _cycles(main: Tensor, seed: int) -> Tensor:
    """The sequel of every item: the next of its category in a random order, the first after the last."""
    order = torch.randperm(len(main), generator=keyed_generator(seed, "sequels"))
    order = order[main[order].argsort(stable=True)]
    group = main[order]
    follows = order.roll(-1)
    last = torch.ones(len(order), dtype=torch.bool)
    last[:-1] = group[1:] != group[:-1]
    starts = torch.cat([torch.tensor([0]), last.nonzero().squeeze(1)[:-1] + 1])
    follows[last] = order[starts]
    return torch.empty_like(order).scatter_(0, order, follows)


def _lists(
    main: Tensor, other: Tensor, share: Tensor, weight: Tensor, born: Tensor, categories: int, days: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Items category by category and by birth, the running sum of their weights, begins and daily ends."""
    both = (share < 1).nonzero().squeeze(1)
    item = torch.cat([torch.arange(len(main)), both])
    category = torch.cat([main, other[both]])
    part = torch.cat([share * weight, (1 - share[both]) * weight[both]])
    key = category * days + born[item]
    order = key.argsort(stable=True)
    key = key[order]
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), part[order].cumsum(0)])
    first = torch.arange(categories) * days
    begin = torch.searchsorted(key, first)
    end = torch.searchsorted(key, first + torch.arange(days).unsqueeze(1), right=True)
    return item[order], sums, begin, end
