"""Runs for tests: a small log to read them against, and what stands in their lists."""

from logs import log_of

SMALL = log_of([[2, 3, 4, 5], [3, 4, 5, 6], [5, 6, 7, 2]])  # users u2, u3, u4; items i2 to i7


def lists_of(run, user):
    """The item indices of one user's list; 1 for one that the log does not know."""
    begin, end = run.lists.offsets[user : user + 2].tolist()
    return run.lists.values[begin:end]


def named(log, run, user):
    """The same by the ids of user and items; None for one that the log does not know."""
    index = int(log.users.vocabulary.index([user])[0])
    return log.catalogue.vocabulary.ids(lists_of(run, index).numpy()).to_list()
