"""The recommender: the weighted sum of personal score, neighbours' score and popularity."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from orchestration.learn.recommend.others import neighbour_shares, popularity
from orchestration.learn.recommend.ranking import best_items
from pollux.runtime.recommend.baskets import Baskets, Floats, Ints
from pollux.runtime.recommend.candidates import Candidates, Scored, candidates
from pollux.runtime.recommend.personal import Bought, learn_rhythm, personal_scores


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


class Parts:
    """The parts of the score for one set of histories, cached by their hyperparameters.

    Where not all customers will be scored, `customers` (ascending) says which.
    """

    def __init__(self, baskets: Baskets, customers: Ints | None = None) -> None:
        self.baskets = baskets
        self.customers = np.arange(baskets.customers) if customers is None else customers
        self.rhythm = lru_cache(8)(self._rhythm)
        self.personal = lru_cache(2)(self._personal)
        self.neighbours = lru_cache(8)(self._neighbours)
        self.popularity = lru_cache(8)(lambda latest: popularity(baskets, latest))

    def _rhythm(self, decay: float, prior: float) -> Floats:
        return learn_rhythm(self.baskets, decay=decay, prior=prior)

    def _personal(self, decay: float, prior: float) -> tuple[Bought, sparse.csr_matrix]:
        rhythm = self.rhythm(decay, prior)
        bought, scores = personal_scores(self.baskets, rhythm, decay=decay, prior=prior)
        shape = (self.baskets.customers, self.baskets.items)
        return bought, sparse.csr_matrix((scores, (bought.customer, bought.item)), shape)

    def _neighbours(self, many: int, decay: float) -> sparse.csr_matrix:
        return neighbour_shares(self.baskets, self.customers, many=many, decay=decay)


class Model:
    """Fitted on histories; scores any of their customers."""

    def __init__(self, parts: Parts, parameters: Parameters) -> None:
        self.parameters = parameters
        self.baskets = parts.baskets
        self.rhythm = parts.rhythm(parameters.decay, parameters.prior)
        self.bought, self.personal = parts.personal(parameters.decay, parameters.prior)
        self.popularity = (
            parts.popularity(parameters.popular_baskets) * parameters.popularity_weight
        )
        self.popular_first: Ints = np.argsort(-self.popularity, kind="stable")
        self.others = (
            parts.neighbours(parameters.neighbours, parameters.neighbour_decay)
            * parameters.neighbour_weight
        ).tocsr()

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

    def candidates(self, begin: int, end: int, k: int) -> tuple[Ints, Candidates]:
        """Items that include each customer's k best own and k best new ones, and whose each is.

        Of the customers from `begin` to before `end`, counted from `begin`.
        """
        own, others = (_scored(part[begin:end]) for part in (self.personal, self.others))
        return candidates(own, others, self.popularity, self.popular_first, end - begin, k)


def fit(baskets: Baskets, parameters: Parameters) -> Model:
    """Fits a model on all of the given histories."""
    parts = Parts(baskets)
    # What customers bought themselves, and what others say, at the same time.
    with ThreadPoolExecutor(1) as thread:
        others = thread.submit(parts.neighbours, parameters.neighbours, parameters.neighbour_decay)
        parts.personal(parameters.decay, parameters.prior)
        others.result()
    return Model(parts, parameters)


def rank_all(model: Model, k: int, customers: Ints) -> Ints:
    """The k best items of each customer: customers by k, padded with -1."""
    return best_items(model.shortlist(customers, k), k)


def _scored(part: sparse.csr_matrix) -> Scored:
    owner = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    return Scored(owner, part.indices, part.data)
