"""Charts on the page: each with a title, a sentence that says what it shows, and its numbers as a table."""

from dataclasses import dataclass, field

from penchant.report.markup import Markup, details, tag
from penchant.report.plots import Spec


@dataclass
class Figures:
    """Collects what the page's script draws: `specs[i]` goes into the element `chart-i`."""

    specs: list[Spec] = field(default_factory=list[Spec])

    def add(
        self, spec: Spec | None, *, title: str, says: object, numbers: Markup, square: bool = False
    ) -> Markup:
        """A figure; where there is nothing to draw, its numbers alone.

        Args:
            spec: a chart of `plots.py`, or None.
            title: a few words.
            says: what to see in it, also read out in place of the picture.
            numbers: the same as a table.
            square: whether the picture is about as high as wide.
        """
        if spec is None:
            return numbers
        self.specs.append(spec)
        drawn = tag(
            "div",
            id=f"chart-{len(self.specs) - 1}",
            class_="chart square" if square else "chart",
            role="img",
            aria_label=f"Chart: {title}. {says}",
            style=f"min-height:{spec['height'] + 60}px",
        )
        head = tag("figcaption", tag("strong", title), " ", tag("span", says))
        return tag("figure", head, drawn, details("The same in numbers", numbers))
