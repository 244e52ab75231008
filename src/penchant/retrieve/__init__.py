"""From all items to the few hundred that later stages look at."""

from penchant.retrieve.ease import EASE
from penchant.retrieve.merge import merge
from penchant.retrieve.popularity import Popularity
from penchant.retrieve.sasrec import SASRec
from penchant.retrieve.search import search, similar

__all__ = ["EASE", "Popularity", "SASRec", "merge", "search", "similar"]
