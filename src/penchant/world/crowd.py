"""Thousands of users of a world at once, one request after another: the world's step API.

A request is a choice (`choose`) or a list that is shown (`respond`); `advance` then takes everybody to the
next one, in this session or a later one, and says who has quit. A log is nothing but this, driven by a
policy.

Items are numbers from 0 to V - 1, in int64 tensors [B, K]: a row a user. Any item can be asked about; what is
shown must be born, and different in a list. All else is refused with an ArgumentError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from penchant.world import _draws as draws
from penchant.world._asked import check_flags, check_shown, check_whole
from penchant.world._draws import sigmoid, step_uniform
from penchant.world.people import People, log_interests, people
from penchant.world.policy import exposure_of
from penchant.world.world import DAY, World

_LOG2 = math.log(2)
_APART = 60  # seconds between sessions that would overlap


class Levels(NamedTuple):
    """What a user's path says of every category, [B, C] each, before strengths.

    Attributes:
        interest: eta.
        recent: sum_j m_jc k(r_j, age_j) without the strength, in [0, 1].
        boredom: l, in [0, 1).
    """

    interest: Tensor
    recent: Tensor
    boredom: Tensor


class Choices(NamedTuple):
    """What users chose.

    Attributes:
        items: [B].
        probability: [B] the exact chance of each, given the user's state.
        satisfied: [B] bool.
        satisfaction: [B] its probability.
    """

    items: Tensor
    probability: Tensor
    satisfied: Tensor
    satisfaction: Tensor


class Response(NamedTuple):
    """What users did with lists, [B, K] each.

    Attributes:
        probability: of a click.
        click: bool.
        satisfaction: probability of satisfaction, if clicked.
        satisfied: bool; only where clicked.
    """

    probability: Tensor
    click: Tensor
    satisfaction: Tensor
    satisfied: Tensor


class Moved(NamedTuple):
    """What happened after a request, [B] each.

    Attributes:
        ended: the session ended.
        hazard: the chance of quitting there; 0 where the session goes on.
        quit: the user quit (terminated).
        truncated: the next request lies beyond the horizon; not for those who quit.
        gap: days from the beginning of this session to that planned for the next; NaN in a session.
    """

    ended: Tensor
    hazard: Tensor
    quit: Tensor
    truncated: Tensor
    gap: Tensor


@dataclass(eq=False)
class Crowd:
    """Users [B] of a world and where each stands; `World.begin` makes one.

    Attributes:
        world: theirs.
        who: what each was given once.
        time: [B] int64 seconds since the world began.
        planned: [B] days, when this session was planned before the daily rhythm bent it.
        session, tick: [B] sessions and requests before this one.
        recent: [B, C] sums of the semantic-temporal kernel, without the strength.
        count: [B, C] decayed counts of boredom.
        mood: [B] in [0, 1].
        last: [B] the latest item; -1 before the first.
        quit: [B] whether they have quit.
        over: [B] whether their next request lies beyond the horizon.
    """

    world: World
    who: People
    time: Tensor
    planned: Tensor
    session: Tensor
    tick: Tensor
    recent: Tensor
    count: Tensor
    mood: Tensor
    last: Tensor
    quit: Tensor
    over: Tensor
    _levels: Levels | None = None

    @classmethod
    def begin(
        cls, world: World, users: Tensor, generator: Generator | None = None, *, treated: bool | None = None
    ) -> Crowd:
        """See `World.begin`."""
        check_whole("users", users, (None,))
        who = people(world, users)
        if treated is not None:
            who.treated.fill_(float(treated))
        size, whole = len(users), torch.zeros_like(users.long())
        u = step_uniform(who.key, whole - 1, draws.SESSION, 1, generator)[0]
        first = min(world.days, max(1, math.ceil(world.sessions.gap)))  # whole days: every hour is as likely
        planned = world.sessions.peak / 24 % 0.5 + first * u  # the rhythm does not move that moment
        time = (_bend(world, planned) * DAY).long()
        counters = torch.zeros_like(who.base)
        return cls(
            world, who, time, planned, whole.clone(), whole.clone(), counters,
            counters.clone(), torch.full_like(planned, 0.5), whole - 1,
            torch.zeros(size, dtype=torch.bool, device=users.device), time >= world.days * DAY,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.time)

    @property
    def active(self) -> Tensor:
        """Who has a request now, [B] bool."""
        return ~(self.quit | self.over)

    def take(self, index: Tensor) -> Crowd:
        """The users at `index` [n] with their states."""
        states = [
            getattr(self, name).index_select(0, index)
            for name in (
                "time", "planned", "session", "tick", "recent", "count", "mood", "last", "quit", "over",
            )
        ]  # fmt: skip
        return Crowd(self.world, self.who.take(index), *states)

    def check(self, items: Tensor) -> None:
        """Raises ArgumentError unless `items` are items of the world, [B, K]."""
        check_whole("items", items, (len(self), None), most=self.world.items - 1)

    # -- truth about this moment -----------------------------------------------------------------------------

    @property
    def day(self) -> Tensor:
        """[B] whole days since the world began, at most the last."""
        return (self.time // DAY).clamp_(max=self.world.days - 1)

    def levels(self) -> Levels:
        """Interest, recency and boredom of every category now."""
        if self._levels is None:
            interest = log_interests(self.world, self.who, self.time.double() / DAY)
            self._levels = Levels(interest, self.recent, self._boredom())
        return self._levels

    def _boredom(self) -> Tensor:
        effect = self.world.boredom
        return torch.zeros_like(self.count) if effect is None else self.count / (self.count + effect.events)

    def appeal(self) -> Tensor:
        """[B, C] the part of the utility that depends on the category alone: interest + recency - boredom."""
        levels, world = self.levels(), self.world
        total = levels.interest
        if world.semantic is not None:
            total = total + world.semantic.strength * levels.recent
        if world.boredom is not None:
            total = total - world.boredom.strength * levels.boredom
        return total

    def category_probability(self) -> Tensor:
        """[B, C] chances of the category of a free choice that is not a sequel: w_c exp(appeal), normed."""
        weight = self.appeal().exp() * self.world.catalogue.mass.index_select(0, self.day)
        return weight / weight.cumsum(1)[:, -1:]

    def choice_probability(self, items: Tensor) -> Tensor:
        """[B, K] exact chances of items [B, K] in a free choice; over all items they sum to 1."""
        self.check(items)
        return self._choice_probability(items, self.category_probability())

    def _choice_probability(self, items: Tensor, category: Tensor) -> Tensor:
        usual = self.world.catalogue.chance(items, category, self.day)
        if self.world.sequels is None:
            return usual
        follows, share = self.sequel()
        share = share.unsqueeze(1)
        return (1 - share) * usual + share * (items == follows.unsqueeze(1))

    def sequel(self) -> tuple[Tensor, Tensor]:
        """The sequel [B] of the latest item, and the chance [B] that it is taken for its own sake."""
        catalogue, effect = self.world.catalogue, self.world.sequels
        follows = catalogue.sequel[self.last.clamp(min=0)]
        there = (self.last >= 0) & (catalogue.born[follows] <= self.day)
        return follows, there.double() * (0.0 if effect is None else effect.share)

    def terms(self, items: Tensor) -> dict[str, Tensor]:
        """The named terms [B, K] of the utility of items [B, K]; those of effects that are off are left
        out.
        """
        self.check(items)
        world, catalogue, levels = self.world, self.world.catalogue, self.levels()
        found: dict[str, Tensor] = {}
        if world.interests is not None:
            found["interests"] = catalogue.mix(levels.interest, items)
        if world.semantic is not None:
            found["semantic"] = world.semantic.strength * catalogue.mix(levels.recent, items)
        if world.boredom is not None:
            found["boredom"] = -world.boredom.strength * catalogue.mix(levels.boredom, items)
        return found | self._item_terms(items)

    def _item_terms(self, items: Tensor) -> dict[str, Tensor]:
        """Those of `terms` that are not the appeal of the item's categories."""
        world, catalogue = self.world, self.world.catalogue
        found: dict[str, Tensor] = {}
        if world.popularity is not None:
            found["popularity"] = world.popularity.click * catalogue.quality[items]
        if world.sequels is not None:
            after = catalogue.sequel[self.last.clamp(min=0)].unsqueeze(1) == items
            found["sequels"] = world.sequels.click * (after & (self.last >= 0).unsqueeze(1)).double()
        if world.treatment is not None:
            found["treatment"] = (world.treatment.click * self.who.treated).unsqueeze(1).expand(items.shape)
        return found

    def click_probability(self, items: Tensor) -> Tensor:
        """[B, K] examine^k sigmoid(base + the sum of `terms`) for lists [B, K], position by position.

        Raises: ArgumentError where the world has no exposures.
        """
        exposure_of(self.world)
        self.check(items)
        return self._click_probability(items)

    def _click_probability(self, items: Tensor) -> Tensor:
        effect = exposure_of(self.world)
        utility = effect.base + self.world.catalogue.mix(self.appeal(), items)
        for term in self._item_terms(items).values():
            utility = utility + term
        return sigmoid(utility) * effect.examined(items.shape[1]).to(utility.device)

    def satisfaction_probability(self, items: Tensor) -> Tensor:
        """[B, K] chances that items [B, K] satisfy who chose them; 1 where satisfaction is off."""
        self.check(items)
        return self._satisfaction_probability(items)

    def _satisfaction_probability(self, items: Tensor) -> Tensor:
        world, levels = self.world, self.levels()
        effect = world.satisfaction
        if effect is None:
            return torch.ones(items.shape, dtype=torch.float64, device=items.device)
        score = world.catalogue.mix(effect.match * levels.interest - effect.boredom * levels.boredom, items)
        if world.treatment is not None:
            score = score + (world.treatment.satisfaction * self.who.treated).unsqueeze(1)
        return sigmoid(score + effect.level)

    def quit_hazard(self) -> Tensor:
        """[B] the chance of quitting, were the session to end now; 0 where churn is off."""
        world = self.world
        if world.churn is None:
            return torch.zeros_like(self.mood)
        score = -world.churn.satisfaction * (self.mood - 0.5)
        if world.boredom is not None:
            score = score + world.churn.boredom * self._boredom().amax(1)
        if world.treatment is not None:
            score = score + world.treatment.hazard * self.who.treated
        return 1 - torch.exp(-world.churn.base * score.exp())

    # -- steps -----------------------------------------------------------------------------------------------

    def choose(self, generator: Generator | None = None) -> Choices:
        """Everybody chooses an item freely; their states take it in.

        Args:
            generator: draws; None: they follow from the world's seed.
        """
        catalogue, day = self.world.catalogue, self.day
        u = step_uniform(self.who.key, self.tick, draws.CHOICE, 3, generator)
        category = self.category_probability()
        chosen = torch.searchsorted(category.cumsum(1), u[1].unsqueeze(1)).squeeze(1)
        chosen.clamp_(max=self.world.categories - 1)
        items = catalogue.in_category(chosen, day, u[2])
        if self.world.sequels is not None:
            follows, share = self.sequel()
            items = torch.where(u[0] < share, follows, items)
        row = items.unsqueeze(1)
        probability = self._choice_probability(row, category).squeeze(1)
        satisfaction = self._satisfaction_probability(row)
        happy = satisfaction > step_uniform(self.who.key, self.tick, draws.OUTCOME, 1, generator).T
        self._absorb(row, torch.ones_like(row, dtype=torch.bool), happy)
        return Choices(items, probability, happy.squeeze(1), satisfaction.squeeze(1))

    def respond(self, items: Tensor, generator: Generator | None = None) -> Response:
        """Everybody looks at a list [B, K], clicks or not; their states take it in.

        Args:
            items: what is shown, in order.
            generator: draws; None: they follow from the world's seed.

        Raises:
            ArgumentError: the world has no exposures, there are not B lists, or one of them holds an item
                twice or one that is not born yet.
        """
        exposure_of(self.world)
        self.check(items)
        check_shown(items, self.world.catalogue.born, self.day)
        slots = items.shape[1]
        u = step_uniform(self.who.key, self.tick, draws.OUTCOME, 2 * slots, generator)
        probability, satisfaction = self._click_probability(items), self._satisfaction_probability(items)
        click = probability > u[:slots].T
        satisfied = click & (satisfaction > u[slots:].T)
        self._absorb(items, click, satisfied)
        return Response(probability, click, satisfaction, satisfied)

    def absorb(self, items: Tensor, click: Tensor, satisfied: Tensor) -> None:
        """Takes in what was done, drawn here or elsewhere, [B, K] each.

        Args:
            items: what was shown or chosen.
            click: bool, what was clicked or chosen.
            satisfied: bool, with which of it the user was satisfied.

        Raises: ArgumentError where shapes or types differ from these, or an item does not exist.
        """
        self.check(items)
        check_flags("click", click, tuple(items.shape))
        check_flags("satisfied", satisfied, tuple(items.shape))
        self._absorb(items, click, satisfied)

    def _absorb(self, items: Tensor, click: Tensor, satisfied: Tensor) -> None:
        world, taken = self.world, click.double()
        total = taken.sum(1, keepdim=True)
        if world.semantic is not None:
            left = math.log(max(world.semantic.rank, 1e-300))
            later = total - taken.cumsum(1)  # clicks of this list that follow
            self.recent = self.recent * torch.exp(total * left)
            self._add(self.recent, items, (1 - world.semantic.rank) * torch.exp(later * left) * taken)
        if world.boredom is not None:
            self.count = self.count.clone()
            self._add(self.count, items, taken)
        if world.satisfaction is not None:
            outcome = satisfied.double().sum(1) / total.squeeze(1).clamp(min=1)
            self.mood = self.mood + world.satisfaction.rate * (outcome - self.mood)
        place = torch.arange(1, items.shape[1] + 1, device=items.device)
        latest = (place * click).argmax(1, keepdim=True)
        self.last = torch.where(total.squeeze(1) > 0, items.gather(1, latest).squeeze(1), self.last)
        self._levels = None

    def _add(self, counters: Tensor, items: Tensor, amount: Tensor) -> None:
        catalogue = self.world.catalogue
        share = catalogue.share[items]
        counters.scatter_add_(1, catalogue.main[items], amount * share)
        counters.scatter_add_(1, catalogue.other[items], amount * (1 - share))

    def advance(self, generator: Generator | None = None, *, immortal: bool = False) -> Moved:
        """Everybody goes on to the next request.

        Args:
            generator: draws; None: they follow from the world's seed.
            immortal: nobody quits, though the hazards are told (for survival curves).
        """
        world, sessions = self.world, self.world.sessions
        u = step_uniform(self.who.key, self.tick, draws.SESSION, 4, generator)
        ended = u[0] < 1 / sessions.length
        hazard = self.quit_hazard() * ended
        leaves = (u[1] < hazard) & (not immortal)
        gap = self.who.gap * torch.exp(sessions.spread * torch.special.ndtri(u[2]) - sessions.spread**2 / 2)
        planned = torch.where(ended, self.planned + gap, self.planned)
        pause = 1 + (-sessions.pause * u[3].log()).long()
        coming = torch.maximum((_bend(world, planned) * DAY).long(), self.time + _APART)
        self.move(torch.where(ended, coming, self.time + pause))
        self.planned = planned
        self.session = self.session + ended
        self.quit = self.quit | leaves
        self.over = ~self.quit & (self.time >= world.days * DAY)
        return Moved(ended, hazard, leaves, self.over, torch.where(ended, gap, torch.nan))

    def move(self, time: Tensor) -> None:
        """Goes to the times [B] of the next requests: pulls and boredom fade meanwhile."""
        world = self.world
        days = ((time - self.time).double() / DAY).unsqueeze(1)
        if world.semantic is not None:
            self.recent = self.recent * torch.exp(-days / world.semantic.age)
        if world.boredom is not None:
            self.count = self.count * torch.exp(-days * _LOG2 / world.boredom.half_life)
        self.time, self.tick, self._levels = time, self.tick + 1, None


def _bend(world: World, planned: Tensor) -> Tensor:
    """When sessions planned for days [B] come: the daily rhythm bends time, and keeps its order."""
    sessions = world.sessions
    turn = 2 * math.pi
    return planned - sessions.rhythm / turn * torch.sin(turn * (planned - sessions.peak / 24))
