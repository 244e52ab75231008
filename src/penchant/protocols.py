"""The joints of the house on one page: what a model must offer to each stage.

A model needs no base class of ours. It is an `nn.Module` whose constructor takes `features` and its own
keyword-only hyper-parameters, each kept as an attribute of the same name: they are its whole configuration.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from penchant.data.batch import Batch, Histories, Requests
from penchant.data.loader import Source
from penchant.data.split import Split
from penchant.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss before its average: `fit` minimises sum(sum) / sum(weight) over all ranks, plus penalty.

    So an example of weight 2 counts as the same row twice, on any number of devices.

    Attributes:
        sum: the sum of weight times loss, a scalar tensor.
        weight: the sum of weights, a scalar tensor.
        penalty: what does not depend on the number of rows (regularisers); a scalar tensor or 0.
        parts: named pieces, already averaged, all logged; those that require grad are trained through `sum`
            or `penalty` and a test proves that each moves a weight.
    """

    sum: Tensor
    weight: Tensor
    penalty: Tensor | float = 0.0
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def mean(self) -> Tensor:
        """The loss of this batch alone."""
        return self.sum / self.weight.clamp(min=torch.finfo(self.weight.dtype).tiny) + self.penalty


@dataclass(frozen=True)
class Defaults:
    """How a model likes to be trained; arguments of `fit` override it.

    Attributes:
        learning_rate, weight_decay: of AdamW (tables are never decayed).
        batch_size: examples a step.
        epochs: at most.
        patience: epochs without a better validation metric before stopping.
        metric: the validation metric to stop on, e.g. "ndcg@10" or "gauc".
        clip: largest gradient norm; 0 for none.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 512
    epochs: int = 50
    patience: int = 5
    metric: str = "ndcg@10"
    clip: float = 5.0


@runtime_checkable
class Trainable(Protocol):
    """A model that `fit` trains by gradient steps.

    Optional: `prepare(split)` fills buffers from training rows before the first step; `defaults: Defaults`;
    `param_groups() -> list[dict]` as torch optimisers take them.
    """

    def source(self, split: Split, *, batch_size: int, seed: int) -> Source:
        """The examples that this model learns from."""
        ...

    def loss(self, batch: Batch) -> Loss:
        """The loss of a batch."""
        ...


@runtime_checkable
class Solvable(Protocol):
    """A model in closed form: `fit` calls `solve` once."""

    def solve(self, split: Split) -> None:
        """Compute all buffers from the training rows of `split`."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A model with buffers that are counted on training rows before training starts."""

    def prepare(self, split: Split) -> None:
        """Fill those buffers."""
        ...


@dataclass(frozen=True, eq=False)
class Candidates:
    """Answers of a stage, best first.

    Attributes:
        item: [B, k] int64; 0 where fewer than k could be answered.
        score: [B, k] float32; -inf where item is 0.
        origin: [B, k] int64 index into `origins`, which retriever brought the item; None for a single one.
        origins: names of the retrievers.
    """

    item: Tensor
    score: Tensor
    origin: Tensor | None = None
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Interests:
    """User vectors.

    Attributes:
        vectors: [B, K, D].
        valid: [B, K] bool, which of them count; None for all.
        log_prior: [B, K] added to the scores of an interest; None for zero.
    """

    vectors: Tensor
    valid: Tensor | None = None
    log_prior: Tensor | None = None


@runtime_checkable
class Retriever(Protocol):
    """Finds the best k of all items for each request. The `Funnel` is one too."""

    def retrieve(self, requests: Requests, k: int, dials: Any = None) -> Candidates:
        """The best k items that are eligible and not excluded; `dials` are of the model's own class."""
        ...


@runtime_checkable
class Staged(Protocol):
    """A retriever made of stages, each of which can be looked at (the `Funnel`)."""

    ranker: "Ranker | None"

    def stages(self, requests: Requests, k: int, dials: Any = None) -> dict[str, Candidates]:
        """Every stage's answer by name, in order; the last one is what `retrieve` gives."""
        ...


@runtime_checkable
class Composed(Protocol):
    """What is made of models that can each be looked at (the `Funnel`)."""

    @property
    def models(self) -> Mapping[str, object]:
        """The models by name."""
        ...


