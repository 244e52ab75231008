"""The effects that a world can have, each a few numbers with a documented equation.

Letters: u a user, c a category, i an item, t days since the world began, m_ic how much of item i lies in
category c (1, or 1/2 in each of two), a past event j is one that the user chose (a click, where there are
exposures).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from penchant.errors import ArgumentError


def check_number(
    name: str, value: float, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False,
    open_high: bool = False, whole: bool = False,
) -> None:  # fmt: skip
    """Raises ArgumentError where `value` is not a finite number within `low` and `high`.

    Args:
        name: what the caller calls it.
        value: the number.
        low: least value.
        high: largest value.
        open_low: whether `low` itself is refused.
        open_high: whether `high` itself is refused.
        whole: whether it must be an integer.
    """
    kinds = int if whole else int | float
    fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    above = fits and (low < value or (value == low and not open_low))
    if above and (value < high or (value == high and not open_high)):
        return
    bounds = [f"{'above' if open_low else 'of at least'} {low:,g}"] if low > -math.inf else []
    bounds += [f"{'below' if open_high else 'at most'} {high:,g}"] if high < math.inf else []
    kind = "an integer" if whole else "a finite number"
    raise ArgumentError(name, value, expected=" ".join([kind, " and ".join(bounds)]).strip())


@dataclass(frozen=True, kw_only=True)
class Interests:
    """Several interests a user, which wax and wane and sometimes change for good.

    eta_uc(t) = b_uc + drift sin(2 pi (t / P_uc + phi_uc)), b_uc = liking [c is a favourite of u] + spread
    z_uc, with z standard normal, phi uniform, log P uniform between half of `period` and twice it. The
    interest weights are softmax_c(eta), and eta is the term of an item's category in its utility.

    Args:
        count: favourite categories a user.
        liking: log-odds of a favourite over others.
        spread: standard deviation of all log-weights.
        drift: amplitude of the waves, in log-odds.
        period: of the waves, in days.
        change: share of users whose favourites are drawn anew at one moment, uniform over the world's days.
    """

    count: int = 4
    liking: float = 2.5
    spread: float = 0.3
    drift: float = 1.0
    period: float = 60.0
    change: float = 0.2

    def __post_init__(self) -> None:
        check_number("interests.count", self.count, 1, whole=True)
        check_number("interests.liking", self.liking, 0)
        check_number("interests.spread", self.spread, 0)
        check_number("interests.drift", self.drift, 0)
        check_number("interests.period", self.period, 0, open_low=True)
        check_number("interests.change", self.change, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Popularity:
    """A long tail: the item of rank r has weight w_i = r^-tail; ranks do not follow ids.

    Choices within a category are proportional to m_ic w_i. In exposures an item's quality g_i (log w_i,
    standardised over items) adds `click` g_i to the utility.

    Args:
        tail: exponent of the tail.
        click: log-odds of a click for one standard deviation of log-popularity.
    """

    tail: float = 0.8
    click: float = 0.3

    def __post_init__(self) -> None:
        check_number("popularity.tail", self.tail, 0, 5)
        check_number("popularity.click", self.click)


@dataclass(frozen=True, kw_only=True)
class Births:
    """New items: they cannot be chosen or shown before the day on which they are born.

    Args:
        share: of items born later, on a uniform day after the first.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        check_number("births.share", self.share, 0, 1, open_high=True)


@dataclass(frozen=True, kw_only=True)
class SemanticTemporal:
    """A past event makes items of its category likelier now, the more the closer it is in rank and in time.

    psi_uc(t) = strength sum_j m_jc k(r_j, t - t_j), with the kernel k(r, a) = (1 - rank) rank^(r - 1) exp(-a
    / age): r is 1 for the user's latest event, so `strength` is reached when all of the recent past is of
    category c.

    Args:
        strength: in log-odds.
        rank: what is left of an event's pull after each event that follows it.
        age: days after which e^-1 of it is left.
    """

    strength: float = 3.0
    rank: float = 0.8
    age: float = 7.0

    def __post_init__(self) -> None:
        check_number("semantic.strength", self.strength, 0)
        check_number("semantic.rank", self.rank, 0, 1, open_high=True)
        check_number("semantic.age", self.age, 0, open_low=True)

    def kernel(self, rank: Tensor, age: Tensor) -> Tensor:
        """Strength k(r, a), in log-odds.

        Args:
            rank: 1 for the latest event; any shape.
            age: days since it.
        """
        powers = torch.pow(torch.as_tensor(self.rank, dtype=torch.float64), rank.double() - 1)
        return self.strength * (1 - self.rank) * powers * torch.exp(-age.double() / self.age)


