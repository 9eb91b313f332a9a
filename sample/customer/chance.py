"""What the customer sample draws random numbers for."""

from enum import IntEnum


class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers keep streams apart for good."""

    VOUCHERS = 101
    ACCOUNTS = 102
    BROADBAND = 103
    INITIAL_SERVICES = 104
    CASHBACK = 105
    ORIGINS = 106
