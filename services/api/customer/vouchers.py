"""Which voucher to offer a customer.

Belongs here: the ranked vouchers of a release, in memory, and the choice among them. Does not
belong here: how they are ranked, and the bounds of segments, which are the models' work.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, get_args

import orjson

from pollux.names import no_such_name
from pollux.rules import text_key
from services.api.customer.repository import (
    ASSIGNED_COUNTRIES,
    RANKED_VOUCHERS,
    SEGMENTS_IN_ORDER,
)
from services.api.customer.schemas import SegmentName, SelectRequest
from services.api.customer.segments import Segment, Segments
from services.common.answers import Answer, naming
from services.common.database import Database
from services.common.problems import ProblemError, invalid_parts, not_found
from services.common.releases import Release

MAX_RUNNERS_UP = 10
OF_COUNTRY = ("country", "all")


class Ranked(NamedTuple):
    """A voucher amount in a country and segment."""

    voucher_amount: Decimal
    times_used: int
    share: float
    rank: int

    def document(self) -> dict[str, Any]:
        """The amount with its figures."""
        return {**self._asdict(), "voucher_amount": orjson.Fragment(number(self.voucher_amount))}


class Group(NamedTuple):
    """The amounts of a country and segment, the most used first, and the answer with that one."""

    ranked: Sequence[Ranked]
    answer: Answer


class Country(NamedTuple):
    """A country as the data spell it, and its groups by segment name and segment."""

    spelling: str
    groups: Mapping[tuple[str, str | None], Group]


class RankedVouchers:
    """The vouchers of a release.

    `rows` are those of `RANKED_VOUCHERS`, `assigned` the countries of all assignments. If the data
    spell a country in several ways, the spelling with most assignments counts.
    """

    def __init__(
        self,
        release: Release,
        segments: Segments,
        rows: Iterable[Sequence[Any]],
        assigned: Iterable[str],
    ) -> None:
        self._release = release
        self._segments = segments
        ranked: dict[str, dict[tuple[str, str], list[Ranked]]] = {}
        for country, name, segment, *figures in rows:
            ranked.setdefault(country, {}).setdefault((name, segment), []).append(Ranked(*figures))
        self._countries: dict[str, Country] = {}
        for country in sorted(ranked, key=lambda one: _times_used(ranked[one])):
            groups: dict[tuple[str, str | None], Group] = {
                key: Group(found, self._answer(found)) for key, found in ranked[country].items()
            }
            self._countries[text_key(country)] = Country(country, groups)
        self._assigned = {text_key(country): country for country in assigned}

    def select(self, request: SelectRequest, *, explain: bool) -> Answer:
        """The answer to a request; raises a problem if there is none."""
        now = datetime.now(UTC)
        as_of = now if request.as_of is None else request.as_of
        check_times(request, as_of=as_of, now=now)
        days = (as_of - request.last_order_ts).days
        name = request.segment_name
        measured = request.total_orders if name == "frequency_segment" else days
        segment = self._segments.of(name, measured)
        with naming(self._release):
            country = self._country(request.country_code)
        found = country.groups.get((name, segment))
        group = country.groups[OF_COUNTRY] if found is None else found
        if not explain:
            return group.answer
        first, *others = group.ranked[: MAX_RUNNERS_UP + 1]
        top = first.document()
        explained = {
            "voucher_amount": top["voucher_amount"],
            "country_code": country.spelling,
            "segment_name": name,
            "segment": segment,
            "basis": "country" if found is None else "segment",
            "recency_days": days,
            "as_of": as_of.isoformat().replace("+00:00", "Z"),
            "times_used": first.times_used,
            "share": first.share,
            "runners_up": [other.document() for other in others],
        }
        return Answer(self._release, orjson.dumps(explained))

    def _country(self, asked: str) -> Country:
        key = text_key(asked)
        country = self._countries.get(key)
        if country is None:
            if key in self._assigned:
                raise no_voucher(asked)
            raise unknown_country(asked, sorted(self._assigned.values()))
        return country

    def _answer(self, ranked: Sequence[Ranked]) -> Answer:
        body = b'{"voucher_amount":%b}' % number(ranked[0].voucher_amount)
        return Answer(self._release, body)


async def read_ranked_vouchers(database: Database, release: Release) -> RankedVouchers:
    """The vouchers and segments of a release, from its tables."""
    segments, rows, assigned = [
        await database.fetch(sql.replace("{release}", release.schema))
        for sql in (SEGMENTS_IN_ORDER, RANKED_VOUCHERS, ASSIGNED_COUNTRIES)
    ]
    by = Segments(Segment(*segment) for segment in segments)
    return RankedVouchers(release, by, rows, [country for (country,) in assigned])


def check_times(request: SelectRequest, *, as_of: datetime, now: datetime) -> None:
    """Raises a problem if a time is in the future, or if the times are in the wrong order."""
    wrong = []
    if as_of > now:
        wrong.append(("as_of", "Input should not be in the future"))
    if request.last_order_ts > as_of:
        when = "in the future" if request.as_of is None else "after as_of"
        wrong.append(("last_order_ts", f"Input should not be {when}"))
    if request.first_order_ts > request.last_order_ts:
        wrong.append(("first_order_ts", "Input should not be after last_order_ts"))
    if wrong:
        raise invalid_parts([{"loc": ("body", name), "msg": why} for name, why in wrong])


def unknown_country(country_code: str, known: Sequence[str]) -> ProblemError:
    """The country has no assignments; the known ones have."""
    return not_found(
        "unknown-country",
        f"No voucher was ever assigned there. {no_such_name('country', country_code, known)}",
    )


def no_voucher(country_code: str) -> ProblemError:
    """The country has assignments, but none of them has an amount."""
    return not_found(
        "no-voucher",
        f"Customers of {country_code} are known, but none of them was given a voucher.",
    )


def unknown_segment() -> ProblemError:
    """The segment name is unknown."""
    known = " or ".join(f"'{name}'" for name in get_args(SegmentName))
    part = {"loc": ("body", "segment_name"), "msg": f"Input should be {known}"}
    return invalid_parts([part], kind="unknown-segment", title="Unknown segment name")


def number(amount: Decimal) -> bytes:
    """An amount as JSON; without decimals where it is whole."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def _times_used(groups: Mapping[tuple[str, str], Sequence[Ranked]]) -> int:
    return sum(ranked.times_used for ranked in groups[OF_COUNTRY])
