"""AdamW whose step costs what the touched rows cost, however large a table is."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adamw import adamw

from penchant.errors import ArgumentError, StoreError
from penchant.nn.embedding import CategoryTable, ItemTable

TABLES = (nn.Embedding, nn.EmbeddingBag, ItemTable, CategoryTable)
_MOMENTS = ("exp_avg", "exp_avg_sq")


@runtime_checkable
class Grouped(Protocol):
    """A model that says itself how its parameters are to be treated."""

    def param_groups(self) -> list[dict[str, Any]]:
        """As torch optimisers take them; what a group does not say comes from `fit`."""
        ...


class RowwiseAdamW(torch.optim.Optimizer):
    """AdamW for dense gradients, lazy AdamW for gradients of touched rows (`F.embedding(..., sparse=True)`).

    A row that a step does not touch keeps its weights and its moments to the bit; a row that it touches is
    updated exactly as `torch.optim.AdamW` would without decay. A step costs what its touched rows cost, and
    moments take memory as rows are touched (zeros that nobody wrote to are not there yet).

    Args:
        params: parameters or groups of them; `groups(model, weight_decay)` makes those that `fit` uses.
        lr: learning rate.
        betas: decay of the first and second moment.
        eps: added to the root of the second moment.
        weight_decay: decoupled; never applied to a parameter that has a sparse gradient: rows that are rarely
            touched would be decayed by how often others come, and decaying all would touch all.

    Source: Loshchilov and Hutter 2019, algorithm 2. For rows, `torch.optim.SparseAdam`, but eps comes after
        the bias correction, as in AdamW. The correction counts the steps of the table, not of the row: one
        first touched late starts at moments of (1 - beta) g, uncorrected, so its first update is as much as
        (1 - beta1) / sqrt(1 - beta2) = 3.2 learning rates.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ArgumentError(name, value, expected="a number of at least 0")
        if not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError("betas", betas, expected="two numbers in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            dense: list[nn.Parameter] = []
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    self._update_rows(parameter, group)
                else:
                    dense.append(parameter)
            if dense:
                states = [self._state(p) for p in dense]
                grads = [p.grad for p in dense if p.grad is not None]
                _adamw(dense, grads, states, group, decay=group["weight_decay"])
        return loss

    def _update_rows(self, table: nn.Parameter, group: Mapping[str, Any]) -> None:
        assert table.grad is not None
        grad = coalesced(table.grad)
        rows, values = grad.indices()[0], grad.values()
        if not len(rows):
            return
        state = self._state(table)
        moments = {name: state[name].index_select(0, rows) for name in _MOMENTS}
        weights = table.index_select(0, rows)
        _adamw([weights], [values], [{"step": state["step"], **moments}], group, decay=0.0)
        table.index_copy_(0, rows, weights)
        for name in _MOMENTS:
            state[name].index_copy_(0, rows, moments[name])

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            for name in _MOMENTS:
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state

    def arrays(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole state by flat names, "exp_avg/<parameter>" and so on: what safetensors can hold."""
        named: dict[Any, str] = {parameter: name for name, parameter in model.named_parameters()}
        return {
            f"{kind}/{named[p]}": tensor for p, state in self.state.items() for kind, tensor in state.items()
        }

    def load_arrays(self, model: nn.Module, arrays: Mapping[str, Tensor]) -> None:
        """Takes up a state that `arrays` gave.

        Raises: StoreError if a name or shape does not fit the model.
        """
        parameters = dict(model.named_parameters())
        self.state.clear()
        for flat, tensor in arrays.items():
            kind, _, name = flat.partition("/")
            parameter = parameters.get(name)
            if parameter is None or kind not in {"step", *_MOMENTS}:
                raise StoreError(f"the optimiser state holds {flat!r}, which the model does not have")
            shape = torch.Size() if kind == "step" else parameter.shape
            if tensor.shape != shape:
                raise StoreError(
                    f"the optimiser state {flat!r} is of shape {tuple(tensor.shape)}, not {tuple(shape)}"
                )
            self.state[parameter][kind] = tensor.to(parameter.device)


def _adamw(
    parameters: list[Any],
    grads: list[Tensor],
    states: list[dict[str, Tensor]],
    group: Mapping[str, Any],
    *,
    decay: float,
) -> None:
    beta1, beta2 = group["betas"]
    adamw(
        parameters,
        grads,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        [state["step"] for state in states],
        fused=parameters[0].device.type in {"cpu", "cuda", "mps"},  # one pass over memory instead of ten
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=decay,
        eps=group["eps"],
        maximize=False,
    )


def coalesced(grad: Tensor) -> Tensor:
    """A gradient of rows in which each row stands once, in ascending order; of values [n, D] and rows [n].

    Three times as fast as `Tensor.coalesce` on a CPU (benchmarks/pieces.py), and the same to the bit there.
    """
    if grad.is_coalesced():
        return grad
    # public only once coalesced
    rows, values = grad._indices(), grad._values()  # pyright: ignore[reportPrivateUsage]
    if grad.sparse_dim() != 1 or values.dim() != 2 or grad.device.type != "cpu" or not rows.numel():
        return grad.coalesce()
    rows, order = rows[0].sort(stable=True)
    new = torch.ones(len(rows), dtype=torch.bool)
    torch.ne(rows[1:], rows[:-1], out=new[1:])
    begin = new.nonzero().squeeze(1)
    sums = F.embedding_bag(order, values, begin, mode="sum")  # adds each row's gradients in their order
    return torch.sparse_coo_tensor(
        rows.index_select(0, begin).unsqueeze(0), sums, grad.shape, is_coalesced=True, check_invariants=False
    )


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scales all gradients so that their common norm is at most `max_norm`; 0 or inf: only measures it.

    A row's gradients are summed before they are measured, so a sparse gradient is clipped as its dense twin.

    Returns: the norm before, a scalar tensor (not finite where a gradient is not).
    """
    dense: list[Tensor] = []  # all that counts, as plain tensors
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = coalesced(parameter.grad)  # summed here, not again in the step
            dense.append(parameter.grad.values())
        else:
            dense.append(parameter.grad)
    if not dense:
        return torch.zeros(())
    norm = nn.utils.get_total_norm(dense)
    if 0 < max_norm < float("inf"):
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)  # torch's rule, clip_grad_norm_
        scale = scale.where(norm.isfinite(), 1.0)  # else one bad gradient would spoil all, and none be found
        for grad in dense:
            grad.mul_(scale)
    return norm


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that learn, parted into those that decay and those that do not.

    Tables, biases and the scales of norms (all with fewer than two dimensions) do not decay. A model with
    `param_groups()` decides itself.
    """
    if isinstance(model, Grouped):
        return model.param_groups()
    tables = {id(p) for m in model.modules() if isinstance(m, TABLES) for p in m.parameters(recurse=False)}
    learn = [p for p in model.parameters() if p.requires_grad]
    plain = [p for p in learn if p.dim() < 2 or id(p) in tables]
    decayed = [p for p in learn if not (p.dim() < 2 or id(p) in tables)]
    found = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in found if group["params"]]


def sparse_tables(model: nn.Module) -> list[str]:
    """Names of the tables whose gradients are sparse."""
    return [
        name for name, m in model.named_modules() if isinstance(m, TABLES) and getattr(m, "sparse", False)
    ]
