"""Advisory locks in the serving database: their numbers, and how fast a lost holder is noticed."""

from enum import IntEnum, unique

# Of sessions that hold one: a lost machine's is freed when the server notices, by default after
# two hours.
KEEPALIVES = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


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
    # 0: purchases get their numbers one transaction after the other.
    PURCHASES = 7_655_905
    # 0: one process computes live rows.
    LIVE = 7_655_906