@runtime_checkable
class VectorRetriever(Retriever, Protocol):
    """A retriever whose score is the largest inner product of an interest and an item vector."""

    def encode(self, requests: Requests) -> Interests:
        """User vectors [B, K, D]."""
        ...

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Vectors [n, D] of `items` [n], or of the whole table [V, D]."""
        ...


@runtime_checkable
class Trunk(Protocol):
    """A sequence model that states an interest after every event of a history."""

    def states(self, histories: Histories, at: Tensor) -> Tensor:
        """One row a prefix, [T, D]; `at` [T] is when the next item was (or will be) asked for."""
        ...


@runtime_checkable
class Ranker(Protocol):
    """Scores given candidates; the user side is computed once a request."""

    def encode_user(self, requests: Requests) -> Any:
        """All that does not depend on the candidate, one row a request: a dataclass or tuple of tensors."""
        ...

    def score(self, state: Any, items: Tensor) -> Tensor:
        """Logits [B, C] of items [B, C] (0 where there is none: its logit is never read)."""
        ...


@runtime_checkable
class Windowed(Protocol):
    """A model or funnel that says how much of a history it reads, so that nobody has to gather the rest."""

    @property
    def history(self) -> int | None:
        """Newest events read (0: none); the answers are the same whatever stands before them. None: all."""
        ...


def window_of(system: object) -> int | None:
    """The newest events that a model or funnel reads; None, all of them, where it does not say."""
    return system.history if isinstance(system, Windowed) else None


def is_fitted(model: object) -> bool:
    """Whether a model has learned. One whose class has no attribute `fitted` is taken at its word.

    A class that says `fitted = False` has it set by `fit`, its own `solve` and `load_weights`; who fills
    weights in another way sets `model.fitted = True`.
    """
    return getattr(model, "fitted", True) is not False


def require_fitted(model: object, argument: str) -> None:
    """ArgumentError in the name of `argument` where a model has not learned."""
    if not is_fitted(model):
        raise ArgumentError(
            argument, type(model).__name__, expected="a fitted model",
            fix="call fit(model, split) first, or set model.fitted = True if its weights come from elsewhere",
        )  # fmt: skip


@contextmanager
def mark_fitted(model: object) -> Generator[None]:
    """While it is fitted a model counts as fitted, and afterwards unless an error came in between."""
    before = is_fitted(model)
    if before:
        yield
        return
    model.fitted = True  # type: ignore[attr-defined]
    try:
        yield
    except BaseException:
        model.fitted = before  # type: ignore[attr-defined]
        raise


def numbered(names: Sequence[str]) -> list[str]:
    """What to call systems: by their names, with a number behind those that several bear.

    >>> numbered(["SASRec", "EASE", "SASRec"])
    ['SASRec-1', 'EASE', 'SASRec-2']
    """
    found = [n if names.count(n) == 1 else f"{n}-{names[: i + 1].count(n)}" for i, n in enumerate(names)]
    return found if len(set(found)) == len(found) else numbered(found)  # "A-1" may have been a name before


class Contribution(NamedTuple):
    """How much each history event counted for one item: the common form of all explanations.

    Attributes:
        item: [L] history items, oldest first.
        value: [L] signed share of the logit, or attention weight.
        kind: what `value` is, in words.
    """

    item: Tensor
    value: Tensor
    kind: str


@runtime_checkable
class Explains(Protocol):
    """A model that says which events drove a score."""

    def explain(self, requests: Requests, items: Tensor) -> Sequence[Contribution]:
        """One contribution for each request and its item, items [B]."""
        ...


@runtime_checkable
class Incremental(Protocol):
    """A model whose user state can be extended by new events instead of read anew."""

    def init_state(self, histories: Histories) -> Any:
        """The state after these histories."""
        ...

    def extend(self, state: Any, events: Histories) -> tuple[Any, Tensor]:
        """The state after further events, and the user vectors [B, D] it gives."""
        ...


class Weigher(Protocol):
    """Says before each epoch how much every example counts."""

    def weights(self, model: torch.nn.Module, source: Source, epoch: int) -> Tensor:
        """[examples] float32."""
        ...


class Callback(Protocol):
    """Is told after every epoch; `True` stops the training."""

    def __call__(self, model: torch.nn.Module, epoch: int, metrics: Mapping[str, float]) -> bool | None:
        """See above."""
        ...
