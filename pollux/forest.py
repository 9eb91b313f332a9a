"""The trees of a LightGBM model, evaluated for many rows at once, with LightGBM's own results.

Belongs here: reading the trees, and adding up the leaves that rows reach. Does not belong here:
what the features are, and what a sum means (`pollux.propensity`).

A tree of at most 31 leaves is a number of 32 bits, one for each leaf. Every value of a feature
rules out leaves: those that lie right of the splits that send it left, and the other way round.
What all features of a row leave over is its leaf. (The idea is that of QuickScorer: Lucchese et
al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
SIGIR 2015.) Which leaves a value rules out, in all trees, is a row of a table, so a prediction is
a few operations on arrays instead of a walk through each tree. Features that several rows share,
as those of a customer with many coupons, are looked up once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.int32]

VERSION = "v4"
MOST_LEAVES = 31
ALL_LEAVES = np.int32(-1)
# A leaf's bit as a number of 32 bits with a fraction has its place in the exponent.
FRACTION_BITS, EXPONENT_OF_ONE = 23, 127
# Of LightGBM's decision types.
IS_CATEGORICAL, GOES_LEFT, MISSING_SHIFT, MISSING_BITS = 1, 2, 2, 3
MISSING_IS_NAN = 2
MISSING_IS_ZERO = 1
WORD_BITS = 32
# What one pass holds stays in the processor's caches.
ROWS_AT_ONCE = 200


class UnusualModelError(Exception):
    """A model of which this module cannot tell what LightGBM would predict."""


@dataclass
class _Split:
    """Which leaves are left and right of a split, and which values go left."""

    tree: int
    left: int
    right: int
    # The values up to it go left; of a category, those in the set.
    threshold: float
    categories: frozenset[int] | None
    nan_goes_left: bool


@dataclass
class _Lookup:
    """Of a feature: the bounds between values that differ, and the leaves that each leaves over.

    Behind the last bound, infinity, comes NaN.
    """

    bounds: Floats
    masks: Masks

    def of(self, values: npt.NDArray[np.float32]) -> Masks:
        """A row for each value, a column for each tree."""
        return self.masks.take(np.searchsorted(self.bounds, values.astype(np.float64)), axis=0)


@dataclass
class Forest:
    """The trees of a model, by the columns of its features."""

    _lookups: Mapping[int, _Lookup]
    # A leaf's value at 32 times its tree's number, and its own.
    _values: Floats
    # Added to a leaf's exponent, it gives that place.
    _places: Masks = field(init=False)

    def __post_init__(self) -> None:
        trees = len(self._values) // WORD_BITS
        places = np.arange(trees, dtype=np.int32) * WORD_BITS - EXPONENT_OF_ONE
        self._places = places.astype(np.int32)

    def predict(
        self,
        features: npt.NDArray[np.float32],
        *,
        shared: Collection[int] = (),
        sizes: Sequence[int] | None = None,
    ) -> Floats:
        """The sum of every row's leaves, bit for bit LightGBM's raw score.

        `sizes` are numbers of consecutive rows, none of them 0, that have the same values in the
        columns `shared`; without them, no rows are taken to have anything in common.
        """
        if sizes is None:
            sizes, shared = [1] * len(features), ()
        found = [
            self._predict(features[start:end], shared, sizes[first:last])
            for start, end, first, last in _parts(sizes)
        ]
        return np.concatenate(found) if found else np.empty(0)

    def _predict(
        self, features: npt.NDArray[np.float32], shared: Collection[int], sizes: Sequence[int]
    ) -> Floats:
        firsts = features[np.cumsum([0, *sizes[:-1]])]
        common = self._left_over(firsts, [column for column in self._lookups if column in shared])
        own = self._left_over(
            features, [column for column in self._lookups if column not in shared]
        )
        left = np.repeat(common, sizes, axis=0)
        left &= own
        # One bit of each is left: a power of two, which a float of 32 bits holds exactly.
        places = left.astype(np.float32).view(np.int32)
        places >>= FRACTION_BITS
        places += self._places
        values = np.ascontiguousarray(self._values.take(places).T)
        # In the order of the trees, as LightGBM adds: another order would round in another way, and
        # NumPy adds the numbers of a single row in another.
        added = values.sum(axis=0) if len(features) > 1 else np.add.accumulate(values)[-1]
        return np.asarray(added)

    def _left_over(self, features: npt.NDArray[np.float32], columns: Sequence[int]) -> Masks:
        """The leaves that some features leave over: a row for each row, a column for each tree."""
        if not columns:
            return np.full((len(features), len(self._places)), ALL_LEAVES)
        left = self._lookups[columns[0]].of(features[:, columns[0]])
        for column in columns[1:]:
            left &= self._lookups[column].of(features[:, column])
        return left


def _parts(sizes: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """First and last row and group of parts of whole groups."""
    start = end = first = 0
    for number, size in enumerate(sizes):
        if end > start and end + size - start > ROWS_AT_ONCE:
            yield start, end, first, number
            start, first = end, number
        end += size
    if end > start:
        yield start, end, first, len(sizes)


def read_forest(model_text: str) -> Forest:
    """The trees in LightGBM's text format; raises `UnusualModelError` for what is not read here.

    That is another version of the format, several classes, averaged or linear trees, more than 31
    leaves in a tree, and zeros that stand for missing values.
    """
    head, *parts = model_text.partition("\nend of trees")[0].split("\nTree=")
    known = _fields(head)
    if (known.get("version"), known.get("num_tree_per_iteration")) != (VERSION, "1"):
        raise UnusualModelError("another version, or several classes")
    if "average_output" in head.split("\n"):
        raise UnusualModelError("averaged trees")
    values = np.zeros(len(parts) * WORD_BITS)
    leaves_of = np.zeros(len(parts), dtype=np.int32)
    splits: dict[int, list[_Split]] = {}
    for number, part in enumerate(parts):
        fields = _fields(part)
        leaves = [float(value) for value in fields["leaf_value"].split()]
        if len(leaves) > MOST_LEAVES or fields.get("is_linear", "0") != "0":
            raise UnusualModelError("a tree of more leaves, or linear ones")
        values[number * WORD_BITS :][: len(leaves)] = leaves
        leaves_of[number] = (1 << len(leaves)) - 1
        if len(leaves) > 1:
            for column, split in _read_splits(number, fields):
                splits.setdefault(column, []).append(split)
    if not splits:
        raise UnusualModelError("no tree has a split")
    lookups = {column: _lookup(of, leaves_of) for column, of in sorted(splits.items())}
    return Forest(lookups, values)


def _read_splits(number: int, fields: Mapping[str, str]) -> Iterator[tuple[int, _Split]]:
    columns, kinds, lefts, rights = (
        [int(value) for value in fields[name].split()]
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    thresholds = [float(value) for value in fields["threshold"].split()]
    below: dict[int, int] = {}

    def leaves_below(child: int) -> int:
        # A leaf is a child below 0.
        if child < 0:
            return 1 << ~child
        if child not in below:
            below[child] = leaves_below(lefts[child]) | leaves_below(rights[child])
        return below[child]

    for node, (column, kind, threshold) in enumerate(zip(columns, kinds, thresholds, strict=True)):
        missing = kind >> MISSING_SHIFT & MISSING_BITS
        categories = None
        nan_goes_left = False
        if kind & IS_CATEGORICAL:
            categories = _categories(fields, int(threshold))
        elif missing == MISSING_IS_NAN:
            nan_goes_left = bool(kind & GOES_LEFT)
        elif missing == MISSING_IS_ZERO:
            raise UnusualModelError("0 is a missing value")
        else:
            # Without missing values in training, NaN counts as 0.
            nan_goes_left = threshold >= 0
        left, right = leaves_below(lefts[node]), leaves_below(rights[node])
        yield column, _Split(number, left, right, threshold, categories, nan_goes_left)


def _categories(fields: Mapping[str, str], number: int) -> frozenset[int]:
    bounds = [int(value) for value in fields["cat_boundaries"].split()]
    words = [int(value) for value in fields["cat_threshold"].split()]
    chosen = words[bounds[number] : bounds[number + 1]]
    return frozenset(
        place * WORD_BITS + bit
        for place, word in enumerate(chosen)
        for bit in range(WORD_BITS)
        if word >> bit & 1
    )


def _lookup(splits: Sequence[_Split], leaves_of: Masks) -> _Lookup:
    kinds = {split.categories is None for split in splits}
    if len(kinds) > 1:
        raise UnusualModelError("a feature is both a category and a number")
    if kinds == {True}:
        known = {split.threshold for split in splits}
    else:
        known = {float(n) for n in range(1 + max(max(s.categories or {0}) for s in splits))}
    bounds = np.array(sorted(known | {np.inf}))
    # The last for NaN.
    masks = np.tile(leaves_of, (len(bounds) + 1, 1))
    for split in splits:
        if split.categories is None:
            goes_left = bounds <= split.threshold
        else:
            goes_left = np.isin(bounds, list(split.categories))
        goes_left = np.append(goes_left, split.nan_goes_left)
        masks[:, split.tree] &= np.where(goes_left, ~split.right, ~split.left).astype(np.int32)
    return _Lookup(bounds, masks)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
