"""Code that application developers write: from one customer to classes of their own."""

import logging
from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest

from pollux import Cohort, Customer, EnrichmentData, registry
from pollux.runtime.settings import Settings
from tests.support.releases import (
    BROADBAND,
    many_accounts,
    small_installation,
    write_release,
)

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return small_installation(tmp_path, monkeypatch)


@pytest.fixture
def own_registry() -> Iterator[None]:
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


class BroadBandData(EnrichmentData):
    def query_data(self, customer_ids=None):  # noqa: ARG002
        log.warning("Loading broadband data, this might take several minutes")
        self.broadband_data = self.cohort.read_table("customer_broadband").to_pandas()
        self.broadband_data["account_number"] = self.broadband_data.account_number.astype("str")
        self.customer_ids = list(self.broadband_data.account_number.unique())
        self.grouped_data = {  # noqa: C416
            customer_id: group
            for customer_id, group in self.broadband_data.groupby("account_number")
        }
        log.warning("Broadband Data loading complete")

    def update_cohort(self, cohort):
        """Decides how to update the customers with the pulled data"""
        empty_frame = pd.DataFrame(columns=self.broadband_data.columns)
        for cus in cohort:
            if cus.customer_id in self.grouped_data:
                cus.broadband_data = self.grouped_data[cus.customer_id]
            else:
                cus.broadband_data = empty_frame


def test_individual_customer() -> None:
    customer = Customer.from_id("9693465")  # Customer ids are strings
    assert customer.first_service_live_date == date(2022, 1, 8)
    assert repr(customer.first_service_live_date) == "datetime.date(2022, 1, 8)"


def test_more_than_two_million_customers(small: Settings) -> None:
    write_release(small, "customer", 2, {"customers": many_accounts(2_000_001)})
    customer_base = Cohort.init_all_customers()
    assert len(customer_base) > 2e6

    sample_cohort = Cohort.init_sample()
    assert len(sample_cohort) == 1000
    assert all(customer in customer_base for customer in sample_cohort)

    def post_2021_customers(customer):
        return customer.sign_up_date >= date(2021, 1, 1)

    post_2021_cohort = customer_base.generate_cohort(post_2021_customers)
    assert 0 < len(post_2021_cohort) < len(customer_base)
    assert min(customer.sign_up_date for customer in post_2021_cohort) == date(2021, 1, 1)


def test_enrichment_by_its_registered_name() -> None:
    cohort = Cohort.init_all_customers()
    cohort.update_customers("broadband")
    lines = {customer.customer_id: len(customer.broadband_data) for customer in cohort}
    assert lines == {"1000001": 0, "1000002": 1, "1000003": 0, "9693465": 2}


def test_enrichment_of_the_example_with_an_own_registry() -> None:
    cohort = Cohort.init_all_customers()
    cohort.update_customers("broadband", registry={"broadband": BroadBandData})
    first, second, third, fourth = (customer.broadband_data for customer in cohort)
    assert first.empty
    assert list(third.columns) == BROADBAND.column_names
    assert list(second.package) == ["Slow"]
    assert list(fourth.service_number) == [11, 13]


def test_further_enrichment_is_registered(own_registry: None) -> None:
    class MyEnrichment(EnrichmentData):
        def query_data(self):
            self.running = set(
                self.cohort.read_table("customer_broadband")
                .to_pandas()
                .query("is_running")
                .account_number.astype(str)
            )

        def update_cohort(self, cohort):
            for customer in cohort:
                customer.has_broadband = customer.customer_id in self.running

    registry["my_enrichment"] = MyEnrichment
    cohort = Cohort.init_all_customers()
    cohort.update_customers("my_enrichment", registry=registry)
    assert [customer.has_broadband for customer in cohort] == [False, False, False, True]
    online = cohort.generate_cohort(lambda customer: customer.has_broadband)
    assert online.ids == ["9693465"]
