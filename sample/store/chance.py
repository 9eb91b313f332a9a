"""What the store sample draws random numbers for."""

from enum import IntEnum


class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers keep streams apart for good."""

    CATALOGUE = 301
    COUPONS = 302
    SHOPPERS = 303
    FAVOURITES = 304
    ORDERS = 305
    LINES = 306
    COUPON_USE = 307
    COUPON_LINES = 308
