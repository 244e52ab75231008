"""Figures that others published on files at hand, and ours beside them.

    PENCHANT_DATA=... python experiments/published.py [--grid small|full] [--workers 2]

Four logs as prepared for S3-Rec (Amazon Beauty, Sports, Toys; Yelp), each figure under the setting that it
was published with (`penchant.evaluation.setting`). Settings of models come from the sources; what a source
leaves open is ours. The validation part alone says when to stop; each trained model is asked the test part
once a setting.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from _others import AT_10, BCE, LEAK, METRICS, PUBLISHED, S3REC, SAMPLED
from _runs import (
    CHECKPOINTS,
    Cell,
    Row,
    data_folder,
    mean_interval,
    options,
    rows_of,
    run_cells,
    table,
    write_page,
)

import penchant as pt
from penchant.data import Split, datasets
from penchant.evaluation import setting
from penchant.evaluation.spread import spread

NAME = "published"
LOGS = {"Beauty": "Beauty", "Sports": "Sports_and_Outdoors", "Toys": "Toys_and_Games", "Yelp": "Yelp"}
SEEDS = 5  # of the full grid
ASKED = 5_000  # users of the validation part who are asked after every epoch, evenly spread


@dataclass(frozen=True)
class Arm:
    """One of ours: how it is made and fitted, and on which logs with how many seeds, by grid."""

    model: type
    settings: dict[str, Any]
    fit: dict[str, Any]
    small: dict[str, int]
    learns: Callable[[Split], Split] = lambda split: split


def _everything(split: Split) -> Split:
    """The leak: every row is learned from, the test rows too."""
    return replace(split, part=torch.ones_like(split.part))


ByCell = dict[tuple[str, str], list[Row]]  # by arm and log
ALL = dict.fromkeys(LOGS, 1)
FIT = {"learning_rate": 1e-3, "epochs": 200, "metric": "ndcg@10"}
ARMS = {
    LEAK: Arm(pt.retrieve.Popularity, {}, {}, ALL, _everything),
    "Popularity": Arm(pt.retrieve.Popularity, {}, {}, ALL, Split.joined),
    # as the source has it: width 64, 2 blocks, 2 heads, dropout .5 of attention weights too, batches of 256.
    # It stops after 10 epochs without gain, RepPad's runs learn for 200 before they look. Ours waits for 100:
    # what 5,000 users say is noisy, and still rises slowly after 150 epochs.
    BCE: Arm(
        pt.retrieve.SASRec,
        {
            "objective": "bce",
            "heads": 2,
            "dropout": 0.5,
            "attention_dropout": 0.5,
            "norm": "post",
            "ffn_mult": 4,
        },
        FIT | {"epochs": 300, "batch_size": 256, "patience": 100},
        {"Beauty": 3},
    ),
    # width 64, our block; dropout as those have it whose softmax does best on these files
    "SASRec, softmax": Arm(
        pt.retrieve.SASRec,
        {"objective": "softmax", "dropout": 0.5, "attention_dropout": 0.5},
        FIT | {"batch_size": 128, "patience": 6},
        {"Beauty": 3},
    ),
    # as the source has it: 1 block, 1 head, dropout .2 of attention weights and of item vectors too, batches
    # of 128. Theirs draws 256 negatives for each position; ours shares them in a batch, so it draws more: how
    # many, and the width (theirs is said to be 64 or 256), by trials on validation; theirs waits 50 epochs
    SAMPLED: Arm(
        pt.retrieve.SASRec,
        {
            "objective": "sampled",
            "negatives": 2048,
            "depth": 1,
            "attention_dropout": 0.2,
            "item_dropout": 0.2,
        },
        FIT | {"batch_size": 128, "patience": 20},
        {"Beauty": 3},
    ),
    # the same before item vectors were dropped out, with a patience of 10: it missed on Beauty and Sports
    "SASRec, sampled softmax, whole items": Arm(
        pt.retrieve.SASRec,
        {"objective": "sampled", "negatives": 2048, "depth": 1, "attention_dropout": 0.2},
        FIT | {"batch_size": 128, "patience": 10},
        {"Beauty": 3},
    ),
    # the same head, tuned on validation: cosines instead of inner products, twice the width, more dropout
    "SASRec, cosine": Arm(
        pt.retrieve.SASRec,
        {
            "objective": "sampled",
            "negatives": 4096,
            "width": 128,
            "depth": 1,
            "dropout": 0.5,
            "attention_dropout": 0.5,
            "final_norm": "l2",
            "temperature": 0.07,
        },
        FIT | {"batch_size": 128, "patience": 8},
        {"Beauty": 3},
    ),
}


def _settings(arm: Arm) -> str:
    return f"{_words(arm.settings)} | {_words(arm.fit)}" if arm.fit else ""


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"


# settings stand in the cell: who changes those of an arm runs it again
CELLS = [
    {"arm": name, "settings": _settings(ARMS[name]), "log": log, "seed": seed}
    for name in ARMS
    for log in LOGS
    for seed in range(SEEDS)
]


def main() -> None:
    """Runs what is missing of a grid and writes the page."""
    asked = options(__doc__ or "")
    cells = [cell for cell in CELLS if cell["seed"] < _seeds(asked.grid, ARMS[cell["arm"]], cell["log"])]
    run_cells(NAME, cells, run, workers=asked.workers, only=asked.only)
    # of the full grid, what has been run so far
    print(write_page(NAME, page(rows_of(NAME, CELLS))).read_text(encoding="utf-8"))


def _seeds(grid: str, arm: Arm, log: str) -> int:
    return SEEDS if grid == "full" and arm.fit else arm.small.get(log, 0)


def run(cell: Cell) -> Row:
    """Trains one of ours on one log and asks it the test part, under every setting it is compared by."""
    arm = ARMS[cell["arm"]]
    split = setting("s3rec").split(datasets.amazon_yelp(data_folder("amazon-yelp"), LOGS[cell["log"]]))
    learned = arm.learns(split)
    if not arm.fit:
        model = pt.fit(arm.model(split.log.features, **arm.settings), learned)
        audit = pt.audit(split.joined(), statistics=[model])
        count = learned.item_counts.sort(descending=True).values
        found: Row = {
            "audit": "clean" if audit.ok else str(audit.first).splitlines()[0],
            "tied": [k for k in (5, 10, 20) if count[k - 1] == count[k]],
        }
    else:
        valid = spread(learned.valid(), ASKED)
        name = hashlib.sha256(json.dumps(cell).encode()).hexdigest()[:16]
        model = arm.model(split.log.features, **arm.settings, seed=cell["seed"])
        kept = CHECKPOINTS / NAME / name
        pt.fit(model, learned, valid=valid, **arm.fit, seed=cell["seed"], checkpoint=kept, progress=False)
        best = max(model.training_log, key=lambda row: row["metrics"]["ndcg@10"])
        found = {
            "epochs": len(model.training_log),
            "best_epoch": best["epoch"],
            "valid": best["metrics"]["ndcg@10"],
        }
    asked = {name: setting(name) for name in ("s3rec", "rectools_loo")}
    asked["s3rec, mask 0"] = replace(setting("s3rec"), masked_score=0.0)
    for chosen, kept in asked.items():
        result = pt.evaluate(model, split.test, setting=kept, bootstrap=0, slices=False)
        found[chosen] = {name: result[name] for name in METRICS if name in result.systems[0].metrics}
        found[f"{chosen} said"] = f"{result.setting}; {len(result.users):,} queries"
    return found


def page(rows: list[Row]) -> str:
    """The results page, from rows alone."""
    by_cell: ByCell = {}
    for row in rows:
        by_cell.setdefault((row["cell"]["arm"], row["cell"]["log"]), []).append(row)
    said = {row["found"][f"{name} said"] for row in rows for name in ("s3rec", "rectools_loo")}
    sections = [_section(log, by_cell) for log in LOGS]
    return f"""# Published figures, and ours

