"""Stages in one object: `Funnel`, and `load` for what its `save` wrote."""

from penchant.funnel.bundle import load
from penchant.funnel.funnel import Funnel

__all__ = ["Funnel", "load"]
