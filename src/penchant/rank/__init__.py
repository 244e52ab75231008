"""Fine ranking: scores a few hundred candidates with all that is known of user, item and moment."""

from penchant.rank.base import NoHistory
from penchant.rank.din import DIN

__all__ = ["DIN", "NoHistory"]
