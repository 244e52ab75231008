"""A simulated world with planted truth: logs whose every effect is known, for tests, benchmarks and
policies.
"""

from penchant.world.card import card
from penchant.world.check import LIMIT, check
from penchant.world.crowd import Choices, Crowd, Levels, Moved, Response
from penchant.world.effects import (
    Births,
    Boredom,
    Churn,
    Content,
    Exposure,
    Interests,
    Popularity,
    Satisfaction,
    SemanticTemporal,
    Sequels,
    Sessions,
    Treatment,
)
from penchant.world.policy import LoggingPolicy, Shown
from penchant.world.retrace import replay
from penchant.world.simulate import Simulated, simulate, stream, users_for
from penchant.world.survival import HazardRatio, Survival, hazard_ratio, survival
from penchant.world.world import EFFECTS, World

__all__ = [
    "EFFECTS",
    "LIMIT",
    "Births",
    "Boredom",
    "Choices",
    "Churn",
    "Content",
    "Crowd",
    "Exposure",
    "HazardRatio",
    "Interests",
    "Levels",
    "LoggingPolicy",
    "Moved",
    "Popularity",
    "Response",
    "Satisfaction",
    "SemanticTemporal",
    "Sequels",
    "Sessions",
    "Shown",
    "Simulated",
    "Survival",
    "Treatment",
    "World",
    "card",
    "check",
    "hazard_ratio",
    "replay",
    "simulate",
    "stream",
    "survival",
    "users_for",
]
