"""What is raced with whom, on what, and what the project aims at."""

from costs import costs
from course import EVERY, NEGATIVES
from race import HERE, Environment, Goal, Needs, Race, Settings, Side, ours

AHEAD = Goal("ahead", least=1.0)
SOONER = Goal("ahead", most=1.0)


def races(settings: Settings) -> list[Race]:
    """All of them."""
    return [
        *_first_batches(settings),
        *_trainings(settings),
        _quality(settings),
        _answers(settings),
        _din(settings),
        *_alone(settings),
        *costs(settings),
    ]


def _peer(
    settings: Settings, name: str, script: str, needs: Needs, *arguments: object,
    python: Environment = "peers", only: str = "", tasks: tuple[str, ...] = (), goal: Goal | None = AHEAD,
    timeout: float = 300,
) -> Side:  # fmt: skip
    """A peer in a script that has peerbench's command line: peerbench's own, or one that stands here."""
    folder = HERE if (HERE / script).is_file() else settings.peerbench or HERE
    command = (
        str(folder / script), "--data", settings.folder(needs), "--threads", str(settings.threads),
        "--only", only or name.lower(), "--timeout", f"{timeout:g}", *map(str, arguments),
    )  # fmt: skip
    return Side(name, python, command, tasks, goal)


def _first_batches(settings: Settings) -> list[Race]:
    about = (
        "From the raw file (tab-separated; user, item and time are read, a fourth column is not) to the "
        "first shuffled batch of 128 histories of 50 events. Nothing is warm but the imports."
    )
    found: list[Race] = []
    sizes: dict[Needs, str] = {
        "ml-100k": "MovieLens-100k",
        "made": f"a made log of {100_000 if settings.quick else 1_000_000:,} events",
    }
    for needs in sizes:
        sides = [ours(settings, "first_batch.py", "--once", settings.file(needs) or "")]
        if needs == "ml-100k":
            goal = Goal("at least 20x", least=20)
            sides.append(_peer(settings, "RecBole", "race_first_batch.py", needs, goal=goal))
        goal = Goal("at least 3x", least=3)
        sides.append(_peer(settings, "RecTools", "race_first_batch.py", needs, goal=goal))
        name = f"raw file to first batch, {sizes[needs]}"
        found.append(Race(name, "events a CPU second", about, tuple(sides), needs))
    return found


def _trainings(settings: Settings) -> list[Race]:
    seconds = ("--seconds", settings.seconds)
    about = (
        f"SASRec on MovieLens-100k, {settings.seconds:g} s of training from the first, cold step: "
        "width 64, 2 blocks, 2 heads, history 50, batches of 128 windows, dropout 0.2 (RePlay: 0.3); making "
        "batches, loss, gradients and update, and the library's own loop. A target is a position learned "
        "from; padding does not count. Ours also clips gradients and learns the first event of every "
        "window, which is not counted."
    )
    many = (*seconds, "--negatives", 128)
    one = (*seconds, "--negatives", 1)
    kinds = {
        "softmax over all items": (
            "softmax", "",
            _peer(settings, "RePlay", "race_sasrec.py", "ml-100k", *seconds, python="replay"),
            _peer(settings, "RecTools", "race_sasrec.py", "ml-100k", *seconds),
        ),
        "softmax over all items, RecTools' flat network": (
            "flat",
            "RecTools' `FlatSASRecNet` has pre-norm blocks with feed-forward layers of four times the "
            "width; ours is given the same here (`norm=\"pre\", ffn_mult=4`). RecTools has no loop for it: "
            "its data set runs through a bare PyTorch loop.",
            _peer(settings, "RecTools (flat)", "peer_rectools.py", "ml-100k", *seconds, only="flat"),
        ),
        "softmax over 128 sampled items": (
            "sampled",
            "RecTools draws 128 negatives for each position, ours 128 for a batch that all positions share, "
            "with the logQ correction: as many negatives a target, but less work.",
            _peer(settings, "RecTools", "peer_rectools.py", "ml-100k", *many, only="sampled"),
        ),
        "binary cross-entropy, 1 negative": (
            "bce",
            "ours is never an item that the user had, RecTools' may be.",
            _peer(settings, "RecTools", "peer_rectools.py", "ml-100k", *one, only="bce"),
        ),
        "binary cross-entropy, 128 negatives": (
            "bce-128",
            "both draw them for each position; ours are never items that the user had, RecTools' may be.",
            _peer(settings, "RecTools", "peer_rectools.py", "ml-100k", *many, only="bce"),
        ),
    }  # fmt: skip
    return [
        Race(
            f"SASRec training, {name}", "targets a CPU second", about,
            (ours(settings, "sasrec.py", "--once", kind, *seconds), *peers), "ml-100k", note=note,
        )
        for name, (kind, note, *peers) in kinds.items()
    ]  # fmt: skip


