"""The models on Spark, from the seeds: all build and pass, none gathers its rows in one task."""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pollux.runtime.spark_connect import SparkServer, spark_session
from tests.support.projects import copy_domains, write_files
from tests.support.spark import run_dbt_on_spark

pytestmark = [pytest.mark.integration, pytest.mark.spark]

# Models with a window over all rows of what is small.
GATHERED = {
    "conversions": "a row per promotion, kind and initial",
    "int_baskets_with_commodities": "a row per commodity",
    "int_days_completed": "a row per day",
    "int_summaries_numbered": "a row per thousand numbers of households",
    "voucher_assignment_segmented": "a row per day",
}
# Models that join each row with each of what is small; of views, also the models that read them.
LOOPED = {
    "campaign_segments": "one row: the data's first and last day",
    "campaign_summary": "one row: the data's first and last day",
    "commodity_associations": "one row: totals",
    "coupon_offers": "a row per department; one row: totals",
    "household_cleaning_report": "one row: the window's days",
    "household_rfm": "one row: the window's days; a row per period: bounds of fifths",
    "int_campaign_targets_measured": "one row: the data's first and last day",
    "int_campaigns_clipped": "one row: the data's first and last day",
    "int_days_completed": "one row each: the data's days, the last live day",
    "int_households_measured_by_period": "a row per period of four weeks",
    "int_households_scored_frequency": "one row: bounds of fifths",
    "int_households_scored_monetary": "one row: bounds of fifths",
    "int_households_scored_recency": "one row: the window's days",
    "int_product_stores_compared": "a row per week",
    "int_product_weeks_promoted": "a row per week",
    "int_transactions_in_scope": "one row: the window's days",
    "int_transactions_judged": "one row: the window's days",
    "int_window_chosen": "one row: the last day of live answers",
    "promotion_effect": "a row per week",
    "segment_cells": "one row: totals",
    "segment_moves": "one row: the first period",
    "segment_sizes": "a row per segment; one row: the last period",
}
BROKEN = {
    "models/marts/loyalty/broken.sql": """
        select cast(a as bigint) as a, cast(b as integer) as b
        from (values (1, 1), (2, null), (2, 2), (3, null)) as given(a, b)
        """,
    "models/marts/loyalty/broken.yml": """
        version: 2
        models:
          - name: broken
            description: One row per a, which it is not.
            config: {meta: {serving: {indexes: []}}}
            constraints: [{type: primary_key, columns: [a]}]
            columns:
              - {name: a, data_type: bigint, description: Which.}
              - {name: b, data_type: integer, description: What., constraints: [type: not_null]}
        """,
}


@dataclass(frozen=True)
class Build:
    """A build of the seeds: a session that sees its tables, results of nodes, the manifest."""

    session: Any
    results: dict[str, dict[str, Any]]
    manifest: dict[str, Any]


@pytest.fixture(scope="module")
def build(spark_server: SparkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    artifacts = tmp_path_factory.mktemp("seeds")
    done = run_dbt_on_spark(spark_server, artifacts, "build", "--target", "dev_spark")
    assert done.returncode in {0, 1}, done.stdout[-3000:]
    results = json.loads((artifacts / "run_results.json").read_text())["results"]
    with spark_session(spark_server) as session:
        yield Build(
            session=session,
            results={result["unique_id"]: result for result in results},
            manifest=json.loads((artifacts / "manifest.json").read_text()),
        )


@pytest.mark.endurance
def test_seeds_build_with_every_test(build: Build) -> None:
    kinds = {unique_id.partition(".")[0] for unique_id in build.results}
    assert kinds >= {"seed", "model", "test", "unit_test"}
    failed = {
        unique_id: result["message"]
        for unique_id, result in build.results.items()
        if result["status"] not in {"success", "pass", "no-op"}
    }
    assert failed == {}


@pytest.fixture(scope="module")
def plans(build: Build) -> dict[str, str]:
    """The physical plan of every model, by name."""
    # A small server has one partition, which would need no exchange to one.
    build.session.conf.set("spark.sql.shuffle.partitions", "8")
    found = {
        node["name"]: build.session.sql(
            f"explain {build.results[unique_id]['compiled_code']}"
        ).collect()[0][0]
        for unique_id, node in build.manifest["nodes"].items()
        if node["resource_type"] == "model"
    }
    assert len(found) > 100
    return found


@pytest.mark.endurance
def test_nothing_gathers_all_rows_in_one_task(plans: dict[str, str]) -> None:
    """An exchange to one partition is of what was aggregated, a row per task, or has a reason."""
    assert {name for name, plan in plans.items() if gathers(plan)} == GATHERED.keys()


@pytest.mark.endurance
def test_nothing_is_joined_each_with_each(plans: dict[str, str]) -> None:
    """A product or a nested loop is with what is small however much data there is."""
    assert [name for name, plan in plans.items() if "CartesianProduct" in plan] == []
    looped = {name for name, plan in plans.items() if "BroadcastNestedLoopJoin" in plan}
    assert looped == LOOPED.keys()


def gathers(plan: str) -> bool:
    """Whether a plan has rows in one partition, other than one aggregate of each task."""
    below = re.findall(r"Exchange SinglePartition.*\n.*?(\w+)\b(.*)", plan)
    return any(
        not (operator.endswith("Aggregate") and "keys=[]" in rest) for operator, rest in below
    )


def test_rows_that_break_a_constraint_fail_the_build(
    spark_server: SparkServer, tmp_path: Path
) -> None:
    project = copy_domains(tmp_path / "project", "loyalty")
    write_files(project, {path: textwrap.dedent(text) for path, text in BROKEN.items()})
    done = run_dbt_on_spark(
        spark_server,
        tmp_path / "target",
        *("build", "--target", "dev_spark", "--select", "broken"),
        project=project,
    )
    assert done.returncode == 1
    assert (
        "dev_marts.broken breaks its constraints: primary key (a) is null or repeated in 1 rows; "
        "b is null in 2 rows"
    ) in done.stdout
