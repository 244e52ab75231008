"""Small worlds that several test files share."""

from penchant.world import World

SMALL = World(users=120, items=200, categories=8, days=15, seed=3)
CHOICES = SMALL.without("exposure")
FLAT = World(users=400, items=120, categories=6, days=15).without(
    "interests", "births", "semantic", "boredom", "sequels", "satisfaction", "churn", "treatment", "exposure"
)
