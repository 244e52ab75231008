"""How our own costs may grow with the size of things: a race of ours with itself at several sizes."""

from race import Growth, Race, Settings, Side, ours

_ABOUT = (
    "One process measures a cost of ours at all sizes, in rounds of its own. The slope is that of the "
    "logarithm of the cost over the logarithm of the size, by least squares: 1 where the cost grows in "
    "proportion, 0 where it stays."
)


def costs(settings: Settings) -> list[Race]:
    """All of them."""
    quick = settings.quick
    small, large = (1_000, 4_000, 16_000), (10_000, 40_000, 160_000)
    logs = large if quick else (100_000, 400_000, 1_600_000, 6_400_000)
    pasts = (100, 400, 1_600) if quick else (100, 400, 1_600, 6_400)
    return [
        _cost(
            settings, "reading", "raw file to first batch", "CPU seconds", Growth("events", logs, 1.1),
            "as raced, on made logs of users of 50 events.",
        ),
        _cost(
            settings, "memory", "peak memory, raw file to first batch", "MiB", Growth("events", logs, 1.1),
            "what the peak of a fresh process grows by; a part of it does not depend on the log.",
        ),
        _cost(
            settings, "batches", "batches of histories of 50", "CPU us a history",
            Growth("events and users", logs if quick else (500_000, 2_000_000, 8_000_000, 32_000_000), 0.2),
            "batches of 1,024; users of 100 events. A log beyond the processor's cache costs more to read.",
        ),
        _cost(
            settings, "items", "training step", "CPU ms a step",
            Growth("items", small if quick else (5_000, 50_000, 500_000, 5_000_000), 0.1),
            "SASRec, 128 full windows of 50, 512 shared negatives, items drawn uniformly.",
        ),
        _cost(
            settings, "past", "training step and its batch", "CPU ms a step",
            Growth("events of a user, window of 50", pasts, 0.1),
            "the same; users have ever more events, the log as many in all.",
        ),
        _cost(
            settings, "answers", "best 10 items", "CPU us a user",
            Growth("events of a user, window of 50", pasts, 0.25),
            "20,000 items. What the user had is left out, all of it, which is what grows.",
        ),
        _cost(
            settings, "window", "training step", "CPU ms a step",
            Growth("length of the window", (25, 50, 100) if quick else (25, 50, 100, 200), 1.3),
            "the same with 5,000 items; attention grows with the square of the window.",
        ),
        _cost(
            settings, "ranking", "ranking and its metrics", "CPU us a user",
            Growth("items", small if quick else (5_000, 20_000, 80_000, 320_000), 1.1),
            "from given vectors of width 64, as raced.",
        ),
        _cost(
            settings, "crowd", "ranking and its metrics", "CPU us a user",
            Growth("users", (64, 128, 256) if quick else (128, 512, 2_048, 8_192), 0.1),
            "likewise, 5,000 items.",
        ),
    ]  # fmt: skip


def _cost(settings: Settings, subject: str, what: str, unit: str, growth: Growth, note: str) -> Race:
    """A cost that `growth.py` measures."""
    command = ours(
        settings, "growth.py", subject, "--sizes", *growth.sizes, "--rounds", settings.rounds
    ).command
    sides = [Side(f"{size:,}", command=command) for size in growth.sizes]
    return Race(
        f"cost: {what} against {growth.of}", unit, _ABOUT, tuple(sides), alone=True, note=note, growth=growth
    )
