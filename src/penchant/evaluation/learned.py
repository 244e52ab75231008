"""Whether a system has learned from what it is asked, by what its models took down of their rows."""

from penchant.data.audit_statistics import statistic_findings
from penchant.data.findings import Finding
from penchant.data.provenance import provenance_of
from penchant.data.split import Split
from penchant.protocols import Composed


def learned(system: object, split: Split, part: str) -> str:
    """A caution where a system has learned from rows that it is asked about, or may have; else "".

    Args:
        system: a model, or what is made of some; one that took nothing down is taken at its word.
        split: what is asked about.
        part: of it; what is asked about "test" may have learned from the validation rows.
    """
    models = system.models if isinstance(system, Composed) else {"": system}
    for stage, model in models.items():
        if part == "train" and provenance_of(model):
            return "is asked about training rows, so its figures flatter"
        if (found := _first(model, split, part)) is not None:
            where = f" ({stage})" if stage else ""
            return f"learned from what it is asked, so its figures flatter{where}: {found.message}"
    return ""


def _first(model: object, split: Split, part: str) -> Finding | None:
    """The first violation, where the split has one with its validation rows learned from too."""
    if part not in ("valid", "test") or not provenance_of(model):
        return None
    first: Finding | None = None
    for judged in (split, split.joined()) if part == "test" else (split,):
        found = statistic_findings(judged, type(model).__name__, model)
        first = next((finding for finding in found if finding.severity == "violation"), None)
        if first is None:
            return None
    return first
