"""Customers as objects: a class for each domain, with a property for every column of its mart.

Belongs here: a single customer. Does not belong here: many of them, which is `pollux.cohort`.

An object holds no values: it is a position in the columns of a cohort, made on access.
"""

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, overload

from pollux.columns import Columns, Snapshot
from pollux.domains import DOMAINS, Domain, domain_named
from pollux.runtime.settings import Settings
from pollux.sources import SourceName, open_source, settings_now

V_co = TypeVar("V_co", covariant=True)

DomainName = Literal["customer", "household", "store", "loyalty"]


class Column(property, Generic[V_co]):
    """A column of the mart as a read-only property of its customers."""

    def __init__(self, description: str) -> None:
        super().__init__(doc=description)

    def __set_name__(self, owner: type, name: str) -> None:
        def read(customer: "Individual") -> Any:
            columns, position = customer._place
            try:
                return columns.lists[name][position]
            except KeyError:
                return columns.value(name, position)

        super().__init__(read, doc=self.__doc__)

    if TYPE_CHECKING:

        @overload
        def __get__(self, customer: None, owner: type | None = None, /) -> Self: ...

        @overload
        def __get__(self, customer: "Individual", owner: type | None = None, /) -> V_co: ...

        def __get__(self, customer: Any, owner: type | None = None, /) -> Any:
            """The customer's value; on the class, the column itself."""


class Individual:
    """A customer of any domain.

    Two customers are equal when domain and id are, whatever their release or cohort. Attributes
    set on a customer belong to the cohort that it was taken from.
    """

    # One slot, not two: millions of customers are made, each to be read once.
    __slots__ = ("_place",)

    domain: ClassVar[Domain]
    _place: tuple[Columns, int]

    customer_id = Column[str]("Id, as text.")

    def __init__(self, place: tuple[Columns, int]) -> None:
        _set_place(self, place)

    @classmethod
    def from_id(
        cls,
        customer_id: str | int,
        *,
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> Self:
        """The customer with an id, in the release that is served now.

        Reads the serving database where it runs, else the files of the release. Raises
        `UnknownCustomer`, `NoDatabaseError` or `NothingReleasedError`.
        """
        key = cls.domain.key(customer_id)
        found = open_source(settings or settings_now(), cls.domain, source, prefer_store=True)
        ids = cls.domain.array([key])
        table = found.read(cls.domain.table, id_column=cls.domain.id_column, ids=ids)
        if not len(table):
            raise cls.domain.unknown(customer_id)
        snapshot = Snapshot(found, cls.domain, table, is_complete=False)
        return cls((Columns(snapshot, range(1)), 0))

    @property
    def release(self) -> int:
        """Number of the release that the customer was read from."""
        return self._place[0].snapshot.source.number

    def to_dict(self) -> dict[str, Any]:
        """All columns of the mart by name."""
        columns, position = self._place
        return {name: columns.value(name, position) for name in columns.snapshot.names}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        columns, position = self._place
        with suppress(KeyError):
            return columns.attribute(name, position)
        raise AttributeError(
            f"{type(self).__name__} {self.customer_id} has no {name!r}; columns: "
            f"{', '.join(columns.snapshot.names)}; set by enrichments: "
            f"{', '.join(columns.attribute_names) or 'nothing yet'}.",
            name=name,
            obj=self,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(type(self), name):
            raise AttributeError(f"{name} of a {type(self).__name__} cannot be set.")
        columns, position = self._place
        columns.assign(name, position, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._place[0].attribute_names})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Individual):
            return NotImplemented
        return self.domain == other.domain and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.domain.name, self._key()))

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.to_dict().items()
            if value is not None and name != self.domain.id_column
        ]
        return f"{type(self).__name__}({', '.join([repr(self.customer_id), *shown])})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy holds its own values, not those of millions of other customers.
        columns, position = self._place
        return CLASSES[self.domain.name], ((columns.alone(position), 0),)

    def _key(self) -> int | str:
        columns, position = self._place
        return columns.key(position)


# Not `self._place = …`: `__setattr__` refuses that, and `object.__setattr__` takes twice the time.
_set_place = Individual.__dict__["_place"].__set__


