import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from penchant.errors import ArgumentError, StoreError
from penchant.nn.embedding import ItemTable
from penchant.train.optim import RowwiseAdamW, clip_gradients, coalesced, groups


def rows(indices, values, size):
    """A sparse gradient in which rows may stand several times."""
    return torch.sparse_coo_tensor(
        torch.tensor([indices]), torch.tensor(values), size, check_invariants=False
    )


def test_the_first_step_has_the_length_of_the_learning_rate():  # closed form: m / sqrt(v) = sign(g)
    p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    p.grad = torch.tensor([0.5, -4.0, 0.0])
    RowwiseAdamW([p], lr=0.1).step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.9, -1.9, 3.0]))


def test_decay_is_decoupled():  # closed form: a parameter without a gradient shrinks by 1 - lr * decay
    p = nn.Parameter(torch.tensor([1.0, -2.0]))
    p.grad = torch.zeros(2)
    RowwiseAdamW([p], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.95, -1.9]))


def test_two_steps_of_a_row_written_out():
    table = nn.Parameter(torch.zeros(4, 1))
    optimiser = RowwiseAdamW([table], lr=0.1, betas=(0.5, 0.75), eps=0.0)
    table.grad = rows([2, 2], [[1.0], [3.0]], (4, 1))  # 1 + 3 = 4
    optimiser.step()
    table.grad = rows([2], [[2.0]], (4, 1))
    optimiser.step()
    m = 0.5 * (0.5 * 4) + 0.5 * 2
    v = 0.75 * (0.25 * 16) + 0.25 * 4
    second = (m / (1 - 0.25)) / (v / (1 - 0.75**2)) ** 0.5
    torch.testing.assert_close(table.detach(), torch.tensor([[0.0], [0.0], [-0.1 - 0.1 * second], [0.0]]))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_dense_gradients_are_learned_as_torch_does(decay, rng):
    ours = nn.Sequential(nn.Linear(7, 33), nn.ReLU(), nn.Linear(33, 5, bias=False))
    torchs = copy.deepcopy(ours)
    a = RowwiseAdamW(ours.parameters(), lr=0.01, weight_decay=decay)
    b = torch.optim.AdamW(torchs.parameters(), lr=0.01, weight_decay=decay)
    for _ in range(50):
        x = torch.randn(9, 7, generator=rng)
        for model, optimiser in ((ours, a), (torchs, b)):
            optimiser.zero_grad()
            model(x).square().sum().backward()
            optimiser.step()
    for p, q in zip(ours.parameters(), torchs.parameters()):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=0)


def trained(table, optimiser, rng, *, steps, batch):
    for _ in range(steps):
        index = torch.randint(len(table.weight), (batch,), generator=rng)
        optimiser.zero_grad()
        (table(index) * torch.arange(1.0, 9.0)).square().sum().backward()
        optimiser.step()


def test_rows_are_learned_as_sparse_adam_does(rng):
    ours = nn.Embedding(40, 8, sparse=True)
    torchs = copy.deepcopy(ours)
    trained(ours, RowwiseAdamW(ours.parameters(), lr=0.01), rng.manual_seed(1), steps=50, batch=30)
    trained(
        torchs,
        torch.optim.SparseAdam(list(torchs.parameters()), lr=0.01),
        rng.manual_seed(1),
        steps=50,
        batch=30,
    )
    # the two place eps (1e-8) differently
    torch.testing.assert_close(ours.weight, torchs.weight, atol=2e-6, rtol=0)


def test_rows_that_are_all_touched_are_a_dense_table(rng):  # to the bit
    ours = nn.Parameter(torch.randn(6, 8, generator=rng))
    dense = nn.Parameter(ours.detach().clone())
    a, b = RowwiseAdamW([ours]), RowwiseAdamW([dense])
    for _ in range(10):
        dense.grad = torch.randn(6, 8, generator=rng)
        order = torch.randperm(6, generator=rng)
        ours.grad = torch.sparse_coo_tensor(order[None], dense.grad[order], (6, 8), check_invariants=False)
        a.step()
        b.step()
    assert torch.equal(ours, dense)


def test_rows_that_are_not_touched_stay_as_they_are(rng):
    table = nn.Embedding(30, 8, sparse=True)
    optimiser = RowwiseAdamW(table.parameters(), lr=0.5, weight_decay=0.5)
    trained(table, optimiser, rng, steps=3, batch=40)
    before = [table.weight.detach().clone()] + [
        optimiser.state[table.weight][k].clone() for k in ("exp_avg", "exp_avg_sq")
    ]
    optimiser.zero_grad()
    table(torch.tensor([4, 7, 4])).square().sum().backward()
    optimiser.step()
    after = [table.weight.detach()] + [optimiser.state[table.weight][k] for k in ("exp_avg", "exp_avg_sq")]
    others = torch.tensor([i for i in range(30) if i not in (4, 7)])
    for a, b in zip(before, after):
        assert torch.equal(a[others], b[others])
        assert not torch.equal(a[4], b[4])


def test_tables_do_not_decay():
    table = nn.Parameter(torch.ones(3, 2))
    table.grad = rows([1], [[0.0, 0.0]], (3, 2))
    RowwiseAdamW([table], lr=0.1, weight_decay=0.9).step()
    assert torch.equal(table, torch.ones(3, 2))


