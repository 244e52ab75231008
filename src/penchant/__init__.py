"""Models of what people keep liking: from an event log to a trained, evaluated, saved recommender.

>>> import penchant as pt
>>> "read_events" in dir(pt)
True

Names are imported when they are first used, so `import penchant` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penchant import evaluation, rank, report, retrieve, world
    from penchant.data import datasets, split_by_item, split_by_time, split_by_user, split_leave_last
    from penchant.data.audit import audit
    from penchant.data.events import at_least, categorical, equals, items, read_events, users
    from penchant.data.store import open_log
    from penchant.errors import PenchantError
    from penchant.evaluation import evaluate
    from penchant.funnel import Funnel, load
    from penchant.train import Choice, Uniform, Whole, fit, tune

    __version__: str

__all__ = [
    "Choice",
    "Funnel",
    "PenchantError",
    "Uniform",
    "Whole",
    "__version__",
    "at_least",
    "audit",
    "categorical",
    "datasets",
    "equals",
    "evaluate",
    "evaluation",
    "fit",
    "items",
    "load",
    "open_log",
    "rank",
    "read_events",
    "report",
    "retrieve",
    "split_by_item",
    "split_by_time",
    "split_by_user",
    "split_leave_last",
    "tune",
    "users",
    "world",
]

_HOMES = {
    "Choice": "penchant.train",
    "Funnel": "penchant.funnel",
    "PenchantError": "penchant.errors",
    "Uniform": "penchant.train",
    "Whole": "penchant.train",
    "at_least": "penchant.data.events",
    "audit": "penchant.data.audit",
    "categorical": "penchant.data.events",
    "equals": "penchant.data.events",
    "evaluate": "penchant.evaluation",
    "fit": "penchant.train",
    "items": "penchant.data.events",
    "load": "penchant.funnel",
    "open_log": "penchant.data.store",
    "read_events": "penchant.data.events",
    "split_by_item": "penchant.data.splitting",
    "split_by_time": "penchant.data.splitting",
    "split_by_user": "penchant.data.splitting",
    "split_leave_last": "penchant.data.splitting",
    "tune": "penchant.train",
    "users": "penchant.data.events",
}
_MODULES = {
    "datasets": "penchant.data.datasets",
    "rank": "penchant.rank",
    "report": "penchant.report",
    "retrieve": "penchant.retrieve",
    "world": "penchant.world",
    "evaluation": "penchant.evaluation",
}


def __getattr__(name: str) -> Any:
    """The public name `name`, imported now (PEP 562)."""
    if name in _MODULES:
        found: Any = import_module(_MODULES[name])
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
    elif name == "__version__":
        from importlib.metadata import version  # costs more than all the rest of this file

        found = version("penchant")
    else:
        raise AttributeError(f"module 'penchant' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
