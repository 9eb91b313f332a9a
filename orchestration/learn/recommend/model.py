"""The recommender: the weighted sum of personal score, neighbours' score and popularity."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import sparse

from orchestration.learn.recommend.others import neighbour_shares, popularity
from orchestration.learn.recommend.ranking import best_items
from pollux.runtime.recommend.baskets import Baskets, Floats, Ints
from pollux.runtime.recommend.candidates import Candidates, candidates
from pollux.runtime.recommend.personal import learn_rhythm, personal_scores

Only = Literal["repeat", "new"]


@dataclass(frozen=True)
class Parameters:
    """Hyperparameters: decays per basket, numbers of baskets and neighbours, weights of parts."""

    decay: float = 1.0
    prior: float = 8.0
    neighbours: int = 100
    neighbour_decay: float = 0.95
    popular_baskets: int = 1
    neighbour_weight: float = 0.2
    popularity_weight: float = 0.05


@dataclass(frozen=True)
class Recommendation:
    """A recommended item; for a new item, `source` is the largest part of its score."""

    item: int
    score: float
    kind: Literal["repeat", "new"]
    source: Literal["own", "neighbours", "popular"]


class Parts:
    """The parts of the score for one set of histories, cached by their hyperparameters.

    Where not all customers will be scored, `customers` (ascending) says which.
    """

    def __init__(self, baskets: Baskets, customers: Ints | None = None) -> None:
        self.baskets = baskets
        self.customers = np.arange(baskets.customers) if customers is None else customers
        self.rhythm = lru_cache(8)(self._rhythm)
        self.personal = lru_cache(4)(self._personal)
        self.neighbours = lru_cache(8)(self._neighbours)
        self.popularity = lru_cache(8)(lambda latest: popularity(baskets, latest))

    def _rhythm(self, decay: float, prior: float) -> Floats:
        return learn_rhythm(self.baskets, decay=decay, prior=prior)

    def _personal(self, decay: float, prior: float) -> sparse.csr_matrix:
        rhythm = self.rhythm(decay, prior)
        bought, scores = personal_scores(self.baskets, rhythm, decay=decay, prior=prior)
        shape = (self.baskets.customers, self.baskets.items)
        return sparse.csr_matrix((scores, (bought.customer, bought.item)), shape)

    def _neighbours(self, many: int, decay: float) -> sparse.csr_matrix:
        return neighbour_shares(self.baskets, self.customers, many=many, decay=decay)


class Model:
    """Fitted on histories; scores any of their customers."""

    def __init__(self, parts: Parts, parameters: Parameters) -> None:
        self.parameters = parameters
        self.baskets = parts.baskets
        self.rhythm = parts.rhythm(parameters.decay, parameters.prior)
        self.personal = parts.personal(parameters.decay, parameters.prior)
        self.popularity = (
            parts.popularity(parameters.popular_baskets) * parameters.popularity_weight
        )
        self.popular_first: Ints = np.argsort(-self.popularity, kind="stable")
        self.others = (
            parts.neighbours(parameters.neighbours, parameters.neighbour_decay)
            * parameters.neighbour_weight
        ).tocsr()

    def scores(self, customers: Ints) -> Floats:
        """Scores of all items for the given customers: customers by items, dense."""
        dense = np.tile(self.popularity, (customers.size, 1))
        for part in (self.others[customers], self.personal[customers]):
            rows = np.repeat(np.arange(customers.size), np.diff(part.indptr))
            dense[rows, part.indices] += part.data
        return dense

    def shortlist(self, customers: Ints, k: int) -> sparse.csr_matrix:
        """Scores of the items that the k best are among: own, the neighbours', k popular ones."""
        own, others = self.personal[customers], self.others[customers]
        popular = np.tile(np.sort(self.popular_first[:k]), customers.size)
        ends = np.linspace(0, popular.size, customers.size + 1, dtype=np.int64)
        listed = own + others + sparse.csr_matrix((np.ones(popular.size), popular, ends), own.shape)
        by_popularity = sparse.csr_matrix(
            (self.popularity[listed.indices], listed.indices, listed.indptr), own.shape
        )
        return by_popularity + others + own

    def candidates(
        self,
        customer: int,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        history: Baskets | None = None,
    ) -> Candidates:
        """Items that include a customer's k best, own or new, with their scores."""
        if history is None:
            own = _row(self.personal, customer)
        else:
            bought, own_score = personal_scores(
                history, self.rhythm, decay=self.parameters.decay, prior=self.parameters.prior
            )
            own = bought.item, own_score
        popular = (
            self.popular_first
            if allowed is None
            else self.popular_first[allowed[self.popular_first]]
        )
        return candidates(own, _row(self.others, customer), self.popularity, popular, k)

    def recommend(
        self,
        customer: int,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        only: Only | None = None,
        history: Baskets | None = None,
    ) -> list[Recommendation]:
        """The k best items for a customer, fewer if no more are left.

        `allowed` is a mask over items. `history` is the customer's own history if it has grown
        since the fit; the neighbours' scores stay as fitted.
        """
        found = self.candidates(customer, k, allowed=allowed, history=history)
        item, score, is_own = found.item, found.score, found.is_own
        may = score > 0
        if allowed is not None:
            may &= allowed[item]
        if only is not None:
            may &= is_own if only == "repeat" else ~is_own
        ranked = np.flatnonzero(may)
        ranked = ranked[np.lexsort((item[ranked], -score[ranked]))[:k]]
        return [
            Recommendation(
                item=int(item[one]),
                score=float(score[one]),
                kind="repeat" if is_own[one] else "new",
                source="own"
                if is_own[one]
                else ("neighbours" if found.is_by_neighbours[one] else "popular"),
            )
            for one in ranked
        ]


def fit(baskets: Baskets, parameters: Parameters) -> Model:
    """Fits a model on all of the given histories."""
    return Model(Parts(baskets), parameters)


def rank_all(model: Model, k: int, customers: Ints) -> Ints:
    """The k best items of each customer: customers by k, padded with -1."""
    return best_items(model.shortlist(customers, k), k)


def _row(matrix: sparse.csr_matrix, row: int) -> tuple[Ints, Floats]:
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[part], matrix.data[part]
