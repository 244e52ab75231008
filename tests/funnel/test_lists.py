"""The walk down the candidates, against one that takes one user and one item at a time."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import Histories, Requests
from penchant.funnel.lists import Listed, arranged
from penchant.funnel.rules import Cap, Terms
from penchant.protocols import Candidates


@dataclass
class World:
    """Users who rank all items, item categories, and rules."""

    orders: list[list[int]]
    depth: int
    k: int
    pins: dict[int, int]  # place, from 1 -> item
    kinds: list[list[list[int]]]  # columns -> items -> labels
    most: list[list[int]]  # columns -> labels
    eligible: torch.Tensor | None

    @property
    def items(self) -> int:
        return len(self.orders[0]) + 2

    def allowed(self, user: int, item: int) -> bool:
        if self.eligible is None:
            return True
        return bool(self.eligible[item] if self.eligible.dim() == 1 else self.eligible[user, item])


@st.composite
def worlds(draw):
    items = draw(st.integers(1, 12))
    ids = range(2, items + 2)
    users = draw(st.integers(1, 4))
    columns = draw(st.integers(0, 2))
    kinds = [[[], [], *(draw(st.lists(st.integers(2, 4), max_size=3)) for _ in ids)] for _ in range(columns)]
    most = [[99, 99, *(draw(st.integers(0, 3)) for _ in range(3))] for _ in range(columns)]
    pinned = draw(st.lists(st.sampled_from(ids), max_size=3, unique=True))
    places = draw(st.lists(st.integers(1, 7), min_size=3, max_size=3, unique=True))
    bits = st.lists(st.booleans(), min_size=items, max_size=items)
    eligible = draw(
        st.none()
        | bits.map(lambda row: torch.tensor([False, False, *row]))
        | st.lists(bits, min_size=users, max_size=users).map(
            lambda rows: torch.tensor([[False, False, *row] for row in rows])
        )
    )
    return World(
        orders=[draw(st.permutations(ids)) for _ in range(users)],
        depth=draw(st.integers(1, 12)),
        k=draw(st.integers(1, 7)),
        pins=dict(zip(places, pinned)),
        kinds=kinds,
        most=most,
        eligible=eligible,
    )


def slowly(world: World, user: int):
    """The list of one user: rows of (item, pinned, moved, deeper, columns that passed over something)."""
    pins = {place: item for place, item in world.pins.items() if world.allowed(user, item)}
    counts = [Counter() for _ in world.kinds]

    def count(item: int) -> None:
        for counter, kinds in zip(counts, world.kinds):
            counter.update(set(kinds[item]))

    for item in pins.values():
        count(item)
    depth = max(world.depth, world.k + len(world.pins))
    order = [item for item in world.orders[user] if world.allowed(user, item)]
    free, passed = [], set()
    for rank, item in enumerate(order):
        full = {
            n
            for n, (counter, kinds, most) in enumerate(zip(counts, world.kinds, world.most))
            if any(counter[label] >= most[label] for label in kinds[item])
        }
        if item in pins.values():
            continue
        passed |= full
        if not full:
            free.append((item, rank, rank >= depth, set(passed)))
            count(item)
    rows = []
    for place in range(1, world.k + 1):
        if place in pins:
            rows.append((pins[place], True, 0, False, set()))
        elif free:
            item, rank, deeper, columns = free.pop(0)
            rows.append((item, False, (rank, place), deeper, columns))
    return [
        (item, pinned, 0 if pinned or deeper else moved[0] - at, deeper, columns)
        for at, (item, pinned, moved, deeper, columns) in enumerate(rows)
    ]


def quickly(world: World) -> Listed:
    users = len(world.orders)
    none = torch.zeros(users + 1, dtype=torch.int64)
    requests = Requests(
        torch.ones(users, dtype=torch.int64),
        Histories(none, none[:0].int()),
        none[1:],
        eligible=world.eligible,
    )
    caps = {}
    for n, (kinds, most) in enumerate(zip(world.kinds, world.most)):
        width = max(1, *(len(labels) for labels in kinds))
        table = torch.tensor([labels + [0] * (width - len(labels)) for labels in kinds])
        caps[str(n)] = Cap(table, torch.tensor(most), str(n))
    pins = torch.zeros(max(world.pins, default=0), dtype=torch.int64)
    for place, item in world.pins.items():
        pins[place - 1] = item
    depth = max(world.depth, world.k + len(world.pins))

    def more(rows: torch.Tensor, eligible: torch.Tensor | None) -> Candidates:
        item = torch.zeros(len(rows), depth, dtype=torch.int64)
        for b, row in enumerate(rows.tolist()):
            best = [i for i in world.orders[row] if eligible is None or eligible[b, i]][:depth]
            item[b, : len(best)] = torch.tensor(best)
        score = -torch.arange(depth).float().expand(item.shape).masked_fill(item == 0, torch.inf)
        return Candidates(item, score, torch.zeros_like(item), ("all",))

    everybody = torch.arange(users)
    allowed = None if world.eligible is None else world.eligible.expand(users, world.items)
    return arranged(more(everybody, allowed), requests, world.k, Terms(None, pins, caps), more)


@given(worlds())
def test_many_users_at_once_are_as_one_at_a_time(world):
    listed = quickly(world)
    answer = listed.answer
    for user in range(len(world.orders)):
        slow = slowly(world, user)
        size = len(slow)
        assert answer.item[user].tolist() == [row[0] for row in slow] + [0] * (world.k - size)
        assert listed.pinned[user, :size].tolist() == [row[1] for row in slow]
        assert listed.moved[user, :size].tolist() == [row[2] for row in slow]
        assert listed.deeper[user, :size].tolist() == [row[3] for row in slow]
        for n in range(len(world.kinds)):
            assert listed.passed[str(n)][user, :size].tolist() == [n in row[4] for row in slow]
        assert (answer.score[user, size:] == -torch.inf).all()
        assert answer.score[user].isnan().tolist() == listed.pinned[user].tolist()
        names = [answer.origins[origin] for origin in answer.origin[user, :size].tolist()]
        assert names == ["rules" if row[1] else "all" for row in slow]


@given(worlds(), st.integers(1, 3))
def test_a_list_is_the_beginning_of_any_longer_one(world, further):
    world.depth = 20
    short = quickly(world).answer.item
    last = world.k
    if not short[:, -1].all():
        return  # closed up: pinned items moved to earlier places
    world.k += further
    assert torch.equal(quickly(world).answer.item[:, :last], short)


def test_more_is_asked_for_where_pins_fill_the_category_of_all_candidates():
    world = World(
        orders=[[2, 3, 4, 5]], depth=1, k=2, pins={1: 4}, kinds=[[[], [], [2], [2], [2], [3]]],
        most=[[99, 99, 1, 1]], eligible=None,
    )  # fmt: skip
    listed = quickly(world)
    assert listed.answer.item.tolist() == [[4, 5]]
    assert listed.deeper.tolist() == [[False, True]]


def test_who_needs_no_more_is_not_asked_again():
    asked = []

    def more(rows, eligible):
        asked.append((rows.tolist(), eligible.nonzero().tolist()))
        return Candidates(
            torch.tensor([[5, 0]]), torch.tensor([[1.0, -torch.inf]]), torch.zeros(1, 2).long(), ("x",)
        )

    kinds = torch.tensor([[0], [0], [2], [2], [3], [3], [2]])
    none = torch.zeros(3, dtype=torch.int64)
    requests = Requests(none[:2], Histories(none, none[:0].int()), none[:2])
    found = Candidates(torch.tensor([[2, 4], [2, 3]]), torch.ones(2, 2), torch.zeros(2, 2).long(), ("x",))
    terms = Terms(caps={"kind": Cap(kinds, torch.tensor([9, 9, 1, 2]), "kind<=1")})
    listed = arranged(found, requests, 2, terms, more)
    assert listed.answer.item.tolist() == [[2, 4], [2, 5]]
    assert asked == [([1], [[0, 1], [0, 4], [0, 5]])]  # 6 is of the full kind, and so not asked for


@pytest.mark.parametrize("k", [1, 3])
def test_nothing_found_is_nothing_listed(k):
    none = torch.zeros(3, dtype=torch.int64)
    requests = Requests(none[:2], Histories(none, none[:0].int()), none[:2])
    nothing = Candidates(none.new_zeros(2, 4), torch.full((2, 4), -torch.inf), none.new_zeros(2, 4), ("x",))
    terms = Terms(caps={"kind": Cap(torch.zeros(5, 1).long(), torch.tensor([9, 9, 1]), "")})
    listed = arranged(nothing, requests, k, terms, lambda *_: pytest.fail("asked again"))
    assert listed.answer.item.tolist() == [[0] * k] * 2
