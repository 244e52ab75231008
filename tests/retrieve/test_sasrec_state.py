"""A user's state, extended event by event."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from asked import asked, histories_of
from penchant.data import Features, Histories, offsets_of
from penchant.errors import ArgumentError, StoreError
from penchant.nn.user_state import UserState
from penchant.retrieve import SASRec

WINDOW = 10


def made(*, seed=0, **settings):
    model = SASRec(Features(items=12, events=4), width=8, history=WINDOW, seed=seed, **settings)
    g = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" not in name and "closing" not in name:
                p.copy_(0.5 * torch.randn(p.shape, generator=g))
    return model.double().eval()


def later(*rows):
    """New events, long after the old ones."""
    return histories_of([*rows], begin=2_000_000)


def pieces(histories, cuts):
    """The part of each history between two neighbouring cuts [B, n]."""
    owner, place = histories.items.owner, torch.arange(len(histories.item))
    place = place - histories.offsets[:-1][owner]
    for begin, end in zip(cuts.T[:-1], cuts.T[1:]):
        keep = ((place >= begin[owner]) & (place < end[owner])).nonzero().squeeze(1)
        yield histories.take(keep, offsets_of(torch.bincount(owner[keep], minlength=len(histories))))


@pytest.mark.parametrize(
    "settings", [{"heads": 2, "use_event": True}, {"norm": "pre"}, {"norm": "post", "final_norm": "l2"}]
)
def test_generative_backbones_5_sasrec_a_thousand_ways_to_chop_histories_end_where_encode_ends(settings):
    # 250 users at a time, each chopped in a way of their own; histories up to twice the window
    model, g = made(**settings), torch.Generator().manual_seed(0)
    for _ in range(4):
        lengths = torch.randint(2 * WINDOW, (250,), generator=g).tolist()
        rows = [torch.randint(2, 12, (n,), generator=g).tolist() for n in lengths]
        histories = histories_of(rows, event=True)
        cuts = torch.randint(2 * WINDOW, (250, 3), generator=g).sort(1).values
        cuts = torch.cat([torch.zeros(250, 1, dtype=torch.long), cuts, torch.full((250, 1), 2 * WINDOW)], 1)
        first, *others = pieces(histories, cuts)
        state = model.init_state(first)
        for events in others:
            before = state.length
            state, vectors = model.extend(state, events)
            assert torch.equal(state.reread, before + events.lengths > WINDOW)
            assert torch.equal(state.length, (before + events.lengths).clamp(max=WINDOW))
        whole = model.encode(asked(rows, event=True)).vectors[:, 0]
        torch.testing.assert_close(vectors, whole)
        torch.testing.assert_close(state.vector, model.init_state(histories).vector)


def test_generative_backbones_5_sasrec_only_new_events_are_read_below_the_window(monkeypatch):
    model = made()
    state = model.init_state(histories_of([[2, 3, 4], []]))
    read = []
    monkeypatch.setattr(model.item, "rows", lambda items: read.append(len(items)) or items)
    model.extend(state, later([5], [6, 7]))
    assert read == [3]


def test_a_state_is_not_changed_by_extending_it():
    model = made()
    state = model.init_state(histories_of([[2, 3, 4]]))
    kept = {name: tensor.clone() for name, tensor in state.tensors().items()}
    one, _ = model.extend(state, later([5]))
    two, _ = model.extend(state, later([6]))
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.tensors().items())
    assert not torch.equal(one.vector, two.vector)


def test_states_of_some_users_can_be_picked():
    model = made()
    states = model.init_state(histories_of([[2, 3], [4], [5, 6, 7]]))
    picked, vectors = model.extend(states.rows(torch.tensor([2, 0])), later([8], [9]))
    torch.testing.assert_close(vectors, model.encode(asked([[5, 6, 7, 8], [2, 3, 9]])).vectors[:, 0])
    assert len(picked) == 2


def test_generative_backbones_12_sasrec_a_state_survives_saving(tmp_path):
    model = made()
    state = model.init_state(histories_of([[2, 3, 4], []]))
    save_file(
        {name: tensor.contiguous() for name, tensor in state.tensors().items()},
        tmp_path / "state.safetensors",
    )
    again = UserState.of(load_file(tmp_path / "state.safetensors"))
    new = later([5], [6])
    assert torch.equal(model.extend(again, new)[1], model.extend(state, new)[1])
    with pytest.raises(StoreError, match="vector"):
        UserState.of({name: tensor for name, tensor in state.tensors().items() if name != "vector"})


def test_generative_backbones_12_sasrec_a_state_of_other_weights_is_refused():
    model, other = made(), made(seed=1)
    state = model.init_state(histories_of([[2, 3]]))
    other.load_state_dict(model.state_dict())
    other.extend(state, later([4]))  # the same weights in another object
    with torch.no_grad():
        other.blocks[1].narrow.bias[3] += 1e-6
    with pytest.raises(ArgumentError, match="init_state"):
        other.extend(state, later([4]))


def test_generative_backbones_12_sasrec_events_out_of_order_are_refused_and_repeated_ones_count_again():
    model = made()
    state = model.init_state(histories_of([[2, 3, 4], []]))  # the last at 1,000,120 s

    def events(*times):
        offsets = torch.tensor([0, len(times), len(times)])
        return Histories(offsets, torch.full((len(times),), 5), torch.tensor(times, dtype=torch.long))

    with pytest.raises(ArgumentError, match="none before that of the user's previous event, 1000120"):
        model.extend(state, events(1_000_119))
    with pytest.raises(ArgumentError, match="1000300"):
        model.extend(state, events(1_000_300, 1_000_299))
    same, _ = model.extend(state, events(1_000_120))
    twice, vectors = model.extend(same, events(1_000_120))
    assert twice.length.tolist() == [5, 0]
    assert twice.time[0] == 1_000_120
    torch.testing.assert_close(vectors[0], model.encode(asked([[2, 3, 4, 5, 5]])).vectors[0, 0])


def test_events_of_as_many_users_as_the_state_has_are_required():
    model = made()
    with pytest.raises(ArgumentError, match="each of the state's 1 users"):
        model.extend(model.init_state(histories_of([[2]])), later([3], [4]))


def test_no_new_events_leave_the_vectors_as_they_are():
    model = made()
    state = model.init_state(histories_of([[2, 3], []]))
    again, vectors = model.extend(state, later([], []))
    assert torch.equal(vectors, state.vector)
    assert torch.equal(again.cache, state.cache)
