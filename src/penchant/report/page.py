"""`report.html`: one file that holds the page, its numbers, its charts and the library that draws them."""

import json as json_text
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from penchant.data.atomic import atomic_file
from penchant.data.profile import DataProfile
from penchant.errors import ArgumentError, MissingExtraError
from penchant.evaluation.result import Result
from penchant.report.markup import Markup, facts, join, safe, tag
from penchant.report.words import count, headline, listing
from penchant.train.tuned import Tuned


def html(
    result: Result | Mapping[str, Result] | None,
    path: str | Path,
    *,
    studies: Tuned | None = None,
    profile: DataProfile | None = None,
    training: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    title: str | None = None,
    notes: Sequence[str] = (),
    json: bool = True,
) -> Path:
    """Writes results as one page that opens anywhere: no server, no network, nothing beside it.

    The page holds the numbers it shows as JSON (`id="penchant-result"`).

    Args:
        result: of `evaluate`; or several by what to call them, the one to lead with first; None for a page
            of `studies` alone.
        path: the file to write, `report.html`; its folder is made.
        studies: of `tune`: what was tried and what came of it.
        profile: what the data holds (`log.profile`).
        training: `model.training_log` by model.
        title: of the page; by default what was compared.
        notes: paragraphs of the author's own, such as what the data is and who ran this.
        json: whether to write the numbers beside the page too, as `report.json`.

    Returns: the path of the page.
    Raises: ArgumentError without result and studies, or where the page would be overwritten by its own JSON;
        MissingExtraError without the extra "plots".
    """
    path = Path(path)
    results = dict(result) if isinstance(result, Mapping) else {} if result is None else {"result": result}
    if not results and studies is None:
        raise ArgumentError("result", result, expected="a Result, or several by name")
    for name, one in results.items():
        if not isinstance(one, Result):
            raise ArgumentError(name, one, expected="a Result", fix="pass what penchant.evaluate gave")
    if path.suffix == ".json" and json:
        raise ArgumentError(
            "path",
            str(path),
            expected="a name that ends in .html",
            fix="the numbers go into a .json beside it",
        )
    _need_the_extra()
    title = title or _title(results, studies)
    whole = _numbers(results, studies, profile, training or {}, title, notes)
    page = _page(results, studies, profile, training or {}, title, notes, numbers := _dumped(whole))
    if json:
        with atomic_file(path.with_suffix(".json")) as file:
            file.write_text(numbers, encoding="utf-8")
    with atomic_file(path) as file:
        file.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))  # a lone surrogate is not worth a failure
    return path


def _need_the_extra() -> None:
    for package in ("altair", "vl_convert"):
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, "plots") from error


def _dumped(whole: Mapping[str, Any]) -> str:
    return json_text.dumps(whole, allow_nan=False)


def _title(results: Mapping[str, Result], studies: Tuned | None) -> str:
    if not results and studies is not None:
        return f"Settings of {listing(list(studies.models))}"
    first, *others = list(
        dict.fromkeys(system.name for result in results.values() for system in result.systems)
    )
    return f"{first} against {listing(others)}" if others else first


# -- the numbers -----------------------------------------------------------------------------------------


