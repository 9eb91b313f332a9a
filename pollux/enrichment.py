"""Enrichments: more data about the customers of a cohort, loaded when it is asked for.

Belongs here: what an enrichment is, those that come with Pollux, and their registry. Does not
belong here: how tables are read.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pollux.arrow import is_not_descending, one_chunk, sorted_ids
from pollux.domains import DOMAINS, Domain
from pollux.frames import FrameKind, to_frame

if TYPE_CHECKING:
    from pollux.cohort import Cohort


class EnrichmentData(ABC):
    """Queries data, then allocates it among the customers of a cohort.

    `Cohort.update_customers` makes one, sets its `cohort`, and calls both methods.
    """

    cohort: "Cohort[Any]"

    @abstractmethod
    def query_data(self, customer_ids: Sequence[str] | None = None) -> None:
        """Loads the data of these customers (ids as text), and of nobody else."""

    @abstractmethod
    def update_cohort(self, cohort: "Cohort[Any]") -> None:
        """Decides how to update the customers with the data."""


class TableEnrichment(EnrichmentData):
    """Gives every customer its rows of a mart, from the cohort's release.

    `table` and its `id_column` select the rows; customers get them as attribute `attribute`. With
    `shape` "frame" this is a frame of kind `frames` in the order of the table's key, empty for a
    customer without rows; with "row" a dict by column, None for a customer without one. Every
    read makes a new one.
    """

    domain: ClassVar[Domain]
    table: ClassVar[str]
    id_column: ClassVar[str]
    attribute: ClassVar[str]
    columns: ClassVar[tuple[str, ...] | None] = None
    shape: ClassVar[Literal["frame", "row"]] = "frame"
    frames: ClassVar[FrameKind] = "arrow"

    data: pa.Table
    """The rows of all customers of the cohort, by id; set by `query_data`."""

    def query_data(self, customer_ids: Sequence[str] | None = None) -> None:
        """Reads the mart, without ids for the whole cohort."""
        columns = None if self.columns is None else [self.id_column, *self.columns]
        self.data = self.cohort.read_table(
            self.table, id_column=self.id_column, columns=columns, customer_ids=customer_ids
        )

    def update_cohort(self, cohort: "Cohort[Any]") -> None:
        """Attaches the rows; a customer's own are looked up when they are read."""
        ids = self.data[self.id_column]
        data = self.data
        if not is_not_descending(ids):
            data = one_chunk(data.take(pc.sort_indices(ids)))
        keys = sorted_ids(data[self.id_column].combine_chunks())

        def rows_of(key: int | str) -> Any:
            first = bisect_left(keys, key)
            return self._shaped(data.slice(first, bisect_right(keys, key, lo=first) - first))

        cohort.attach(self.attribute, rows_of)

    def _shaped(self, rows: pa.Table) -> Any:
        if self.shape == "frame":
            return to_frame(rows, self.frames)
        return rows.to_pylist()[0] if len(rows) else None


class BroadbandData(TableEnrichment):
    """Broadband lines of an account."""

    domain = DOMAINS["customer"]
    table = "customer_broadband"
    id_column = "account_number"
    attribute = "broadband_data"


class InitialServicesData(TableEnrichment):
    """Services that an account ordered at sign-up."""

    domain = DOMAINS["customer"]
    table = "customer_initial_services"
    id_column = "account_number"
    attribute = "initial_services_data"


class CashbackData(TableEnrichment):
    """Cashback of an account by month."""

    domain = DOMAINS["customer"]
    table = "customer_cashback"
    id_column = "account_number"
    attribute = "cashback_data"


class RfmData(TableEnrichment):
    """Recency, frequency and money of a household: days, baskets, sales, scores and bin."""

    domain = DOMAINS["household"]
    table = "household_rfm"
    id_column = "household_key"
    attribute = "rfm_data"
    shape = "row"


class SectionsData(TableEnrichment):
    """Demographics and spend by section, for households whose demographics are known."""

    domain = DOMAINS["household"]
    table = "hh_summary"
    id_column = "household_key"
    attribute = "sections_data"
    shape = "row"


class WeeklySalesData(TableEnrichment):
    """Baskets, lines, units and sales of a household by week."""

    domain = DOMAINS["household"]
    table = "household_weekly_sales"
    id_column = "household_key"
    attribute = "weekly_sales_data"


class RecommendationsData(TableEnrichment):
    """Products recommended to a household."""

    domain = DOMAINS["household"]
    table = "product_recommendations"
    id_column = "household_key"
    attribute = "recommendations_data"


class CouponUseData(TableEnrichment):
    """How a customer of the shop uses coupons."""

    domain = DOMAINS["store"]
    table = "customer_info"
    id_column = "customer_id"
    attribute = "coupon_use_data"
    columns = (
        "total_coupons_used",
        "mean_discount_received",
        "unique_products_bought_with_coupons",
        "total_items_bought",
    )
    shape = "row"


class ConversionsData(TableEnrichment):
    """Clicks, baskets and purchases of a member."""

    domain = DOMAINS["loyalty"]
    table = "conversions"
    id_column = "email"
    attribute = "conversions_data"


registry: dict[str, type[EnrichmentData]] = {
    "broadband": BroadbandData,
    "initial_services": InitialServicesData,
    "cashback": CashbackData,
    "rfm": RfmData,
    "sections": SectionsData,
    "weekly_sales": WeeklySalesData,
    "recommendations": RecommendationsData,
    "coupon_use": CouponUseData,
    "conversions": ConversionsData,
}
