"""What a command line calls BUNDLE: a saved bundle, or the folder of a run that holds one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penchant.cli.recipe_data import SPLITS
from penchant.errors import StoreError
from penchant.funnel import Funnel, load


@dataclass(frozen=True, eq=False)
class Bundle:
    """A saved bundle.

    Attributes:
        path: as given.
        funnel: what is in it.
        trained_on: the split of the run whose folder it lies in; None where it lies in none.
        asked: the conditions under which that run evaluated it, as `Setting` names them; empty without one.
    """

    path: Path
    funnel: Funnel
    trained_on: dict[str, Any] | None
    asked: dict[str, Any]

    @classmethod
    def open(cls, path: Path, trust: Sequence[str]) -> "Bundle":
        """The bundle at `path`, or in the folder of a run there."""
        return cls(path, load(folder_of(path), trust=trust), *_run_of(path))

    @property
    def system(self) -> Any:
        """What to evaluate."""
        return system_of(self.funnel)


def folder_of(path: Path) -> Path:
    """The folder of a bundle, where `path` may be that of a run that holds one."""
    inside = path / "bundle"
    return inside if (inside / "bundle.json").is_file() else path


def system_of(funnel: Funnel) -> Any:
    """What to evaluate: the funnel, or its only model by its own name."""
    only = list(funnel.retrievers.values())
    return only[0] if len(only) == 1 and funnel.ranker is None else funnel


def _run_of(bundle: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The split of the run that a bundle lies in, and how it was asked, if it lies in one."""
    for folder in (bundle, bundle.parent):
        file = folder / "result.json"
        if file.is_file():
            try:
                result = json.loads(file.read_text(encoding="utf-8"))
                split, asked = result["run"]["split"], dict(result["setting"])
                asked["negatives"] = (result["ranker"] or result)["setting"]["negatives"]
            except (ValueError, KeyError, TypeError):
                raise StoreError(
                    f"{file}: not the result of a run.\n  Fix: say --split or --recipe."
                ) from None
            return (split, asked) if split["name"] in SPLITS else (None, {})
    return None, {}