Written by `experiments/published.py` from `published.jsonl`; only others' figures are typed. A figure of ours
is the mean over seeds, with half the width of its 95 % Student interval where there is more than one; the
ratio is ours / theirs, of the means. `s3rec` and `rectools_loo` are settings by name:
`evaluate(model, split.test, setting=setting("s3rec"))`. Best rows of the validation part stop every training
and choose among ours; a trained model is asked the test part once a setting, after that. Not all arms were
fixed before the test part had been asked: "{SAMPLED}" came after its forerunner with
whole items had missed, and "{BCE}" on Beauty had been run and asked with a patience of 30 (seed 0; within
10 %, too) before 100.

## What must come out

{table(["claim", "", "found"], _claims(by_cell))}

{chr(10).join(sections)}
## Masking with score 0

S3-Rec's code gives masked items the score 0 and not minus infinity. The largest change that this makes to a
figure of ours: {_mask(rows)}.

## All of ours

Every arm that was trained, on the logs that it ran on, asked as `s3rec` asks; means over seeds.

{table(["", "log", "seeds", "ndcg@10, validation", "recall@10, test", "ndcg@10, test"], _trained(by_cell))}

## How ours are made

What is not named is SASRec's default: width 64, depth 2, 1 head, dropout 0.2, history 50.

