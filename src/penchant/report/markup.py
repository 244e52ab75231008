"""Small pieces of HTML, every text escaped: `Markup` is what is safe to print, everything else is text."""

from collections.abc import Iterable
from html import escape
from typing import Any


class Markup(str):
    """HTML made by this package. Anything else handed to the functions below is text and is escaped."""

    __slots__ = ()


def safe(value: object) -> Markup:
    """`value` as HTML: markup as it is, text escaped."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def join(parts: Iterable[object]) -> Markup:
    """The parts one after another."""
    return Markup("".join(safe(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; attributes that are None or False are left out, True stands alone, `_` in a name is `-`.

    >>> str(tag("p", "1 < 2", class_="note", hidden=True))
    '<p class="note" hidden>1 &lt; 2</p>'
    """
    said = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.strip("_").replace("_", "-")
        said += f" {key}" if value is True else f' {key}="{escape(str(value))}"'
    inside = join(children)
    return Markup(
        f"<{name}{said}>{inside}" + ("" if name in {"input", "meta", "link", "br", "wbr"} else f"</{name}>")
    )


def table(head: Iterable[object], rows: Iterable[Iterable[object]], *, caption: object) -> Markup:
    """A table whose first column names the rows; wide ones scroll inside their own frame, by keyboard too."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [tag("tr", *_cells(list(row))) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *body))
    return framed(whole, caption)


def framed(content: Markup, name: object) -> Markup:
    """A frame that scrolls sideways where its content is too wide."""
    return tag("div", content, class_="wide", role="group", aria_label=name, tabindex=0)


def _cells(row: list[object]) -> list[Markup]:
    """Cells of a row; one that was made as `<td>` stays as it is."""
    first, *others = row
    made = [safe(cell) for cell in others]
    return [tag("th", first, scope="row"), *(m if m.startswith("<td") else tag("td", m) for m in made)]


def facts(pairs: Iterable[tuple[str, object]], class_: str = "facts") -> Markup:
    """A list of names and values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_=class_)


def details(summary: object, *content: object, **attributes: Any) -> Markup:
    """Content that opens on demand."""
    return tag("details", tag("summary", summary), *content, **attributes)
