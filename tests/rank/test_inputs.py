from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from logs import log_of
from penchant.data import split_by_user, split_leave_last
from penchant.errors import ArgumentError
from penchant.rank import DIN, NoHistory
from penchant.rank.inputs import EventFields, ItemFields, Number, UserFields
from rank.richly import bare, requests_of, rich_log

LOG = rich_log()
SPLIT = split_leave_last(LOG)


def seeded():
    return Generator().manual_seed(0)


def item_fields(**settings):
    fields = ItemFields(LOG.features, width=4, generator=seeded(), **settings)
    fields.prepare(SPLIT)
    return fields


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=20))
def test_a_number_is_standardised_on_training_values_and_missing_ones_read_their_own_vector(values):
    number = Number(3, std=1.0, generator=seeded()).double()
    there = [x for x in values if x is not None]
    number.prepare(torch.tensor([torch.nan if x is None else x for x in values]))
    mean = sum(there) / max(len(there), 1)
    spread = (sum((x - mean) ** 2 for x in there) / max(len(there), 1)) ** 0.5 or 1.0
    slope, level, missing = number.weight.detach()
    for x in (mean, mean + spread, mean - 2 * spread):
        z = (x - float(number.mean)) / float(number.scale)
        torch.testing.assert_close(number(torch.tensor(x, dtype=torch.float64)), level + z * slope)
    torch.testing.assert_close(float(number.mean), mean, rtol=1e-5, atol=1e-5 * max(1, spread))
    torch.testing.assert_close(number(torch.tensor([torch.nan]))[0], missing)
    far = number(torch.tensor([mean + 99 * float(number.scale)], dtype=torch.float64))[0]
    torch.testing.assert_close(far, level + 5 * slope)  # cut off


def test_a_missing_number_gives_the_slope_no_gradient_and_no_nan():
    number = Number(3, std=1.0, generator=seeded())
    number(torch.tensor([torch.nan, 2.0])).sum().backward()
    assert number.weight.grad.isfinite().all()
    torch.testing.assert_close(number.weight.grad[2], torch.ones(3))
    torch.testing.assert_close(number.weight.grad[0], torch.full((3,), 2.0))


def test_a_constant_number_stays_finite():
    number = Number(3, std=1.0, generator=seeded())
    number.prepare(torch.full((5,), 7.0))
    assert number(torch.tensor([7.0])).isfinite().all()
    number.prepare(torch.full((5,), torch.nan))  # nothing known: left as it was
    torch.testing.assert_close(float(number.mean), 7.0)


def test_an_infinite_number_rules_no_other():
    number = Number(3, std=1.0, generator=seeded())
    number.prepare(torch.tensor([1.0, torch.inf, 3.0, -torch.inf, torch.nan]))
    assert (float(number.mean), float(number.scale)) == (2.0, 1.0)
    assert number(torch.tensor([1.0, torch.inf])).isfinite().all()


def test_a_log_that_numbers_its_items_in_another_way_is_refused():
    other = log_of([[2, 3, 4], [4, 3, 2]])
    for fields in (item_fields(), UserFields(LOG.features, width=4, generator=seeded())):
        with pytest.raises(ArgumentError, match="a log that numbers its items"):
            fields.prepare(split_leave_last(other))


def test_items_are_fields_side_by_side():
    fields = item_fields(categories=["genres"], numbers=["year"])
    items = torch.tensor([[2, 3], [5, 0]])
    found = fields(items)
    assert found.shape == (2, 2, 3, 4)
    genres, year = fields.attributes
    torch.testing.assert_close(found[0, 0, 0], fields.table.weight[2])
    torch.testing.assert_close(found[0, 0, 1], (genres.field.weight[2] + genres.field.weight[3]) / 2)
    torch.testing.assert_close(found[0, 0, 2], year.field(torch.tensor(1990.0)))
    assert not found[1, 0, 1].any()  # item 5 has no genre
    torch.testing.assert_close(found[1, 0, 2], year.field.weight[2])  # ... and no year
    assert not found[1, 1, :2].any()  # padding


def test_looking_up_the_whole_table_is_looking_up_each_item():
    fields = item_fields(categories=["genres"])
    many = torch.randint(0, 9, (7, 5), generator=seeded())  # more look-ups than the 9 rows
    torch.testing.assert_close(fields(many), torch.stack([fields(row) for row in many]))
    fields(many).square().sum().backward()
    whole = fields.attributes[0].field.weight.grad.clone()
    fields.zero_grad()
    sum(fields(row).square().sum() for row in many).backward()
    torch.testing.assert_close(fields.attributes[0].field.weight.grad, whole)


def test_numbers_are_scaled_on_training_rows_alone():
    fields = item_fields(numbers=["year"])
    years = LOG.catalogue.numbers["year"][LOG.item[SPLIT.train.rows].long()]
    years = years[~years.isnan()]
    torch.testing.assert_close(fields.attributes[0].field.mean, years.mean())
    torch.testing.assert_close(fields.attributes[0].field.scale, years.std(correction=0))


def test_requests_are_fields_of_user_and_context():
    fields = UserFields(
        LOG.features,
        width=4,
        user_id=True,
        people=["job", "age"],
        context=["hour", "device"],
        generator=seeded(),
    )
    fields.prepare(SPLIT)
    requests = requests_of(LOG, [3, 4])
    found = fields(requests)
    assert found.shape == (2, 5, 4)
    torch.testing.assert_close(found[0, 0], fields.ids.weight[2])
    torch.testing.assert_close(found[0, 1], fields.attributes[0].field.weight[2])
    torch.testing.assert_close(found[1, 2], fields.attributes[1].field(torch.tensor(30.0)))
    torch.testing.assert_close(found[:, 3], fields.columns[0].field(requests.context["hour"]))
    torch.testing.assert_close(found[0, 4], fields.columns[1].field.weight[requests.context["device"][0]])


