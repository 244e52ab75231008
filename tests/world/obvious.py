"""One user at a time in plain Python: the equations of the effects' docstrings, written out and slow."""

import math
from dataclasses import dataclass, field

import torch

from penchant.world.people import people

DAY = 86_400


@dataclass
class OneUser:
    """A user who remembers every event.

    `past` holds (days, item, satisfied, clicks of the same list after it) of what was chosen, oldest first.
    """

    world: object
    user: int
    past: list = field(default_factory=list)
    mood: float = 0.5

    def __post_init__(self):
        self.who = people(self.world, torch.tensor([self.user]))
        self.treated = float(self.who.treated)

    def member(self, item):
        c = self.world.catalogue
        share = float(c.share[item])
        found = {int(c.main[item]): share}
        if share < 1:
            found[int(c.other[item])] = 1 - share
        return found

    def mixed(self, values, item):
        return sum(part * values[c] for c, part in self.member(item).items())

    def interest(self, t):
        effect = self.world.interests
        found = []
        for c in range(self.world.categories):
            if effect is None:
                found.append(0.0)
                continue
            changed = self.who.later is not None and t >= float(self.who.change)
            base = (self.who.later if changed else self.who.base)[0, c]
            wave = math.sin(float(self.who.speed[0, c]) * t + float(self.who.phase[0, c]))
            found.append(float(base) + effect.drift * wave)
        return found

    def recent(self, t):
        effect = self.world.semantic
        found = [0.0] * self.world.categories
        if effect is None:
            return found
        for rank, (then, item, _) in enumerate(reversed(self.past), 1):
            pull = (1 - effect.rank) * effect.rank ** (rank - 1) * math.exp(-(t - then) / effect.age)
            for c, part in self.member(item).items():
                found[c] += part * pull
        return found

    def boredom(self, t):
        effect = self.world.boredom
        found = [0.0] * self.world.categories
        if effect is None:
            return found
        for then, item, _ in self.past:
            for c, part in self.member(item).items():
                found[c] += part * 0.5 ** ((t - then) / effect.half_life)
        return [n / (n + effect.events) for n in found]

    def appeal(self, t):
        w = self.world
        strength = w.semantic.strength if w.semantic else 0.0
        dull = w.boredom.strength if w.boredom else 0.0
        return [
            a + strength * b - dull * l for a, b, l in zip(self.interest(t), self.recent(t), self.boredom(t))
        ]

    def weights(self, t):
        """Popularity of born items, V."""
        c = self.world.catalogue
        return [float(w) if int(b) <= int(t) else 0.0 for w, b in zip(c.weight, c.born)]

    def by_category(self, t, log_odds):
        """sum_c p_c m_ic w_i / w_c of every item, with p_c proportional to w_c exp(log_odds_c)."""
        weights = self.weights(t)
        mass = [0.0] * self.world.categories
        for item, weight in enumerate(weights):
            for c, part in self.member(item).items():
                mass[c] += part * weight
        p = [m * math.exp(x) for m, x in zip(mass, log_odds)]
        total = sum(p)
        return [
            sum(p[c] / total * part * weight / mass[c] for c, part in self.member(item).items())
            for item, weight in enumerate(weights)
        ]

    def choice(self, t):
        """Chances of all items."""
        found = self.by_category(t, self.appeal(t))
        if self.world.sequels and self.past:
            follows = int(self.world.catalogue.sequel[self.past[-1][1]])
            if int(self.world.catalogue.born[follows]) <= int(t):
                share = self.world.sequels.share
                found = [(1 - share) * p + share * (item == follows) for item, p in enumerate(found)]
        return found

    def click(self, t, items):
        w, found = self.world, []
        for k, item in enumerate(items):
            x = w.exposure.base + self.mixed(self.appeal(t), item)
            if w.popularity:
                x += w.popularity.click * float(w.catalogue.quality[item])
            if w.sequels and self.past and int(w.catalogue.sequel[self.past[-1][1]]) == item:
                x += w.sequels.click
            if w.treatment:
                x += w.treatment.click * self.treated
            found.append(w.exposure.examine**k / (1 + math.exp(-x)))
        return found

    def logging(self, t):
        """q of all items."""
        w = self.world
        skilled = self.by_category(t, [w.exposure.skill * x for x in self.interest(t)])
        born = [int(b) <= int(t) for b in w.catalogue.born]
        explore = w.exposure.explore
        return [explore * b / sum(born) + (1 - explore) * p for b, p in zip(born, skilled)]

    def satisfaction(self, t, item):
        effect = self.world.satisfaction
        if effect is None:
            return 1.0
        x = effect.level + effect.match * self.mixed(self.interest(t), item)
        x -= effect.boredom * self.mixed(self.boredom(t), item)
        if self.world.treatment:
            x += self.world.treatment.satisfaction * self.treated
        return 1 / (1 + math.exp(-x))

    def hazard(self, t):
        w = self.world
        if w.churn is None:
            return 0.0
        x = -w.churn.satisfaction * (self.mood - 0.5) + w.churn.boredom * max(self.boredom(t))
        if w.treatment:
            x += w.treatment.hazard * self.treated
        return 1 - math.exp(-w.churn.base * math.exp(x))

    def take(self, t, items, clicks, satisfied):
        taken = [(t, i, s) for i, c, s in zip(items, clicks, satisfied) if c]
        self.past += taken
        if self.world.satisfaction:
            outcome = sum(s for *_, s in taken) / len(taken) if taken else 0.0
            self.mood += self.world.satisfaction.rate * (outcome - self.mood)