def test_a_gradient_without_rows_is_no_step():
    table = nn.Embedding(3, 2, sparse=True)
    optimiser = RowwiseAdamW(table.parameters())
    before = table.weight.detach().clone()
    F.embedding(torch.empty(0, dtype=torch.long), table.weight, sparse=True).sum().backward()
    assert clip_gradients(table.parameters(), 1.0) == 0
    optimiser.step()
    assert torch.equal(table.weight, before)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(0, 99))
def test_rows_are_summed_as_torch_does(indices, seed):
    # whole numbers, so that a sum is exact in whatever order
    values = torch.randint(-99, 100, (len(indices), 5), generator=torch.Generator().manual_seed(seed)).float()
    index = torch.tensor([indices], dtype=torch.long)
    grad = torch.sparse_coo_tensor(index, values, (7, 5), check_invariants=False)
    ours, torchs = coalesced(grad), grad.coalesce()
    assert ours.is_coalesced()
    assert torch.equal(ours.indices(), torchs.indices())
    assert torch.equal(ours.values(), torchs.values())


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_clipping_rows_is_clipping_their_dense_twin(largest, rng):
    index = torch.randint(20, (50,), generator=rng)
    models = [
        nn.ModuleList([nn.Embedding(20, 4, sparse=sparse), nn.Linear(4, 3)]) for sparse in (True, False)
    ]
    models[1].load_state_dict(models[0].state_dict())
    for table, head in models:
        head(table(index)).square().sum().backward()
    ours = clip_gradients(models[0].parameters(), largest)
    torchs = nn.utils.clip_grad_norm_(models[1].parameters(), largest)
    torch.testing.assert_close(ours, torchs)
    for p, q in zip(models[0].parameters(), models[1].parameters()):
        torch.testing.assert_close(p.grad.to_dense(), q.grad)


@pytest.mark.parametrize("largest", [0.0, float("inf")])
def test_no_limit_only_measures(largest):
    p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([p], largest) == 5
    assert p.grad.tolist() == [3, 4]


def test_a_gradient_that_is_no_number_is_told_and_spoils_no_other():
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    p.grad, q.grad = torch.tensor([float("nan"), 4.0]), torch.tensor([8.0])
    assert clip_gradients([p, q], 1.0).isnan()
    assert q.grad.tolist() == [8]


def test_two_threads_give_the_same_numbers_again():
    runs = []
    for _ in range(2):
        table = ItemTable(3000, 64, std=0.1, generator=torch.Generator().manual_seed(0), sparse=True)
        optimiser = RowwiseAdamW(table.parameters())
        draws = torch.Generator().manual_seed(1)
        for _ in range(3):
            optimiser.zero_grad()
            table(torch.randint(3000, (20_000,), generator=draws)).square().sum().backward()
            clip_gradients(table.parameters(), 1.0)
            optimiser.step()
        runs.append(table.weight.detach())
    assert torch.equal(*runs)


def test_weights_decay_and_tables_biases_and_norms_do_not():
    model = nn.ModuleDict(
        {
            "item": ItemTable(5, 2, std=0.1, generator=torch.Generator()),
            "user": nn.Embedding(5, 2),
            "head": nn.Linear(2, 3),
            "norm": nn.LayerNorm(3),
        }
    )
    model["head"].bias.requires_grad_(False)
    decayed, plain = groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert [names[id(p)] for p in decayed["params"]] == ["head.weight"]
    assert [names[id(p)] for p in plain["params"]] == [
        "item.weight",
        "user.weight",
        "norm.weight",
        "norm.bias",
    ]


def test_a_model_may_part_its_parameters_itself():
    class Own(nn.Linear):
        def param_groups(self):
            return [{"params": [self.weight], "lr": 0.5}, {"params": [self.bias]}]

    optimiser = RowwiseAdamW(groups(Own(2, 2), 0.1), lr=0.1)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.1]


def test_a_state_that_is_taken_up_goes_on_to_the_bit(rng):
    def fresh():
        model = nn.ModuleList([nn.Embedding(9, 8, sparse=True), nn.Linear(8, 1)])
        return model, RowwiseAdamW(model.parameters(), lr=0.1)

    def step(model, optimiser, seed):
        index = torch.randint(9, (6,), generator=rng.manual_seed(seed))
        optimiser.zero_grad()
        model[1](model[0](index)).square().sum().backward()
        optimiser.step()

    a, oa = fresh()
    step(a, oa, 0)
    b, ob = fresh()
    b.load_state_dict(a.state_dict())
    ob.load_arrays(b, {name: tensor.clone() for name, tensor in oa.arrays(a).items()})
    step(a, oa, 1)
    step(b, ob, 1)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_a_state_of_another_model_is_refused():
    model = nn.Linear(2, 1)
    optimiser = RowwiseAdamW(model.parameters())
    with pytest.raises(StoreError, match="exp_avg/other"):
        optimiser.load_arrays(model, {"exp_avg/other": torch.zeros(1)})
    with pytest.raises(StoreError, match=r"\(3,\), not \(1, 2\)"):
        optimiser.load_arrays(model, {"exp_avg/weight": torch.zeros(3)})


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"eps": float("nan")}, {"weight_decay": -0.1}, {"betas": (1.0, 0.9)}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        RowwiseAdamW([nn.Parameter(torch.zeros(1))], **wrong)


def test_a_closure_is_called_with_gradients_on():
    p = nn.Parameter(torch.ones(1))
    optimiser = RowwiseAdamW([p], lr=0.1)

    def closure():
        optimiser.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure) == 1
    assert p.item() == pytest.approx(0.9)
