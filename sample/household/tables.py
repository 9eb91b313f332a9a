"""The retailer as Arrow tables with the columns of the eight files.

Belongs here: names, types and order of columns, and the order of rows. Does not belong here:
values, which the other modules make, causal_data (`support`), and how files are written
(`sample.files`).
"""

import numpy as np
import pyarrow as pa

from sample.household.campaigns import CAMPAIGNS
from sample.household.catalogue import Catalogue
from sample.household.chance import Ints
from sample.household.prices import Lines
from sample.household.traits import DEMOGRAPHICS, Traits, demographic_names

TRANSACTION_SCHEMA = pa.schema(
    [
        ("household_key", pa.int64()),
        ("BASKET_ID", pa.int64()),
        ("DAY", pa.int64()),
        ("PRODUCT_ID", pa.int64()),
        ("QUANTITY", pa.int64()),
        ("SALES_VALUE", pa.float64()),
        ("STORE_ID", pa.int64()),
        ("RETAIL_DISC", pa.float64()),
        ("TRANS_TIME", pa.int64()),
        ("WEEK_NO", pa.int64()),
        ("COUPON_DISC", pa.float64()),
        ("COUPON_MATCH_DISC", pa.float64()),
    ]
)


def transactions(catalogue: Catalogue, lines: Lines) -> pa.Table:
    """Rows of transaction_data, in the order of the lines."""
    columns = [
        lines.household_key,
        lines.basket_id,
        lines.day,
        catalogue.product_id[lines.product],
        lines.quantity,
        lines.sales / 100,
        lines.store_id,
        lines.retail_disc / 100,
        lines.trans_time,
        lines.week,
        lines.coupon_disc / 100,
        lines.coupon_match_disc / 100,
    ]
    return pa.table([pa.array(column) for column in columns], schema=TRANSACTION_SCHEMA)


def products(catalogue: Catalogue) -> pa.Table:
    """Rows of product, by id."""
    return pa.table(
        {
            "PRODUCT_ID": catalogue.product_id,
            "MANUFACTURER": catalogue.manufacturer,
            "DEPARTMENT": _texts(catalogue.commodity, catalogue.department_names),
            "BRAND": _texts(catalogue.is_own_brand.astype(np.int64), ["National", "Private"]),
            "COMMODITY_DESC": _texts(catalogue.commodity, catalogue.commodity_names),
            "SUB_COMMODITY_DESC": _texts(catalogue.sub_commodity, catalogue.sub_commodity_names),
            "CURR_SIZE_OF_PRODUCT": _texts(catalogue.size, catalogue.size_names),
        }
    )


def demographics(traits: list[Traits], households: Ints) -> pa.Table:
    """Rows of hh_demographic for the households given, by household."""
    keys = np.concatenate([part.key for part in traits])
    known = np.concatenate([part.has_demographics for part in traits]) & np.isin(keys, households)
    codes = np.concatenate([part.demographics for part in traits])[known]
    columns = {
        name: _texts(codes[:, position], list(demographic_names(position)))
        for position, name in enumerate(DEMOGRAPHICS)
    }
    return pa.table({**columns, "household_key": keys[known]})


def campaign_table(sent: Ints) -> pa.Table:
    """Rows of campaign_table, by campaign and household."""
    sent = sent[np.lexsort((sent[:, 1], sent[:, 0]))]
    return pa.table(
        {
            "DESCRIPTION": _texts(sent[:, 0], [plan.kind for plan in CAMPAIGNS]),
            "household_key": sent[:, 1],
            "CAMPAIGN": np.array([plan.campaign for plan in CAMPAIGNS])[sent[:, 0]],
        }
    )


def campaign_desc() -> pa.Table:
    """Rows of campaign_desc, the latest campaign first."""
    plans = sorted(CAMPAIGNS, key=lambda plan: (-plan.start, plan.campaign))
    return pa.table(
        {
            "DESCRIPTION": [plan.kind for plan in plans],
            "CAMPAIGN": [plan.campaign for plan in plans],
            "START_DAY": [plan.start for plan in plans],
            "END_DAY": [plan.end for plan in plans],
        }
    )


def coupons(rows: Ints) -> pa.Table:
    """Rows of coupon from columns coupon, product id, campaign."""
    names = ("COUPON_UPC", "PRODUCT_ID", "CAMPAIGN")
    return pa.table({name: rows[:, place] for place, name in enumerate(names)})


def coupon_redemptions(redeemed: Ints) -> pa.Table:
    """Rows of coupon_redempt, by household, day and coupon."""
    redeemed = redeemed[np.lexsort(redeemed.T[[3, 2, 1, 0]])]
    names = ("household_key", "DAY", "COUPON_UPC", "CAMPAIGN")
    return pa.table({name: redeemed[:, place] for place, name in enumerate(names)})


def _texts(codes: Ints, names: list[str]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32))
    return pa.DictionaryArray.from_arrays(indices, names).dictionary_decode()
