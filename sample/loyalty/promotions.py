"""Promotions of the fan club's shop: clicks on ads, baskets, purchases.

Belongs here: what is advertised, how people respond, and the lines that record it. Does not belong
here: the people (`club`).

Items are added to a basket one by one, and each time the basket is reported again; the last basket
is bought. The item promoted costs a tenth less, another tenth for members who clicked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sample.chance import generator
from sample.loyalty.club import Person, Purpose, other_spelling


@dataclass(frozen=True)
class Promotion:
    """An advertised item, how well the ad does, and the share of clicks on Instagram."""

    name: str
    item: int
    appeal: float
    instagram: float


PROMOTIONS = (
    Promotion("BilbyMug", 9, 0.9, 0.62),
    Promotion("QuollHoodie", 6, 1.25, 0.86),
    Promotion("NumbatSocks", 14, 1.0, 0.71),
    Promotion("PossumTote", 21, 0.7, 0.48),
    Promotion("QuokkaCalendar", 27, 1.1, 0.77),
    Promotion("GliderBlanket", 33, 0.45, 0.55),
)
# Cents by item.
_PRICES = {6: 3450, 9: 1150, 11: 595, 14: 895, 15: 1795, 18: 450, 21: 1650, 24: 750, 27: 1395,
           30: 2295, 33: 4990, 36: 350}  # fmt: skip

_MEMBER_CLICKS, _STRANGER_CLICKS = 0.14, 0.3
_CLICKS_AGAIN, _CLICKS_ELSEWHERE = 0.12, 0.3
_BASKET_AFTER_CLICK, _BASKET_WITHOUT = 0.42, 0.008
_NEXT_ITEM, _MOST_ITEMS = 0.34, 4
_BUYS, _MEMBER_BUYS = 0.36, 0.47


@dataclass(frozen=True)
class Conversions:
    """Lines of the three files."""

    clicks: list[str]
    baskets: list[str]
    purchases: list[str]


def conversions(seed: int, promotion: int, chunk: int, people: list[Person]) -> Conversions:
    """What a chunk of people did in a promotion (a position in `PROMOTIONS`)."""
    random = generator(seed, Purpose.PROMOTIONS, promotion, chunk)
    offer = PROMOTIONS[promotion]
    found = Conversions([], [], [])
    likely = np.array(
        [_MEMBER_CLICKS if person.is_member else _STRANGER_CLICKS for person in people]
    )
    has_clicked = random.random(len(people)) < likely * offer.appeal
    has_basket = random.random(len(people)) < np.where(
        has_clicked, _BASKET_AFTER_CLICK, _BASKET_WITHOUT
    )
    order = random.permutation(len(people))
    for place in order[(has_clicked | has_basket)[order]].tolist():
        person = people[place]
        if has_clicked[place]:
            for channel in _channels(random, offer):
                found.clicks.append(_line(random, offer, "Click", person, channel))
        if has_basket[place]:
            items = _items(random, offer)
            for size in range(1, len(items) + 1):
                basket = _basket(items[:size])
                found.baskets.append(_line(random, offer, "Basket", person, basket))
            if random.random() < (_MEMBER_BUYS if person.is_member else _BUYS):
                has_code = person.is_member and bool(has_clicked[place])
                total = _total(offer, items, has_code)
                bought = f"{_basket(items)}, {total // 100}.{total % 100:02d}"
                found.purchases.append(_line(random, offer, "Purchase", person, bought))
    return found


def _line(
    random: np.random.Generator, offer: Promotion, kind: str, person: Person, rest: str
) -> str:
    email = other_spelling(person.email, random.random())
    return f"{offer.name}, {kind}Conversion, {email}, {rest}"


def _channels(random: np.random.Generator, offer: Promotion) -> Iterator[str]:
    """Where a person clicks: mostly once, mostly on the same channel again."""
    on_instagram = random.random() < offer.instagram
    yield "Instagram" if on_instagram else "Facebook"
    while random.random() < _CLICKS_AGAIN:
        if random.random() < _CLICKS_ELSEWHERE:
            on_instagram = not on_instagram
        yield "Instagram" if on_instagram else "Facebook"


def _items(random: np.random.Generator, offer: Promotion) -> list[int]:
    items = [offer.item]
    others = [item for item in _PRICES if item != offer.item]
    for item in random.permutation(others).tolist():
        if len(items) == _MOST_ITEMS or random.random() >= _NEXT_ITEM:
            break
        items.append(item)
    return items


def _basket(items: list[int]) -> str:
    return f"[{';'.join(map(str, items))}]"


def _total(offer: Promotion, items: list[int], has_code: bool) -> int:
    percent = 80 if has_code else 90
    promoted = (_PRICES[offer.item] * percent + 50) // 100
    return promoted + sum(_PRICES[item] for item in items if item != offer.item)
