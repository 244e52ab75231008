"""Events to batches: reading, the store, splits, queries, sources."""

from penchant.data.attributes import Attributes, Categories
from penchant.data.batch import Batch, Histories, Padded, Ragged, Requests, offsets_of, ranges
from penchant.data.events import (
    AtLeast,
    Categorical,
    Equals,
    at_least,
    categorical,
    equals,
    items,
    read_events,
    users,
)
from penchant.data.findings import Audit, Finding, Kind
from penchant.data.interactions import Column, Features, Interactions, check_numbering
from penchant.data.loader import Examples, Source, keyed_generator
from penchant.data.negatives import Popularity, Sampler, Seen, Uniform, draw_unseen
from penchant.data.profile import DataProfile
from penchant.data.provenance import Provenance
from penchant.data.sources import Pointwise, Sequences, sampler
from penchant.data.split import Part, Queries, Split, Ties
from penchant.data.splitting import split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.data.store import open_log, verify
from penchant.data.tables import AttributeTable
from penchant.data.vocabulary import FIRST, PADDING, UNKNOWN, Vocabulary

__all__ = [
    "FIRST",
    "PADDING",
    "UNKNOWN",
    "AtLeast",
    "AttributeTable",
    "Attributes",
    "Audit",
    "Batch",
    "Categorical",
    "Categories",
    "Column",
    "DataProfile",
    "Equals",
    "Examples",
    "Features",
    "Finding",
    "Histories",
    "Interactions",
    "Kind",
    "Padded",
    "Part",
    "Pointwise",
    "Popularity",
    "Provenance",
    "Queries",
    "Ragged",
    "Requests",
    "Sampler",
    "Seen",
    "Sequences",
    "Source",
    "Split",
    "Ties",
    "Uniform",
    "Vocabulary",
    "at_least",
    "categorical",
    "check_numbering",
    "draw_unseen",
    "equals",
    "items",
    "keyed_generator",
    "offsets_of",
    "open_log",
    "ranges",
    "read_events",
    "sampler",
    "split_by_item",
    "split_by_time",
    "split_by_user",
    "split_leave_last",
    "users",
    "verify",
]
