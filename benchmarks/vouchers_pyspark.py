"""The voucher rules in PySpark, on two local cores; run in a process of its own.

`bench_customer` compares the models with it. It takes the folder of landed assignments and one to
write to, and prints the seconds of each repetition as JSON, without the session's start.
"""

import json
import sys
import time
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name that everyone knows it by

REPETITIONS = 3
FREQUENCY = [(0, 4, "0-4"), (5, 13, "5-13"), (14, 37, "14-37")]
RECENCY = [(30, 60, "30-60"), (61, 90, "61-90"), (91, 120, "91-120"), (121, 180, "121-180")]


def segmented(raw: DataFrame) -> DataFrame:
    """The rows that count, with their segments."""
    orders = F.when(F.col("total_orders").rlike(r"^[0-9]{1,9}(\.0*)?$"), F.col("total_orders"))
    whole = orders.cast("double").cast("int")
    kept = (
        raw.dropDuplicates()
        .withColumn("total_orders", whole)
        .where("total_orders > 0 and first_order_ts <= last_order_ts")
        .where("last_order_ts <= timestamp")
    )
    seconds = F.unix_micros("timestamp") - F.unix_micros("last_order_ts")
    days = F.floor(seconds / F.lit(86_400_000_000))
    return kept.withColumn(
        "frequency_segment", _segment(F.col("total_orders"), FREQUENCY)
    ).withColumn("recency_segment", _segment(days, RECENCY, beyond="180+"))


def most_used(rows: DataFrame, *keys: str) -> DataFrame:
    """Per key the voucher used most, a tie going to the larger amount."""
    for key in (*keys, "voucher_amount"):
        rows = rows.where(F.col(key).isNotNull())
    counted = rows.groupBy(*keys, "voucher_amount").agg(F.count("*").alias("times_used"))
    best = Window.partitionBy(*keys).orderBy(F.desc("times_used"), F.desc("voucher_amount"))
    total = F.sum("times_used").over(Window.partitionBy(*keys))
    return (
        counted.withColumn("share", F.col("times_used") / total)
        .withColumn("rank", F.row_number().over(best))
        .where("rank = 1")
    )


def _segment(
    value: Column, bounds: list[tuple[int, int, str]], beyond: str | None = None
) -> Column:
    chain: Column | None = None
    for first, last, name in bounds:
        condition = value.between(first, last)
        chain = F.when(condition, name) if chain is None else chain.when(condition, name)
    if chain is None:
        raise ValueError("a segment has bounds")
    return chain if beyond is None else chain.when(value > bounds[-1][1], beyond)


def main(landing: str, out: str) -> None:
    """Runs the pipeline several times in one session."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        # One per core; the default of 200 would only slow it down.
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        raw = spark.read.parquet(f"{landing}/*.parquet")
        segmented(raw).write.mode("overwrite").parquet(f"{out}/segmented")
        rows = spark.read.parquet(f"{out}/segmented")
        for name, keys in {
            "frequency": ("country_code", "frequency_segment"),
            "recency": ("country_code", "recency_segment"),
            "country": ("country_code",),
        }.items():
            most_used(rows, *keys).write.mode("overwrite").parquet(f"{out}/{name}")
        seconds.append(time.perf_counter() - started)
    found = {
        name: spark.read.parquet(f"{out}/{name}").count()
        for name in ("segmented", "frequency", "recency", "country")
    }
    spark.stop()
    sys.stdout.write(json.dumps({"seconds": seconds, "rows": found}) + "\n")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()), str(Path(sys.argv[2]).resolve()))
