"""What the household sample draws random numbers for."""

from enum import IntEnum

from sample.chance import Codes, Flags, Floats, Ints, expand, generator, spread

__all__ = ["Codes", "Flags", "Floats", "Ints", "Purpose", "expand", "generator", "spread"]


class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers keep streams apart for good."""

    CATALOGUE = 1
    CLUSTERS = 2
    STORES = 3
    SUPPORT = 4
    CAMPAIGNS = 5
    TRAITS = 7
    TRIPS = 8
    FAVOURITES = 9
    DISCOVERIES = 10
    TARGETS = 11
    REDEMPTIONS = 12
    PRICES = 13
    REPEATS = 14
