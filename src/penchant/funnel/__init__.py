"""Stages in one object: `Funnel`, its `Rules`, and `load` for what its `save` wrote."""

from penchant.funnel.bundle import load
from penchant.funnel.funnel import Funnel
from penchant.funnel.rules import Rules

__all__ = ["Funnel", "Rules", "load"]