def test_a_request_of_no_fields_is_empty():
    fields = UserFields(LOG.features, width=4, generator=seeded())
    assert fields(requests_of(LOG, [3, 4])).shape == (2, 0, 4)


def test_what_training_lacks_reads_the_unknown_row():
    only = replace(SPLIT, part=torch.where(LOG.columns["device"] == 4, 3, SPLIT.part).to(torch.uint8))
    fields = UserFields(LOG.features, width=4, user_id=True, context=["device"], generator=seeded())
    fields.prepare(only)
    requests = replace(requests_of(LOG, [3]), users=torch.tensor([1]), context={"device": torch.tensor([4])})
    torch.testing.assert_close(
        fields(requests)[0], torch.stack([fields.ids.weight[1], fields.columns[0].field.weight[1]])
    )


def test_a_user_who_was_kept_out_reads_the_unknown_row():
    split = split_by_user(LOG, valid=0.2, test=0.2)
    fields = UserFields(LOG.features, width=4, user_id=True, generator=seeded())
    fields.prepare(split)
    stranger, trained = (int(part.rows[0]) // 8 + 2 for part in (split.test, split.train))
    requests = replace(requests_of(LOG, [3, 3]), users=torch.tensor([stranger, trained]))
    torch.testing.assert_close(fields(requests).squeeze(1), fields.ids.weight[[1, trained]])


@pytest.mark.parametrize("kind", [NoHistory, DIN])
def test_users_whom_training_never_saw_are_strangers_but_for_their_attributes(kind):
    split = split_by_user(LOG, valid=0.2, test=0.4)
    requests = split.test(at="cut").requests(0, 2, exclude_seen=False)
    assert requests.users.min() > 1
    assert not split.seen_users[requests.users].any()
    nobody = replace(requests, users=torch.ones_like(requests.users))
    items = torch.tensor([[2, 5, 8]] * 2)

    def logits(asked, **settings):
        model = kind(LOG.features, width=4, user_id=True, seed=1, **settings)
        model.prepare(split)
        with torch.no_grad():
            for p in model.user.parameters():
                p.mul_(20)
            return model.eval().score(model.encode_user(asked), items), model

    assert torch.equal(logits(requests)[0], logits(nobody)[0])  # without attributes, all are alike
    people = {"people": ["job", "age"]}
    mine, model = logits(requests, **people)
    assert (mine != logits(nobody, **people)[0]).any(1).all()
    age = LOG.users.numbers["age"][requests.users]
    job = LOG.users.category("job").padded[requests.users, 0].long()
    fields = model.user(requests)
    torch.testing.assert_close(fields[:, 0], model.user.ids.weight[[1, 1]])
    torch.testing.assert_close(fields[:, 1], model.user.attributes[0].field.weight[job])
    torch.testing.assert_close(fields[:, 2], model.user.attributes[1].field(age))


def test_columns_of_events_are_summed():
    fields = EventFields(
        LOG.features, width=6, columns=["label", "event", "hour", "device"], generator=seeded()
    )
    fields.prepare(SPLIT)
    histories = requests_of(LOG, [3, 0, 2]).histories
    label, event, hour, device = fields.parts
    slow = [
        label.field.weight[2 + int(histories.columns["label"][i])]
        + event.field.weight[int(histories.event[i])]
        + hour.field(histories.columns["hour"][i])
        + device.field.weight[int(histories.columns["device"][i])]
        for i in range(5)
    ]
    torch.testing.assert_close(fields(histories), torch.stack(slow))


SIZES = bare(LOG.features)


@pytest.mark.parametrize(
    ("kind", "features", "settings", "message"),
    [
        (ItemFields, LOG.features, {"categories": ["genre"]}, "did you mean 'genres'"),
        (ItemFields, LOG.features, {"numbers": ["genres"]}, "known: year"),
        (ItemFields, SIZES, {"numbers": ["year"]}, "numbers=.*item attributes"),
        (ItemFields, SIZES, {"categories": ["genres"]}, "categories=.*item attributes"),
        (UserFields, LOG.features, {"people": ["jobs"]}, "did you mean 'job'"),
        (UserFields, SIZES, {"people": ["job"]}, "user attributes"),
        (UserFields, LOG.features, {"context": ["hours"]}, "did you mean 'hour'"),
        (EventFields, LOG.features, {"columns": ["lable"]}, "did you mean 'label'"),
        (EventFields, SIZES, {"columns": ["event"]}, "known: none"),
    ],
)
def test_a_column_that_the_store_lacks_is_named_with_its_nearest(kind, features, settings, message):
    with pytest.raises(ArgumentError, match=message):
        kind(features, width=2, generator=seeded(), **settings)


def test_a_request_without_a_needed_column_is_told_so():
    requests = requests_of(LOG, [3])
    fields = UserFields(LOG.features, width=2, context=["hour"], generator=seeded())
    with pytest.raises(ArgumentError, match="a value of 'hour' with each request"):
        fields(replace(requests, context={}))
    events = EventFields(LOG.features, width=2, columns=["event", "label"], generator=seeded())
    with pytest.raises(ArgumentError, match="a value of 'label' with each event"):
        events(replace(requests.histories, columns={}))