@dataclass(frozen=True, kw_only=True)
class Boredom:
    """Repetition tires: n_uc counts what u chose in c, each event halved every `half_life` days.

    The level is l_uc(t) = n_uc / (n_uc + events), and -strength l_uc is added to the utility.

    Args:
        strength: log-odds taken away at most.
        events: the count at which half of it is taken away.
        half_life: days.
    """

    strength: float = 2.0
    events: float = 5.0
    half_life: float = 3.0

    def __post_init__(self) -> None:
        check_number("boredom.strength", self.strength, 0)
        check_number("boredom.events", self.events, 0, open_low=True)
        check_number("boredom.half_life", self.half_life, 0, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Sequels:
    """Order: every item has one sequel in its category, a cycle in random order.

    With probability `share` a choice is the sequel of the user's last event (if it is born); in exposures a
    shown sequel gains `click` in its utility.

    Args:
        share: of choices that follow the order.
        click: log-odds of a click.
    """

    share: float = 0.25
    click: float = 1.0

    def __post_init__(self) -> None:
        check_number("sequels.share", self.share, 0, 1, open_high=True)
        check_number("sequels.click", self.click)


@dataclass(frozen=True, kw_only=True)
class Satisfaction:
    """What was chosen pleases or not, and the mood of a user follows it.

    P(satisfied) = sigmoid(level + match eta_ui - boredom l_ui + the treatment's shift), eta and l averaged
    over the item's categories. The mood starts at 1/2 and moves by `rate` towards each outcome: 1 or 0 for a
    choice; for a list of exposures, the satisfied share of its clicks, and 0 without any.

    Args:
        level: log-odds for an item of no particular interest.
        match: gain for one unit of log-interest.
        boredom: log-odds taken away at full boredom.
        rate: how fast the mood follows.
    """

    level: float = 0.0
    match: float = 0.5
    boredom: float = 1.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_number("satisfaction.level", self.level)
        check_number("satisfaction.match", self.match)
        check_number("satisfaction.boredom", self.boredom, 0)
        check_number("satisfaction.rate", self.rate, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Churn:
    """At the end of a session the user may quit for good.

    P(quit) = 1 - exp(-base exp(-satisfaction (mood - 1/2) + boredom max_c l_uc + the treatment's shift)).
    Who has not quit on the world's last day is censored.

    Args:
        base: hazard a session of a user of middling mood.
        satisfaction: fall of the log-hazard for one unit of mood.
        boredom: rise of the log-hazard at full boredom.
    """

    base: float = 0.01
    satisfaction: float = 3.0
    boredom: float = 1.0

    def __post_init__(self) -> None:
        check_number("churn.base", self.base, 0, open_low=True)
        check_number("churn.satisfaction", self.satisfaction)
        check_number("churn.boredom", self.boredom)


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """A change of the product, given to users at random; everything it does is here.

    Args:
        share: of users treated (`variant` 1).
        satisfaction: added to the log-odds of satisfaction.
        click: added to the utility of every shown item (choices do not move: all items gain the same).
        hazard: added to the log-hazard of quitting, beside what satisfaction does to it.
    """

    share: float = 0.5
    satisfaction: float = 0.5
    click: float = 0.2
    hazard: float = -0.2

    def __post_init__(self) -> None:
        check_number("treatment.share", self.share, 0, 1)
        for name in ("satisfaction", "click", "hazard"):
            check_number(f"treatment.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Lists are shown and clicked, in place of free choices.

    P(click) = examine^k sigmoid(base + utility) at position k = 0, 1, ... The list comes from a logging
    policy without replacement: q(i) = explore / n + (1 - explore) sum_c pi_uc m_ic w_i / w_c over the n born
    items, with pi_uc proportional to w_c exp(skill eta_uc(t)), w_c = sum_i m_ic w_i. The propensity of a
    slot, given those before it, is q(i) / (1 - the q of the items before it).

    Args:
        slots: items a list.
        base: log-odds of a click on an item of no particular interest.
        examine: chance of looking on from one position to the next.
        explore: share of slots filled uniformly.
        skill: how well the policy knows the interests: 0 not at all (popularity), 1 as they are.
    """

    slots: int = 5
    base: float = -2.0
    examine: float = 0.85
    explore: float = 0.2
    skill: float = 0.5

    def __post_init__(self) -> None:
        check_number("exposure.slots", self.slots, 1, 100, whole=True)
        check_number("exposure.base", self.base)
        check_number("exposure.examine", self.examine, 0, 1, open_low=True)
        check_number("exposure.explore", self.explore, 0, 1, open_low=True)
        check_number("exposure.skill", self.skill, 0)

    def examined(self, slots: int) -> Tensor:
        """examine^k for the positions of a list, [slots]."""
        return torch.tensor([self.examine**k for k in range(slots)], dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Content:
    """What can be read off an item: a vector around the centre of its category, and a rating near its
    quality.

    v_i = sum_c m_ic centre_c + noise z_i, centres and z standard normal in `width` dimensions; `stars` is g_i
    plus a standard normal. A share of items lies in two categories, half in each.

    Args:
        width: dimensions.
        noise: standard deviation of an item around its centre.
        second: share of items with a second category.
    """

    width: int = 16
    noise: float = 0.5
    second: float = 0.15

    def __post_init__(self) -> None:
        check_number("content.width", self.width, 1, whole=True)
        check_number("content.noise", self.noise, 0)
        check_number("content.second", self.second, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """When users come; a world always has this.

    The gap between the beginnings of two sessions is lognormal with mean gap_u = gap exp(activity z_u -
    activity^2 / 2) days and standard deviation `spread` of its logarithm. A session goes on after each
    request (a choice, or a list) with probability 1 - 1 / length; the pause is 1 s plus an exponential of
    mean `pause`. The daily rhythm bends time: a session planned for t comes at t - rhythm / (2 pi) sin(2 pi
    (t - peak / 24)) days.

    Args:
        gap: mean days between sessions.
        spread: of the logarithm of the gaps of a user.
        activity: of the logarithm of the mean gaps between users.
        length: mean requests a session.
        pause: seconds.
        rhythm: 0 none; near 1 everybody comes at the peak.
        peak: hour of the day.
    """

    gap: float = 2.0
    spread: float = 0.8
    activity: float = 0.3
    length: float = 4.0
    pause: float = 45.0
    rhythm: float = 0.4
    peak: float = 20.0

    def __post_init__(self) -> None:
        check_number("sessions.gap", self.gap, 0.01)
        check_number("sessions.spread", self.spread, 0, 3)
        check_number("sessions.activity", self.activity, 0, 2)
        check_number("sessions.length", self.length, 1)
        check_number("sessions.pause", self.pause, 0)
        check_number("sessions.rhythm", self.rhythm, 0, 1, open_high=True)
        check_number("sessions.peak", self.peak, 0, 24)
