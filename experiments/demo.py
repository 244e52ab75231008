"""The demo's figures: how its recipe was chosen on validation, and the table in the README.

    python experiments/demo.py [--grid small|full]

First EASE is tried with several strengths of l2, and then the funnel of `demo/leave-last.yaml` with several
merge weights and blends of ranker and retrievers, on the validation part alone: what stands in the recipe is
the best of them.
Then `penchant demo` is run as anybody would run it, and its figures go into the README, beside a picture of
its page.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

from _runs import CHECKPOINTS, RESULTS, Cell, Row, options, run_cells, table, write_page

import penchant as pt
from penchant.cli.recipe import read_recipe
from penchant.data.atomic import atomic_file

NAME = "demo"
README = Path(__file__).parents[1] / "README.md"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "report.png"
OUT = CHECKPOINTS / NAME
BLOCK = re.compile(r"(<!-- experiments/demo.py writes this table -->\n).*?(<!-- end -->)", re.DOTALL)
METRICS = ("recall@10", "ndcg@10", "mrr@10", "item_coverage@10")
CHOOSE_BY = "ndcg@10"
WEIGHTS = [
    None,
    (1, 1, 1),
    (2, 1, 1e-4),
    (1, 2, 1e-4),
]  # of SASRec, EASE, Popularity; None: Popularity fills in
BLENDS = [0.0, 0.25, 0.5, 0.75, 1.0]
EASE_L2 = [100.0, 200.0, 500.0, 1000.0]
SEEDS = {"small": 2, "full": 5}


def main() -> None:
    """Runs what is missing and writes the results page, the README's table and the picture."""
    asked = options(__doc__ or "")
    _demo("--prepare")
    recipe = read_recipe(OUT / "leave-last.yaml").document.value
    # what trained models depend on: if it changes, the rows are of another recipe
    used = {*recipe["funnel"]["retrieve"], recipe["funnel"]["rank"]}
    learned = [model for model in recipe["models"] if isinstance(model, dict) and model["class_path"] in used]
    learned = [model for model in learned if "fit" in model]  # the others are solved
    cells = [
        {"models": learned, "candidates": recipe["funnel"]["candidates"], "seed": seed}
        for seed in range(SEEDS[asked.grid])
    ]
    tried = run_cells(NAME, cells, try_funnels, workers=asked.workers, only=asked.only)
    _demo()
    found = {part: json.loads((OUT / file).read_text()) for part, file in FILES.items()}
    for result in found.values():  # timings and samples are of no use here
        del result["samples"], result["run"]
    with atomic_file(RESULTS / f"{NAME}.json") as made:
        made.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(write_page(NAME, page(tried, recipe["funnel"], found)).read_text(encoding="utf-8"))
    with atomic_file(README) as made:
        made.write_text(in_readme(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    picture(OUT / "report.html")


FILES = {"Everybody's last rating": "result.json", "By time": "time/result.json"}


def try_funnels(cell: Cell) -> Row:
    """Trains the recipe's models and asks funnels of every blend and weights for the validation part."""
    recipe = read_recipe(OUT / "leave-last.yaml", changes=[f"seed={cell['seed']}"])
    split = recipe.split(recipe.data())
    models: dict[str, Any] = {
        planned.name: pt.fit(recipe.build(planned, split.log.features), split, progress=False, **planned.fit)
        for planned in recipe.models
        if planned.name in {*recipe.retrievers, recipe.ranker} - {"EASE"}
    }

    def ask(system: Any) -> float:
        return pt.evaluate(system, split.valid, cutoffs=(10,), candidates="all", bootstrap=0, slices=False)[
            CHOOSE_BY
        ]

    eases = {l2: pt.fit(pt.retrieve.EASE(split.log.features, l2=l2), split) for l2 in EASE_L2}
    alone = {l2: ask(ease) for l2, ease in eases.items()}
    models["EASE"] = eases[max(alone, key=lambda l2: alone[l2])]
    retrieve = [models[name] for name in recipe.retrievers]
    tried = [
        {
            "weights": weights,
            "blend": blend,
            CHOOSE_BY: ask(
                pt.Funnel(
                    retrieve=retrieve, rank=models["DIN"], data=split.log, candidates=cell["candidates"],
                    weights=weights, blend=blend,
                )
            ),
        }
        for weights, blend in product(WEIGHTS, BLENDS)
    ]  # fmt: skip
    return {"ease": [{"l2": l2, CHOOSE_BY: value} for l2, value in alone.items()], "tried": tried}


def page(tried: list[Row], chosen: dict[str, Any], found: dict[str, Any]) -> str:
    """The results page, from rows and the demo's own figures."""
    means: dict[tuple[str, float], list[float]] = {}
    for row in tried:
        for one in row["found"]["tried"]:
            means.setdefault((_words(one["weights"]), one["blend"]), []).append(one[CHOOSE_BY])
    ordered = sorted(means.items(), key=lambda item: -statistics.mean(item[1]))
    funnels = [
        (weights, f"{blend:g}", f"{statistics.mean(values):.4f}",
         f"{min(values):.4f} to {max(values):.4f}")
        for (weights, blend), values in ordered
    ]  # fmt: skip
    eases = [(f"{one['l2']:g}", f"{one[CHOOSE_BY]:.4f}") for one in tried[0]["found"]["ease"]]
    return f"""# The demo

Written by `experiments/demo.py`; nothing here is typed.

## Test

{results(found)}

## Validation: funnels that were tried

{table(["EASE's l2", CHOOSE_BY], eases)}

The funnel with the best of these: mean {CHOOSE_BY} over {len(ordered[0][1])} seeds, with its range.
The recipe has weights {_words(chosen.get("weights"))} and blend {chosen.get("blend", 1)}.

{table(["SASRec : EASE : Popularity", "blend (share of DIN)", CHOOSE_BY, "range"], funnels)}
"""


def _words(weights: list[float] | None) -> str:
    return "by default" if weights is None else " : ".join(f"{w:g}" for w in weights)


def results(found: dict[str, Any]) -> str:
    """A table for each of the demo's two questions, with what was asked."""
    return "\n\n".join(_result(title, result) for title, result in found.items())


def _result(title: str, result: dict[str, Any]) -> str:
    first = result["systems"][0]
    metrics = [name for name in METRICS if name in first["metrics"]]
    head = ["", *metrics, f"{first['name']}'s lead, {CHOOSE_BY}"]
    rows = [
        [system["name"], *(_interval(system["metrics"][m]) for m in metrics), _lead(system)]
        for system in result["systems"]
    ]
    verdict = f" {result['verdict']}." if result["verdict"] else ""
    asked = f"**{title}**: {result['queries']:,} questions about {result['users']:,} users.{verdict}"
    return f"{asked}\n\n{table(head, rows)}"


def _lead(system: dict[str, Any]) -> str:
    """By how much the first system is ahead of this one; nothing for itself."""
    lead = system["difference"].get(CHOOSE_BY)
    if lead is None:
        return ""
    clear = "" if lead["low"] > 0 or lead["high"] < 0 else ", not clear"
    return f"{lead['value']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f}{clear})"


def _interval(estimate: dict[str, float]) -> str:
    value = f"{estimate['value']:.4f}"
    low, high = estimate["low"], estimate["high"]
    return value if low is None or low != low else f"{value} ({low:.4f} to {high:.4f})"


def in_readme(text: str, found: dict[str, Any]) -> str:
    """The README with its table anew: both questions, by the metric that settings were chosen by."""
    head, rows = [""], {system["name"]: [system["name"]] for system in next(iter(found.values()))["systems"]}
    for title, result in found.items():
        head += [f"{title}: {CHOOSE_BY}, {result['users']:,} users", f"{result['systems'][0]['name']}'s lead"]
        for system in result["systems"]:
            rows[system["name"]] += [_interval(system["metrics"][CHOOSE_BY]), _lead(system)]
    shown = table(head, rows.values())
    return BLOCK.sub(lambda block: f"{block[1]}{shown}\n{block[2]}", text)


def picture(page: Path) -> None:
    """The top of the demo's page as a browser shows it, for the README."""
    from playwright.sync_api import sync_playwright

    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as tools, atomic_file(PICTURE) as made:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"))
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.goto(page.resolve().as_uri())
        shown.wait_for_timeout(1000)  # until the plots are drawn
        shown.screenshot(path=made, type="png")
        browser.close()


def _demo(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "penchant", "demo", "--out", str(OUT), *arguments], check=True)


if __name__ == "__main__":
    main()
