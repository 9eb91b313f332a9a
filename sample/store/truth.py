"""The true probability of each coupon use: the best that any model can reach.

Belongs here: what a test of a model may know and no file of the sample contains. How these
probabilities come about is in `coupon_use`.
"""

import pyarrow as pa

from sample.asked import check_scale_and_seed
from sample.store import tables
from sample.store.batches import make_batches
from sample.store.shop import make_shop


def true_probabilities(*, scale: float = 1.0, seed: int = 1) -> pa.Table:
    """The candidates of `generate_store`'s orders, with the probabilities of their draws.

    A row per order and coupon that is valid on the order's day in a department of the order's
    lines: order_id, coupon_id, probability (0 to 1, six places), used (whether the written files
    have lines of the order with the coupon). Some 1.2 million rows at scale 1, by both ids.

    Raises `SampleError` for a scale or seed out of range.
    """
    check_scale_and_seed(scale, seed)
    shop = make_shop(seed)
    return pa.concat_tables(tables.candidates(batch) for batch in make_batches(shop, scale))
