"""A cohort in every operation of a sequence and a set, against a plain list of ids."""

from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollux import Cohort, col
from pollux.arrow import to_list
from pollux.columns import Columns, Snapshot
from pollux.domains import DOMAINS

BOUNDS = st.none() | st.integers(-40, 40)
STEPS = st.none() | st.integers(-4, 4).filter(bool)
SLICES = st.builds(slice, BOUNDS, BOUNDS, STEPS)
ORDERS = st.lists(st.integers(0, 29), unique=True, max_size=30)


@dataclass(frozen=True)
class Nowhere:
    domain: str = "customer"
    number: int = 1

    def read(self, *_: object, **__: object) -> pa.Table:
        raise AssertionError


def snapshot() -> Snapshot:
    numbers = pa.array(range(30), pa.int64())
    table = pa.table(
        {"account_number": numbers, "account_status": pa.array(["Live", "Churned", None] * 10)}
    )
    return Snapshot(Nowhere(), DOMAINS["customer"], table, is_complete=True)


SHARED = snapshot()


def cohort_of(numbers: list[int], base: Snapshot = SHARED) -> Cohort:
    everyone = Cohort(Columns(base, range(30)))
    one_by_one = everyone[:0]
    for number in numbers:
        one_by_one = one_by_one | everyone[number : number + 1]
    return one_by_one


@given(ORDERS)
def test_sequence_operations(numbers: list[int]) -> None:
    cohort = cohort_of(numbers)
    assert len(cohort) == len(numbers)
    assert bool(cohort) == bool(numbers)
    assert [c.account_number for c in cohort] == numbers
    assert cohort.ids == [str(number) for number in numbers]
    assert [c.account_number for c in reversed(cohort)] == list(reversed(numbers))
    assert cohort.to_arrow()["account_number"].to_pylist() == numbers
    for number in range(-1, 31):
        assert (number in cohort) == (number in numbers)
        assert (str(number) in cohort) == (number in numbers)
        assert cohort.count(number) == numbers.count(number)


@given(ORDERS, st.integers(-40, 40))
def test_index_by_position(numbers: list[int], position: int) -> None:
    cohort = cohort_of(numbers)
    if -len(numbers) <= position < len(numbers):
        assert cohort[position].account_number == numbers[position]
    else:
        with pytest.raises(IndexError):
            cohort[position]


@given(ORDERS, SLICES, SLICES)
def test_slices_of_slices(numbers: list[int], first: slice, second: slice) -> None:
    cohort = cohort_of(numbers)
    assert isinstance(cohort[first], Cohort)
    assert [c.account_number for c in cohort[first]] == numbers[first]
    assert [c.account_number for c in cohort[first][second]] == numbers[first][second]
    assert cohort[first].to_arrow()["account_number"].to_pylist() == numbers[first]
    everyone = Cohort(Columns(SHARED, range(30)))
    assert [c.account_number for c in everyone[first][second]] == list(range(30))[first][second]


@given(ORDERS, st.integers(0, 29), st.integers(-40, 40), st.none() | st.integers(-40, 40))
def test_index_of(numbers: list[int], number: int, start: int, stop: int | None) -> None:
    cohort = cohort_of(numbers)
    customer = Cohort(Columns(SHARED, range(30)))[number]
    bounds = [start] if stop is None else [start, stop]
    try:
        expected = numbers.index(number, *bounds)
    except ValueError:
        with pytest.raises(ValueError, match="is not in the cohort"):
            cohort.index(customer, *bounds)
    else:
        assert cohort.index(customer, *bounds) == expected
        assert cohort.index(str(number), *bounds) == expected


@given(ORDERS, ORDERS)
def test_equality(left: list[int], right: list[int]) -> None:
    assert (cohort_of(left) == cohort_of(right)) == (left == right)
    assert cohort_of(left) == cohort_of(left, snapshot())


@given(ORDERS, ORDERS, st.booleans())
def test_set_operations_keep_the_order(left: list[int], right: list[int], same: bool) -> None:
    one, other = cohort_of(left), cohort_of(right, SHARED if same else snapshot())
    only_left = [number for number in left if number not in right]
    only_right = [number for number in right if number not in left]
    for found, expected in (
        (one | other, left + only_right),
        (one & other, [number for number in left if number in right]),
        (one - other, only_left),
        (one ^ other, only_left + only_right),
    ):
        assert [c.account_number for c in found] == expected
        assert [c.account_status for c in found] == [
            ["Live", "Churned", None][n % 3] for n in expected
        ]
        for position, number in enumerate(expected):
            assert found.index(number) == position


@given(ORDERS, st.integers(0, 29), st.sets(st.integers(0, 29)))
def test_conditions(numbers: list[int], least: int, chosen: set[int]) -> None:
    cohort = cohort_of(numbers)
    expected = [number for number in numbers if number >= least and number in chosen]
    vectorised = cohort.where(col("account_number") >= least, account_number=chosen)
    judged = cohort.generate_cohort(
        lambda c: c.account_number >= least and c.account_number in chosen
    )
    assert [c.account_number for c in vectorised] == expected
    assert judged == vectorised


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple]:
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(["slice", "assign"]), st.integers(0, 3), SLICES, st.integers()
            ),
            max_size=12,
        )
    )


@settings(max_examples=200)
@given(worlds())
def test_attributes_of_a_family_of_cohorts(steps: list[tuple]) -> None:
    """Children take over what is set at their making; afterwards nobody sees another's."""
    cohorts = [Cohort(Columns(SHARED, range(30)))]
    expected: list[dict[int, int]] = [{}]
    for step, which, part, value in steps:
        chosen = which % len(cohorts)
        cohort = cohorts[chosen]
        if step == "slice":
            cohorts.append(cohort[part])
            expected.append(dict(expected[chosen]))
        else:
            for customer in cohort[part]:
                at = cohort.index(customer)
                cohort[at].mark = value
                expected[chosen][customer.account_number] = value
    for cohort, marks in zip(cohorts, expected, strict=True):
        for customer in cohort:
            assert getattr(customer, "mark", None) == marks.get(customer.account_number)


@given(
    st.sampled_from(
        [
            (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
            (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
            (pa.string(), st.text("aé\n", max_size=3)),
            (pa.bool_(), st.booleans()),
            (pa.float64(), st.floats(allow_nan=False)),
            (pa.date32(), st.dates()),
            (pa.timestamp("us"), st.datetimes()),
            (pa.decimal128(18, 2), st.decimals(-1000, 1000, places=2)),
        ]
    ).flatmap(lambda kind: st.tuples(st.just(kind[0]), st.lists(st.none() | kind[1]))),
    st.integers(0, 5),
)
def test_values_become_the_same_objects_as_arrows_own(case: tuple, offset: int) -> None:
    kind, values = case
    column = pa.array(values, kind).slice(offset)
    assert to_list(column) == column.to_pylist()