class Customer(Individual):
    """An account of the utility (mart `customer.customers`)."""

    __slots__ = ()
    domain = DOMAINS["customer"]

    account_number = Column[int]("Account; `customer_id` is the same as text.")
    account_status = Column[str | None]("Status code, as the source spells it.")
    sign_up_date = Column[date | None]("Day of sign-up.")
    churn_date = Column[date | None]("Day the customer left; None for a customer who stays.")
    first_service_live_date = Column[date | None]("First day that any service ran.")
    end_of_onboarding_period = Column[date | None]("Last day of onboarding.")
    sign_up_source = Column[str | None]("Where the customer signed up.")
    property_occupier_status_at_sign_up = Column[str | None](
        "Whether the home was owned or rented."
    )
    referral_type = Column[str | None]("Kind of referral.")
    referral_type_code = Column[str | None]("Code of the kind of referral.")
    referrers_account_number = Column[int | None]("Account of who made the referral, if anybody.")

    @overload
    @classmethod
    def from_id(
        cls,
        customer_id: str | int,
        *,
        domain: Literal["customer"] = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> Self: ...

    @overload
    @classmethod
    def from_id(
        cls,
        customer_id: str | int,
        *,
        domain: DomainName,
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> Any: ...

    @classmethod
    def from_id(
        cls,
        customer_id: str | int,
        *,
        domain: str = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> Any:
        """The customer with an id; `domain` selects another domain's class.

        See `Individual.from_id`, which every class has.
        """
        if domain_named(domain) == cls.domain:
            return super().from_id(customer_id, source=source, settings=settings)
        return CLASSES[domain].from_id(customer_id, source=source, settings=settings)


class Household(Individual):
    """A household of the grocery panel (mart `household.household_rfm`)."""

    __slots__ = ()
    domain = DOMAINS["household"]

    household_key = Column[int]("Household; `customer_id` is the same as text.")
    first_day = Column[int]("First shopping day in scope; day 1 is 2004-03-23.")
    first_date = Column[date]("Date of the first day.")
    last_day = Column[int]("Last shopping day in scope.")
    last_date = Column[date]("Date of the last day.")
    baskets = Column[int]("Distinct baskets.")
    baskets_per_day = Column[float]("Baskets ÷ (last day - first day + 1).")
    total_sales = Column[Decimal]("Sales of all lines in scope, dollars.")
    r_score = Column[int]("Recency, 1 to 5.")
    f_score = Column[int]("Frequency, 1 to 5.")
    m_score = Column[int]("Monetary value, 1 to 5.")
    rfm_score = Column[int]("Sum of the three scores, 3 to 15.")
    rfm_bins = Column[int]("Bin of the sum, 1 to 5.")
    has_demographics = Column[bool]("Whether the household's demographics are known.")


class StoreCustomer(Individual):
    """A customer of the shop (mart `store.customer_info`); `customer_id` is text here too."""

    __slots__ = ()
    domain = DOMAINS["store"]

    gender = Column[str | None]("F or M; None where unknown.")
    age = Column[int | None]("Years; None where unknown.")
    mean_buy_price = Column[Decimal | None]("Mean price paid for an item, dollars.")
    total_coupons_used = Column[int]("Items bought with a coupon.")
    mean_discount_received = Column[Decimal | None]("Mean discount of an item, percent.")
    unique_products_bought = Column[int]("Distinct products bought.")
    unique_products_bought_with_coupons = Column[int]("Distinct products bought with a coupon.")
    total_items_bought = Column[int]("Items bought.")


class Member(Individual):
    """A member of the fan club (mart `loyalty.members`), whose id is the email."""

    __slots__ = ()
    domain = DOMAINS["loyalty"]

    email = Column[str]("Email, in lower case; the same as `customer_id`.")
    fb_user = Column[str | None]("User name on Facebook; None where unknown.")
    insta_user = Column[str | None]("User name on Instagram; None where unknown.")
    gender = Column[str | None]("As listed, F or M; None where unknown.")
    joined_by = Column[str]("list or purchase; list for a member who also bought.")
    joined_at = Column[datetime | None]("When the member joined; None where the data do not say.")


CLASSES: dict[str, type[Individual]] = {
    kind.domain.name: kind for kind in (Customer, Household, StoreCustomer, Member)
}
