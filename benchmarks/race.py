"""What a race is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parent
Environment = Literal["penchant", "peers", "replay"]
Needs = Literal["ml-100k", "beauty", "made"]


@dataclass(frozen=True)
class Goal:
    """What the project aims at.

    Attributes:
        text: as the table prints it.
        least, most: bounds of the ratio ours / theirs; a rate that is only to be ahead has `least` 1.
        value: the least that ours may be itself.
    """

    text: str
    least: float | None = None
    most: float | None = None
    value: float | None = None

    def met(self, ratio: float, ours: float) -> bool:
        """Whether figures are good enough."""
        return (
            (self.least is None or ratio >= self.least)
            and (self.most is None or ratio <= self.most)
            and (self.value is None or ours >= self.value)
        )


@dataclass(frozen=True)
class Growth:
    """How a cost may grow with a size; a side of such a race is a size.

    Attributes:
        of: what grows.
        sizes: ascending.
        most: of the slope of log cost over log size: 1 for a cost in proportion, 0 for one that stays.
    """

    of: str
    sizes: tuple[int, ...]
    most: float


@dataclass(frozen=True)
class Side:
    """One who takes part in a race.

    Attributes:
        name: in the table.
        python: whose Python runs it.
        command: what that Python is given, the script first; none where the first side measures both.
        tasks: the rows that count, of those that the process prints; their CPU seconds are summed. None
            given: all of them.
        goal: ours against this one; None: only reported.
    """

    name: str
    python: Environment = "penchant"
    command: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    goal: Goal | None = None


@dataclass(frozen=True)
class Race:
    """The same work, done by several.

    Attributes:
        name: in the table, and of its records.
        unit: of the values; rates are per CPU second.
        about: what is timed; races that say the same stand together.
        sides: ours first.
        needs: the data it reads.
        alone: whether one process measures all sides, in rounds of its own; it runs once then.
        note: what is particular to this one.
        until: the quality to reach, where a value is the CPU minutes until then; None where it is a rate.
        growth: where a value is our cost at a size.
        rounds: at most.
        timeout: seconds for any one process.
    """

    name: str
    unit: str
    about: str
    sides: tuple[Side, ...]
    needs: Needs | None = None
    alone: bool = False
    note: str = ""
    until: float | None = None
    growth: Growth | None = None
    rounds: int | None = None
    timeout: float = 400.0


@dataclass(frozen=True)
class Settings:
    """What the races are run with.

    Attributes:
        peers: holds the environments `peers` and `replay`.
        peerbench: the scripts that time peers.
        data: holds public data sets.
        made: holds the made log.
        rounds: of a race.
        threads: of every process.
        seconds: of training, for each process that trains.
        minutes: of training, at most, for each that trains until a quality is reached.
        quick: small sizes: a try, no result.
    """

    peers: Path | None
    peerbench: Path | None
    data: Path | None
    made: Path
    rounds: int
    threads: int
    seconds: float
    minutes: float
    quick: bool

    def file(self, needs: Needs) -> Path | None:
        """The file that a race reads; peers are given its folder. None where no folder of data is known."""
        if needs == "made":
            return self.made / "log.inter"
        files = {"ml-100k": "movielens-100k/ml-100k.inter", "beauty": "amazon-yelp/Beauty.txt"}
        return self.data / files[needs] if self.data else None

    def folder(self, needs: Needs) -> str:
        """Its folder, for a command; without data the command is never run."""
        return str((self.file(needs) or Path()).parent)


def ours(settings: Settings, script: str, *arguments: object, name: str = "penchant") -> Side:
    """Our side: a script of this folder."""
    command = (str(HERE / script), *map(str, arguments), "--threads", str(settings.threads))
    return Side(name, command=command)