def _numbers(
    results: Mapping[str, Result],
    studies: Tuned | None,
    profile: DataProfile | None,
    training: Mapping[str, Sequence[Mapping[str, Any]]],
    title: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    whole = {
        "title": title,
        "results": {name: result.as_dict() for name, result in results.items()},
        "studies": None if studies is None else studies.as_dict(),
        "profile": None if profile is None else profile.as_dict(),
        "training": {model: [dict(row) for row in rows] for model, rows in training.items()},
        "notes": list(notes),
        "penchant": _version(),
    }
    return _json(whole)


def _json(value: Any) -> Any:
    """JSON knows no NaN and no infinity: both are null."""
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return (
        value
        if value is None or isinstance(value, str | int)
        else _json(value.item())
        if hasattr(value, "item")
        else str(value)
    )


def _version() -> str:
    try:
        return version("penchant")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


# -- the page --------------------------------------------------------------------------------------------


def _page(
    results: Mapping[str, Result],
    studies: Tuned | None,
    profile: DataProfile | None,
    training: Mapping[str, Sequence[Mapping[str, Any]]],
    title: str,
    notes: Sequence[str],
    numbers: str,
) -> str:
    from penchant.report import about, samples, tuning  # altair is an extra, and read by these
    from penchant.report import results as found
    from penchant.report import training as curves
    from penchant.report.figures import Figures

    figures = Figures()
    parts: list[_Part] = []
    for name, result in results.items():
        shown = found.sections(result, figures)
        people = samples.cards(result.samples, result.systems[0].name)
        place = len(shown) - 1  # before the conditions
        shown[place:place] = [("Some users, looked at", people)] if people else []
        parts.append(_Part(name if len(results) > 1 else "Results", _lead(result), shown, name))
    if studies is not None:
        parts.append(_Part("Tuning", tuning.lead(studies), tuning.sections(studies, figures)))
    if curves_of := curves.sections(training, figures):
        parts.append(_Part("Training", Markup(), curves_of))
    if profile is not None:
        parts.append(_Part("The data", about.profile_of(profile), []))
    if notes:
        parts.append(_Part("Notes", join(tag("p", note) for note in notes), []))
    bundle, script = _bundle(), _template("page.js")
    return Template(_template("page.html")).substitute(
        policy=_policy(bundle, script),
        style=_template("page.css"),
        title=safe(title),
        summary=_summary(results) if results or studies is None else tuning.summary(studies),
        contents=_contents(parts),
        parts=join(_body(i, part) for i, part in enumerate(parts)),
        version=safe(_version()),
        numbers=_inert(numbers),
        charts=_inert(json_text.dumps(figures.specs, allow_nan=False)),
        bundle=bundle,
        script=script,
    )


class _Part(NamedTuple):
    """A part of the page: title, what comes first, sections, and the result whose numbers it shows."""

    title: str
    lead: Markup
    sections: list[tuple[str, Markup]]
    result: str | None = None


def _body(i: int, part: _Part) -> Markup:
    sections = [
        tag("section", tag("h3", name, id=f"part-{i}-{j}"), content)
        for j, (name, content) in enumerate(part.sections)
    ]
    return tag(
        "section",
        tag("h2", part.title, id=f"part-{i}-title"),
        part.lead,
        *sections,
        id=f"part-{i}",
        class_="part",
        aria_labelledby=f"part-{i}-title",
        data_result=part.result,
    )


def _contents(parts: Sequence[_Part]) -> Markup:
    items: list[Markup] = []
    for i, part in enumerate(parts):
        inner = [
            tag("li", tag("a", name, href=f"#part-{i}-{j}")) for j, (name, _) in enumerate(part.sections)
        ]
        items.append(tag("li", tag("a", part.title, href=f"#part-{i}"), tag("ol", *inner) if inner else ""))
    return tag("ol", *items)


def _summary(results: Mapping[str, Result]) -> Markup:
    """The verdicts, before anything else."""
    cards: list[Markup] = []
    for i, (name, result) in enumerate(results.items()):
        verdict, *more = headline(result)
        heading = tag("h2", tag("a", name, href=f"#part-{i}")) if len(results) > 1 else ""
        said = [
            tag("p", verdict, class_="verdict"),
            *(tag("p", sentence, class_="more") for sentence in more),
        ]
        cards.append(
            tag("div", heading, *said, _counts(result), class_="headline first" if i == 0 else "headline")
        )
    return join(cards)


def _counts(result: Result) -> Markup:
    left_out = sum(result.left_out.values())
    said: list[tuple[str, object]] = [
        ("Users", f"{result.n_users:,}"),
        ("Queries", f"{len(result.users):,}"),
        ("Systems", len(result.systems)),
    ]
    return facts([*said, ("Left out", f"{left_out:,}")] if left_out else said)


def _lead(result: Result) -> Markup:
    """Who was asked how often, under the part's title, and what makes the figures doubtful."""
    names = [system.name for system in result.systems]
    against = f" against {listing(names[1:])}" if names[1:] else ""
    asked = f"{count(len(result.users), 'query')} of {count(result.n_users, 'user')}"
    text = f"{names[0]}{against}. {asked}, {result.setting.part} part; split: {result.setting.split}."
    cautions = [*([headline(result)[0]] if result.verdict is not None else []), *result.cautions]
    return join([tag("p", text, class_="said"), *(tag("p", line, class_="caution") for line in cautions)])


# -- scripts ---------------------------------------------------------------------------------------------


def _template(name: str) -> str:
    return files("penchant.report").joinpath("templates", name).read_text(encoding="utf-8")


def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed (900 kB; the first call of a process takes seconds)."""
    import vl_convert

    text: str = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue] - its stub lacks the default
    return text.replace("</script", "<\\/script")


def _inert(text: str) -> Markup:
    """JSON that cannot end its script element: neither Altair nor vl-convert escapes `</script>` in data."""
    return Markup(text.replace("<", "\\u003c"))


def _policy(*scripts: str) -> str:
    """What the browser may do: run these scripts and no other, load nothing from anywhere."""
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    rules = ["default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data:"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])