def _quality(settings: Settings) -> Race:
    goal, asked, sampled = 0.045, 500 if settings.quick else 5000, f"softmax over {NEGATIVES} sampled items"
    timeout = 300 + 150 * settings.minutes  # twice the training for questions and for a busy machine
    told = ("--goal", goal, "--cap", settings.minutes, "--asked", asked)

    def peer(name: str, python: Environment, only: str) -> Side:
        return _peer(
            settings, name, "peer_quality.py", "beauty", *told,
            python=python, only=only, goal=SOONER, timeout=timeout,
        )  # fmt: skip

    return Race(
        f"time to quality: SASRec on Beauty until NDCG@10 is {goal:g}",
        "CPU minutes, less is better",
        "S3-Rec's Beauty (22,363 users, 12,101 items, histories of 7 on average; order of the file), of each "
        "user the last item put away, the one before for validation, the rest to learn from. NDCG@10 is that "
        f"of validation, asked every {EVERY} steps (a quarter of an epoch) off the clock, by the same "
        f"function for all, for the same {asked:,} users drawn once, over all items but those that the user "
        f"had in training. A training ends at the goal or after {settings.minutes:g} CPU minutes; who has "
        "not arrived by then runs once, not in every round. All have 1 block, 1 head, width 64, dropout 0.2, "
        f"Adam at 0.001 and the {sampled}, as RecTools' authors publish it for this file "
        "(github.com/blondered/transformer_benchmark), history 50 and batches of 128 users. RecTools draws "
        "negatives for each position, RePlay and ours for a batch. "
        "Order of norms, initial weights and Adam's other settings are each library's own. RecTools and "
        "RePlay train in Lightning, as they document it; ours takes the steps that `fit` takes, and clips "
        "gradients.",
        (
            ours(settings, "quality.py", "--data", settings.folder("beauty"), *told),
            peer("RePlay", "replay", "replay-sampled"),
            peer("RecTools", "peers", "rectools-sampled"),
        ),
        "beauty", until=goal, rounds=3, timeout=timeout + 60,
    )  # fmt: skip


def _answers(settings: Settings) -> Race:
    both = ("SASRec recommend", "metrics")
    return Race(
        "SASRec end to end",
        "users a CPU second",
        "Encoding all 943 users of MovieLens-100k (blocks of 256), the best 10 of all items less what each "
        "had, and recall and NDCG of the lists, once, after one step of training. For RecTools, `recommend` "
        "and `calc_metrics` are timed apart and summed; RePlay computes metrics while it predicts "
        "(`Trainer.test`).",
        (
            ours(settings, "sasrec.py", "--once", "answering"),
            _peer(
                settings, "RePlay", "race_recommend.py", "ml-100k",
                python="replay", tasks=("SASRec recommend + metrics",),
            ),
            _peer(settings, "RecTools", "race_recommend.py", "ml-100k", tasks=both),
        ),
        "ml-100k",
    )  # fmt: skip


def _din(settings: Settings) -> Race:
    seconds = ("--seconds", settings.seconds)
    return Race(
        "DIN training",
        "examples a CPU second",
        f"MovieLens-100k, {settings.seconds:g} s of training at most from the first, cold step, one "
        "pass over the first 80 % of the events in time at most: liked or not (4 and more), batches of "
        "1,024, history 50, width 16, attention 80-40, head 200-80, Dice, batch norm, user ids. Details of "
        "the networks differ.",
        (
            ours(settings, "din.py", "--once", *seconds),
            *(
                _peer(settings, name, "race_ctr.py", "ml-100k", *seconds, only=only, goal=None)
                for name, only in (("FuxiCTR", "fuxictr-DIN"), ("torch-rechub", "torch-rechub-DIN"))
            ),
        ),
        "ml-100k",
    )  # fmt: skip


def _alone(settings: Settings) -> list[Race]:
    quick = settings.quick
    users, items = (1_000, 5_000) if quick else (10_000, 20_000)
    small, large = 50_000, 500_000 if quick else 5_000_000
    events, rounds = (1_000_000, 60) if quick else (10_000_000, 200)
    evaluation = Race(
        "evaluation from given vectors",
        "users a CPU second",
        f"{users:,} users x {items:,} items, width 64: matrix product, mask of what was seen, the best 20, "
        "and all ranking metrics at 5, 10 and 20; bare PyTorch makes the lists with `torch.topk` and "
        "measures nothing.",
        (
            ours(settings, "evaluation.py", "--once", *(["--quick"] if quick else [])),
            Side("bare torch", goal=Goal("at least 0.75x", least=0.75)),
        ),
        alone=True,
    )
    batches = [
        Race(
            f"batches of {kind} histories",
            "histories a CPU second",
            f"1,024 histories of 50 events (ragged: of at most 50), item and time, from a log of {events:,} "
            "events: from row numbers, against an `index_select` of the two columns whose index was made "
            "before the clock started. A value is the rate of 20 batches.",
            (
                Side("penchant", command=(
                    str(HERE / "batches.py"), "--once", kind,
                    "--events", str(events), "--users", str(events // 100), "--rounds", str(rounds),
                )),
                Side(
                    "bare index_select",
                    goal=Goal("at least 0.70x and 1.5 M", least=0.70, value=1.5e6),
                ),
            ),
            alone=True,
        )
        for kind in ("full", "ragged")
    ]  # fmt: skip
    step = Race(
        "training step, large catalogue",
        "CPU ms a step",
        "SASRec, 1,024 windows of 50, 512 shared negatives, width 64, all items drawn uniformly: zero_grad, "
        "loss, gradients, clipping and update, with two sizes of catalogue. Less is better; the ratio is "
        "that of times.",
        (
            ours(
                settings, "step.py", "--once", "--items", small, large, "--rounds", 3 if quick else 9,
                name=f"{large:,} items",
            ),
            Side(f"{small:,} items", goal=Goal("at most 1.15x", most=1.15)),
        ),
        alone=True,
    )  # fmt: skip
    rows = 200_000 if quick else 10_000_000
    world = Race(
        "simulated world",
        "wall seconds, less is better",
        f"About {rows:,} rows of impressions and their truth (`penchant.world`) with every effect on, 20,000 "
        "items, part by part in memory, on two threads whatever the others have; beside the 60 seconds that "
        "10 million rows may take.",
        (
            Side("penchant", command=(
                str(HERE / "world.py"), "--once", "--rows", str(rows), "--rounds", "1" if quick else "3",
                "--threads", "2",
            )),
            Side("60 s", goal=Goal("at most 60 s", most=1.0)),
        ),
        alone=True, timeout=900,
    )  # fmt: skip
    return [evaluation, *batches, step, world]
