"""Candidates for a customer's next basket: own items, the neighbours', and popular ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pollux.runtime.recommend.baskets import Floats, Ints

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """Items, ascending, with scores.

    `is_by_neighbours` where neighbours count for more than popularity.
    """

    item: Ints
    score: Floats
    is_own: Flags
    is_by_neighbours: Flags


def candidates(
    own: tuple[Ints, Floats],
    others: tuple[Ints, Floats],
    popularity: Floats,
    popular_first: Ints,
    k: int,
) -> Candidates:
    """Items that include a customer's k best, own or new, with the sums of their scores.

    `own` and `others` are items in ascending order and what the customer's purchases and the
    neighbours say of them; `popularity` has a value per item, `popular_first` items by it.
    """
    (own_item, own_score), (said_of, said) = own, others
    # Of items with no other score, the k most popular are enough.
    popular = popular_first[: k + own_item.size + said_of.size]
    is_candidate = np.zeros(popularity.size, dtype=bool)
    for some in (own_item, said_of, popular):
        is_candidate[some] = True
    item = np.flatnonzero(is_candidate)
    by_others, by_own = np.zeros(item.size), np.zeros(item.size)
    by_others[np.searchsorted(item, said_of)] = said
    place = np.searchsorted(item, own_item)
    by_own[place] = own_score
    is_own = np.zeros(item.size, dtype=bool)
    is_own[place] = True
    return Candidates(
        item=item,
        score=popularity[item] + by_others + by_own,
        is_own=is_own,
        is_by_neighbours=by_others > popularity[item],
    )