{table(["", "settings, fit", "epochs, best of which", "ndcg@10, validation", "CPU minutes"], _made(rows))}

## What differs

{chr(10).join(f"- {row.model} ({row.source}): {row.differs}." for row in PUBLISHED)}

## What was asked

{chr(10).join(f"- {line}" for line in sorted(said))}
"""


def _section(log: str, by_cell: ByCell) -> str:
    lines: list[list[str]] = []
    for theirs in PUBLISHED:
        if log not in theirs.figures:
            continue
        arm, ours = _held_beside(theirs.arm, log, by_cell)
        for metric, figure in zip(theirs.metrics, theirs.figures[log], strict=True):
            if metric in AT_10 or theirs.arm in (LEAK, "Popularity"):
                beside = _beside(ours, theirs.setting, metric, figure)
                lines.append(
                    [theirs.model, theirs.source, theirs.setting, metric, f"{figure:.4f}", *beside, arm]
                )
    head = ["model", "source", "setting", "metric", "theirs", "ours", "ratio", "ours is"]
    return f"## {log}\n\n{table(head, lines)}\n"


def _held_beside(arm: str, log: str, by_cell: ByCell) -> tuple[str, list[Row]]:
    """The arm held beside a published row, and its rows; "best" is that of the best validation part."""
    if arm != "best":
        return arm, by_cell.get((arm, log), [])
    ran = {name: by_cell[name, log] for name in ARMS if ARMS[name].fit and (name, log) in by_cell}
    if not ran:
        return "", []
    best = max(ran, key=lambda name: statistics.mean(row["found"]["valid"] for row in ran[name]))
    return best, ran[best]


def _beside(ours: list[Row], setting_name: str, metric: str, figure: float) -> tuple[str, str]:
    if not ours:
        return "not run", ""
    mean, half = mean_interval([row["found"][setting_name][metric] for row in ours])
    shown = f"{mean:.4f}" if half != half else f"{mean:.4f} ± {half:.4f}"
    return shown, f"{mean / figure:.2f}"


def _mean(ours: list[Row], setting_name: str, metric: str) -> float:
    return mean_interval([row["found"][setting_name][metric] for row in ours])[0]


def _claims(by_cell: ByCell) -> list[list[str]]:
    """What the published figures ask of ours, and whether it came out."""
    return [*_exact(by_cell), *_audited(by_cell), *_near(by_cell), *_ahead(by_cell)]


def _claim(claim: str, met: object, text: str) -> list[str]:
    return [claim, "met" if met else "**missed**", text]


def _exact(by_cell: ByCell) -> Iterator[list[str]]:
    for theirs in (row for row in PUBLISHED if row.arm in (LEAK, "Popularity")):
        apart: dict[str, float] = {}
        tied: dict[str, float] = {}
        for log, figures in theirs.figures.items():
            rows = by_cell[theirs.arm, log]
            for metric, figure in zip(theirs.metrics, figures, strict=True):
                cut = int(metric.split("@")[1]) in rows[0]["found"]["tied"]
                (tied if cut else apart)[f"{log} {metric}"] = abs(
                    _mean(rows, theirs.setting, metric) - figure
                )
        said = f"{len(apart)} of {len(apart) + len(tied)} figures, furthest apart {max(apart.values()):.5f}"
        claim = f"{theirs.model}: every figure to .0001"
        if tied:  # which of two items of one count stands at the last place is chance
            claim += " that hangs on no tie"
            said += f"; {len(tied)} hang on two counts that tie across the cutoff: "
            said += ", ".join(f"{name} {value:.5f}" for name, value in tied.items())
        yield _claim(claim, max(apart.values()) <= 1e-4, said)


def _audited(by_cell: ByCell) -> Iterator[list[str]]:
    for arm, clean in ((LEAK, False), ("Popularity", True)):
        verdicts = [row["found"]["audit"] for log in LOGS for row in by_cell[arm, log]]
        good = all((verdict == "clean") is clean for verdict in verdicts)
        yield _claim(f"{arm}: the audit {'is clean' if clean else 'finds it'}", good, verdicts[0])


def _near(by_cell: ByCell) -> Iterator[list[str]]:
    bce = next(row for row in PUBLISHED if row.source == S3REC and row.arm == BCE)
    sampled = [row for row in PUBLISHED if row.model == SAMPLED]
    bounds: dict[tuple[str, str], tuple[str, str, float, float]] = {}  # setting, words, recall@10, NDCG@10
    for log, figures in bce.figures.items():
        least = (0.0274, 0.0) if log == "Yelp" else (0.9 * figures[2], 0.9 * figures[3])
        words = "recall@10 of at least .0274" if log == "Yelp" else "at least .90 of it"
        bounds[bce.arm, log] = (bce.setting, words, *least)
    bounds["SASRec, softmax", "Beauty"] = ("s3rec", "at least .082 and .040", 0.082, 0.040)
    for theirs in sampled:
        for log, (recall, ndcg) in theirs.figures.items():
            bounds[theirs.arm, log] = (
                theirs.setting,
                "at least .95 of the published",
                0.95 * recall,
                0.95 * ndcg,
            )
    for (arm, log), (name, words, *least) in bounds.items():
        if ours := by_cell.get((arm, log)):
            means = [_mean(ours, name, metric) for metric in AT_10]
            met = all(mean >= bound for mean, bound in zip(means, least, strict=True))
            yield _claim(f"{arm}, {log}: {words}", met, " and ".join(f"{mean:.4f}" for mean in means))
        else:
            yield [f"{arm}, {log}: {words}", "", "not run in this grid"]


def _ahead(by_cell: ByCell) -> Iterator[list[str]]:
    for log in ("Beauty", "Sports", "Toys"):
        arm, ours = _held_beside("best", log, by_cell)
        claim = f"goal: our best on {log} above every row of the same files"
        if not ours:
            yield [claim, "", "not run in this grid"]
            continue
        ratios = {
            f"{theirs.model} ({theirs.source}), {metric}": _mean(ours, theirs.setting, metric) / figure
            for theirs in PUBLISHED
            if log in theirs.figures and theirs.same_files
            for metric, figure in zip(theirs.metrics, theirs.figures[log], strict=True)
            if metric in AT_10
        }
        worst = min(ratios, key=lambda name: ratios[name])
        seeds = f"{len(ours)} seed{'s' if len(ours) > 1 else ''}"
        yield _claim(claim, ratios[worst] > 1, f"{arm}, {seeds}: {ratios[worst]:.2f}x of {worst}")


def _mask(rows: list[Row]) -> str:
    apart = [
        (abs(row["found"]["s3rec, mask 0"][metric] - row["found"]["s3rec"][metric]), row["cell"], metric)
        for row in rows
        if "s3rec, mask 0" in row["found"]
        for metric in METRICS
    ]
    if not apart:
        return "not asked"
    most, cell, metric = max(apart, key=lambda found: found[0])
    return f"{most:.5f} ({cell['arm']}, {cell['log']}, {metric}; of {len(apart)} figures)"


def _trained(by_cell: ByCell) -> list[list[str]]:
    return [
        [
            arm, log, str(len(rows)), f"{statistics.mean(row['found']['valid'] for row in rows):.4f}",
            *(f"{_mean(rows, 's3rec', metric):.4f}" for metric in AT_10),
        ]
        for (arm, log), rows in sorted(by_cell.items(), key=lambda cell: list(LOGS).index(cell[0][1]))
        if ARMS[arm].fit
    ]  # fmt: skip


def _made(rows: list[Row]) -> list[list[str]]:
    lines: list[list[str]] = []
    trained = [row for row in rows if row["cell"]["settings"]]
    for name in dict.fromkeys(row["cell"]["arm"] for row in trained):
        ours = [row for row in trained if row["cell"]["arm"] == name]
        settings = ours[0]["cell"]["settings"]
        beauty = [row["found"]["valid"] for row in ours if row["cell"]["log"] == "Beauty"]
        epochs = [row["found"]["epochs"] for row in ours]
        best = [row["found"]["best_epoch"] for row in ours]
        minutes = [row["seconds"]["cpu"] / 60 for row in ours]
        lines.append([
            name, settings.replace(" | ", "; "),
            f"{min(epochs)} to {max(epochs)}, {min(best)} to {max(best)}",
            f"{statistics.mean(beauty):.4f} (Beauty)" if beauty else "",
            f"{min(minutes):.1f} to {max(minutes):.1f}",
        ])  # fmt: skip
    return lines


if __name__ == "__main__":
    main()
