"""The numbers of advisory locks in the serving database, which all its clients share."""

from enum import IntEnum, unique


@unique
class LockSpace(IntEnum):
    """The first of a lock's two keys: what the second one numbers. A migration has no second."""

    MIGRATION = 7_655_901
    # The worker's number, 0 for the leader.
    WORKERS = 7_655_902
    # A hash of the customer.
    COOLDOWN = 7_655_903
    # A hash of the receiver's URL.
    WEBHOOKS = 7_655_904
