"""What each effect of a world looks at, request by request, against its expectation."""

from __future__ import annotations

import torch
from torch import Tensor

from penchant.world._tally import Tally
from penchant.world.policy import LoggingPolicy
from penchant.world.retrace import Moment
from penchant.world.simulate import Simulated
from penchant.world.world import World

_BINS = 10
_TOLERANCE = 1e-4  # between what was recorded, float32, and what the world says


class Scores:
    """Adds the requests of a walk to a tally.

    Args:
        tally: where.
        world: whose probabilities count.
        made: the log.
    """

    def __init__(self, tally: Tally, world: World, made: Simulated) -> None:
        self._tally, self._world = tally, world
        self._choices = made.world.exposure is None
        catalogue, days, count = world.catalogue, world.days, world.categories
        amount = catalogue.share * catalogue.weight
        mains = torch.zeros(days, count, count, dtype=torch.float64)
        mains.index_put_((catalogue.born, catalogue.main, catalogue.main), amount, accumulate=True)
        rest = (1 - catalogue.share) * catalogue.weight
        mains.index_put_((catalogue.born, catalogue.other, catalogue.main), rest, accumulate=True)
        # [T, C, C]: how likely an item that was drawn from category c has c' for its main one
        self._mains = mains.cumsum(0) / catalogue.mass.unsqueeze(2)
        even = torch.zeros(days, count, dtype=torch.float64)
        even.index_put_((catalogue.born, catalogue.main), torch.ones(world.items).double(), accumulate=True)
        self._even = even.cumsum(0) / catalogue.alive.unsqueeze(1)  # [T, C] likewise, of a uniform item
        self._moments: tuple[Tensor, Tensor] | None = None
        users = made.users
        self._numbers, self._quits, self._arms = (
            torch.from_numpy(column.to_numpy().copy())
            for column in (users["user"], ~users["censored"], users["variant"])
        )
        self._last = torch.from_numpy(users["requests"].to_numpy().copy()).cumsum(0) - 1
        slots = 1 if made.world.exposure is None else made.world.exposure.slots
        self._moods = torch.from_numpy(made.truth["mood"].gather_every(slots).to_numpy().copy()).double()
        self._recorded: Tensor | None = None
        if made.world.exposure is not None:
            column = torch.from_numpy(made.log["propensity"].to_numpy().copy())
            self._recorded = column.double().view(-1, slots)

    def add(self, moment: Moment, seen: Moment) -> None:
        """Adds a step.

        Args:
            moment: users as the world explains them.
            seen: the same users with a level for every effect, also for those that are off.
        """
        place = torch.searchsorted(self._numbers, moment.crowd.who.user)
        arm = self._arms[place].double()
        born = self._world.catalogue.born[moment.items] > moment.crowd.day.unsqueeze(1)
        never = torch.zeros(born.shape, dtype=torch.float64)
        self._tally.bernoulli("births", "items before their birth", born, never)
        if self._choices:
            self._choice(moment, seen)
        else:
            self._clicks(moment, seen, arm)
            self._lists(moment, seen)
        self._satisfied(moment, seen, arm)
        mood = moment.crowd.mood
        wrong = (self._moods[moment.requests] - mood).abs() > _TOLERANCE
        self._tally.bernoulli(
            "satisfaction", "recorded moods that are not the world's", wrong, torch.zeros_like(mood)
        )
        hazard = moment.settle()
        seen.settle()
        tired = seen.crowd.levels().boredom.amax(1)
        quit_now = self._quits[place] & (self._last[place] == moment.requests)
        on = moment.ended
        tally = self._tally
        tally.bernoulli("churn", "sessions that end in quitting", quit_now[on], hazard[on])
        for effect, statistic, weight in (
            ("churn", "quits by mood", mood - 0.5),
            ("churn", "quits by boredom", tired),
            ("treatment", "quits of the treated", arm),
        ):
            tally.bernoulli(effect, statistic, quit_now[on], hazard[on], weight[on])
        tally.bernoulli("churn", "quits inside a session", quit_now[~on], hazard[~on])

    def _choice(self, moment: Moment, seen: Moment) -> None:
        crowd, tally, catalogue = moment.crowd, self._tally, self._world.catalogue
        item, day = moment.items[:, 0], crowd.day
        usual = crowd.category_probability()
        follows, share = crowd.sequel()
        left = (1 - share).unsqueeze(1)
        main = left * torch.bmm(usual.unsqueeze(1), self._mains[day]).squeeze(1)  # [B, C]
        main.scatter_add_(1, catalogue.main[follows].unsqueeze(1), share.unsqueeze(1))
        chosen = catalogue.main[item]
        self._levels(seen, main, chosen, "the chosen category")
        names = [f"share of {name}" for name in self._world.category_names]
        hits = torch.nn.functional.one_hot(chosen, self._world.categories).double()
        tally.vector("interests", names, hits, main, main * (1 - main))
        first, second = self._quality(seen)
        quality = seen.crowd.world.catalogue.quality
        mean = left.squeeze(1) * (usual * first[day]).sum(1) + share * quality[follows]
        square = left.squeeze(1) * (usual * second[day]).sum(1) + share * quality[follows].square()
        tally.add("popularity", "log-popularity of the choice", quality[item], mean, square - mean.square())
        some = crowd.last >= 0
        chance = crowd.choice_probability(follows.unsqueeze(1)).squeeze(1)
        tally.bernoulli("sequels", "choices of the sequel", (item == follows)[some], chance[some])

    def _levels(self, seen: Moment, main: Tensor, chosen: Tensor, of: str) -> None:
        """Scores of what the path says of categories, where the category's law `main` [B, C] is known."""
        for effect, level in zip(("interests", "semantic", "boredom"), seen.crowd.levels(), strict=True):
            mean = (main * level).sum(1)
            variance = (main * level.square()).sum(1) - mean.square()
            picked = level.gather(1, chosen.unsqueeze(1)).squeeze(1)
            self._tally.add(effect, f"level of {of}", picked, mean, variance)

    def _clicks(self, moment: Moment, seen: Moment, arm: Tensor) -> None:
        crowd, tally, items, click = moment.crowd, self._tally, moment.items, moment.click
        chance = crowd.click_probability(items)
        catalogue = seen.crowd.world.catalogue
        tally.bernoulli("exposure", "clicks", click, chance)
        bins = [f"clicks where p is {b / _BINS:.1f} to {(b + 1) / _BINS:.1f}" for b in range(_BINS)]
        bucket = (chance * _BINS).long().clamp(max=_BINS - 1).reshape(-1)
        into = torch.nn.functional.one_hot(bucket, _BINS).double()
        hit, p = (values.double().reshape(-1, 1) for values in (click, chance))
        self._by(tally, "exposure", bins, into, hit, p)
        slots = [f"clicks at position {k}" for k in range(items.shape[1])]
        tally.vector("exposure", slots, click.double(), chance, chance * (1 - chance))
        for effect, level in zip(("interests", "semantic", "boredom"), seen.crowd.levels(), strict=True):
            tally.bernoulli(effect, "clicks by level", click, chance, catalogue.mix(level, items))
        tally.bernoulli("popularity", "clicks by log-popularity", click, chance, catalogue.quality[items])
        follows, _ = crowd.sequel()
        is_next = (items == follows.unsqueeze(1)) & (crowd.last >= 0).unsqueeze(1)
        tally.bernoulli("sequels", "clicks on sequels", click[is_next], chance[is_next])
        tally.bernoulli(
            "treatment", "clicks of the treated", click, chance, arm.unsqueeze(1).expand(click.shape)
        )

    @staticmethod
    def _by(tally: Tally, effect: str, names: list[str], into: Tensor, hit: Tensor, p: Tensor) -> None:
        """Events by the bin that `into` [n, S] puts them into."""
        for n, name in enumerate(names):
            on = into[:, n] > 0
            tally.bernoulli(effect, name, hit[on], p[on])

    def _lists(self, moment: Moment, seen: Moment) -> None:
        crowd, tally, items = moment.crowd, self._tally, moment.items
        if self._world.exposure is None or self._recorded is None:
            return
        policy, day = LoggingPolicy(crowd), crowd.day
        propensity, explore = policy.propensity(items), self._world.exposure.explore
        left = self._world.catalogue.alive[day].unsqueeze(1) - torch.arange(items.shape[1])
        inverse = 1 / propensity.clamp(min=1e-12)
        off = (inverse - left).square()
        tally.add("exposure", "sum of 1 / propensity, per slot", inverse, left.double(), off)
        wrong = (self._recorded[moment.requests] / propensity - 1).abs() > _TOLERANCE
        never = torch.zeros_like(propensity)
        tally.bernoulli("exposure", "recorded propensities that are not the policy's", wrong, never)
        pi = policy.category_probability
        main = torch.bmm(pi.unsqueeze(1), self._mains[day]).squeeze(1)
        main = explore * self._even[day] + (1 - explore) * main
        self._levels(seen, main, self._world.catalogue.main[items[:, 0]], "the first slot's category")

    def _quality(self, seen: Moment) -> tuple[Tensor, Tensor]:
        """Mean and mean square [T, C] of log-popularity, as seen, of an item drawn from a category."""
        if self._moments is None:
            catalogue, quality = self._world.catalogue, seen.crowd.world.catalogue.quality
            found: list[Tensor] = []
            for power in (quality, quality.square()):
                sums = torch.zeros_like(catalogue.mass)
                for part, where in (
                    (catalogue.share, catalogue.main),
                    (1 - catalogue.share, catalogue.other),
                ):
                    amount = part * catalogue.weight * power
                    sums.index_put_((catalogue.born, where), amount, accumulate=True)
                found.append(sums.cumsum(0) / catalogue.mass)
            self._moments = found[0], found[1]
        return self._moments

    def _satisfied(self, moment: Moment, seen: Moment, arm: Tensor) -> None:
        chance = moment.crowd.satisfaction_probability(moment.items)
        on, tally = moment.click, self._tally
        hit, p = moment.satisfied[on], chance[on]
        tally.bernoulli("satisfaction", "satisfied with what was taken", hit, p)
        levels, catalogue = seen.crowd.levels(), self._world.catalogue
        by = (
            ("satisfaction", "satisfied by interest", catalogue.mix(levels.interest, moment.items)),
            ("satisfaction", "satisfied by boredom", catalogue.mix(levels.boredom, moment.items)),
            ("treatment", "satisfied among the treated", arm.unsqueeze(1).expand(on.shape)),
        )
        for effect, statistic, weight in by:
            tally.bernoulli(effect, statistic, hit, p, weight[on])
