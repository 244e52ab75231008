"""Claims about models, asked of worlds whose truth is known.

    python experiments/truth.py [--grid small|full] [--workers 2]

A world with every effect on, and the same one in which everybody draws from one law of popularity, five
seeds each, split by time. Where users choose freely, SASRec is held against Popularity and EASE (NDCG@10 over
the whole catalogue); where lists are shown and clicked, DIN, which reads what was shown and whether it was
clicked, against a DeepFM without a history and against its own network without one (GAUC). A policy that
knows tastes shows a user what they like, so that a list alone tells of them; in a third world the policy is
blind. With structure the intervals of the lead must lie above 0. Without it there is nothing to be found, and
nobody may lead: that would be luck, or a leak. EASE is held to nothing there: its neighbours are noise.
"""

from collections.abc import Iterator
from statistics import mean
from typing import Any

from _runs import Cell, Row, mean_interval, options, rows_of, run_cells, table, write_page

import penchant as pt
from penchant.data import Split
from penchant.world import World, simulate

NAME = "truth"
MISSED = "**missed**"
SEEDS = {"small": 5, "full": 20}
PLAIN = ("interests", "births", "semantic", "boredom", "sequels", "satisfaction", "churn", "treatment")
SIZES: dict[str, Any] = {"items": 800, "categories": 20, "days": 60}
USERS = {"SASRec": 1_500, "DIN": 400}  # a list has five rows: about as many rows of either
WORLDS = {
    "SASRec": ("every effect", "popularity alone"),
    "DIN": ("every effect", "every effect, blind policy", "popularity alone"),
}
ALONE = "its network alone"  # DIN's, without the history: nothing else differs
RIVALS = {"SASRec": ("Popularity", "EASE"), "DIN": ("NoHistory", ALONE)}
METRIC = {"SASRec": "ndcg@10", "DIN": "gauc"}
LISTS = {"epochs": 30, "patience": 3, "batch_size": 64}
ITEMS = {"epochs": 6, "patience": 2, "batch_size": 512}
FIELDS: dict[str, Any] = {"width": 16, "categories": ["category"]}
ARMS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {  # class, settings, arguments of fit
    "Popularity": (pt.retrieve.Popularity, {}, {}),
    "EASE": (pt.retrieve.EASE, {}, {}),
    "SASRec": (pt.retrieve.SASRec, {"width": 32}, LISTS),
    "DIN": (pt.rank.DIN, FIELDS | {"columns": ["label"]}, ITEMS),
    "NoHistory": (pt.rank.NoHistory, FIELDS, ITEMS),
    ALONE: (pt.rank.NoHistory, FIELDS | {"linear": False, "crosses": False}, ITEMS),
}
CELLS = [
    {"model": model, "world": world, "seed": seed}
    for seed in range(SEEDS["full"])
    for model in RIVALS
    for world in WORLDS[model]
]


def main() -> None:
    """Runs what is missing of a grid and writes the page."""
    asked = options(__doc__ or "")
    cells = [cell for cell in CELLS if cell["seed"] < SEEDS[asked.grid]]
    run_cells(NAME, cells, run, workers=asked.workers, only=asked.only)
    text = page(rows_of(NAME, CELLS))
    print(write_page(NAME, text))
    print(text)
    if MISSED in text:
        raise SystemExit("a claim is missed: see above")


def run(cell: Cell) -> Row:
    """One world, one model and its rivals on it."""
    world = World(**SIZES, users=USERS[cell["model"]], seed=cell["seed"])
    if cell["model"] == "SASRec":
        world = world.without("exposure")
    if cell["world"] == "popularity alone":
        world = world.without(*PLAIN)
    if cell["world"] == "every effect, blind policy":
        world = world.changed({"exposure": {"skill": 0.0}})
    log = simulate(world).interactions()
    split = pt.split_by_time(
        log, ties="exclude" if cell["model"] == "DIN" else "order"
    )  # lists share a second
    names = (cell["model"], *RIVALS[cell["model"]])
    model, *rivals = (_fitted(name, split, cell["seed"]) for name in names)
    result = pt.evaluate(model, split.test, against=rivals, samples=0, slices=False, seed=cell["seed"])
    metric = METRIC[cell["model"]]
    found: Row = {"events": len(log), "users": result.n_users, "setting": str(result.setting)}
    for name, row in zip(names, result.systems, strict=True):
        lead = row.difference.get(metric)
        found[name] = {"value": row.metrics[metric].value} | (
            {} if lead is None else {"lead": lead.value, "low": lead.low, "high": lead.high}
        )
    return found


def _fitted(name: str, split: Split, seed: int) -> Any:
    made, settings, fit = ARMS[name]
    given = {"seed": seed} if fit else {}
    return pt.fit(made(split.log.features, **settings, **given), split, **fit, **given, progress=False)


def page(rows: list[Row]) -> str:
    """The results page, from rows alone."""
    lines = list(_lines(rows))
    head = ["model", "rival", "metric", "world", "seeds", "model's", "rival's", "lead"]
    head += ["above / cover / below 0", "asked for", ""]
    settings = dict.fromkeys(row["found"]["setting"].split("; ", 1)[-1].split("part, ")[-1] for row in rows)
    return f"""# Claims held against planted truth

Written by `experiments/truth.py` from `truth.jsonl`. Worlds of {USERS["SASRec"]:,} users
({USERS["DIN"]:,} where lists are shown), {SIZES["items"]:,} items, {SIZES["categories"]} categories and
{SIZES["days"]} days. The lead is the mean over seeds, with half the width of its 95 % Student interval;
beside it, how many of the seeds' own intervals (bootstrap over users) lie above 0, cover it, or lie below.

Where there is nothing to be found nobody may lead: it would be luck, or a leak. A lag may be. DIN reads noise
there, and pays for it beside its own network without a history ("its network alone", nothing else differs);
`NoHistory`, a DeepFM, has a number for each item beside its network, too. EASE ranks by the noise of who had
what with whom, is behind whoever ranks by popularity alone, and is held to nothing.

{table(head, lines)}

Asked: {"; ".join(settings)}.
"""


def _lines(rows: list[Row]) -> Iterator[list[str]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["cell"]["model"], row["cell"]["world"]), []).append(row)
    for (model, world), group in sorted(groups.items(), key=lambda pair: pair[0], reverse=True):
        for rival in RIVALS[model]:
            held = [row["found"] for row in group]
            beside = [found[rival] for found in held]
            lead, half = mean_interval([found["lead"] for found in beside])
            above = sum(found["low"] > 0 for found in beside)
            below = sum(found["high"] < 0 for found in beside)
            wanted, met = "above 0", lead - half > 0
            if world == "popularity alone":
                wanted, met = "no lead", lead - half <= 0
            told = ["nothing", ""] if (world, rival) == ("popularity alone", "EASE") else [wanted, _met(met)]
            yield [
                model, rival, METRIC[model], world, str(len(held)),
                f"{mean(found[model]['value'] for found in held):.4f}",
                f"{mean(found['value'] for found in beside):.4f}", f"{lead:+.4f} ± {half:.4f}",
                f"{above} / {len(held) - above - below} / {below}", *told,
            ]  # fmt: skip


def _met(found: object) -> str:
    return "met" if found else MISSED


if __name__ == "__main__":
    main()
