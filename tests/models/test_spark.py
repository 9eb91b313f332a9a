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
from tests.support.projects import copy_project, write_files
from tests.support.spark import run_dbt_on_spark

pytestmark = [pytest.mark.integration, pytest.mark.spark]

# Models with a window over all rows of what is small.
GATHERED = {
    "conversions": "a row per promotion, kind and initial",
    "hh_summary": "a row per thousand numbers of households",
    "int_baskets_with_commodities": "a row per commodity",
    "voucher_assignment_segmented": "a row per day",
}
BROKEN = {
    "models/marts/store/broken.sql": """
        select cast(a as bigint) as a, cast(b as integer) as b
        from (values (1, 1), (2, null), (2, 2), (3, null)) as given(a, b)
        """,
    "models/marts/store/broken.yml": """
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


@pytest.mark.endurance
def test_nothing_gathers_all_rows_in_one_task(build: Build) -> None:
    """An exchange to one partition is of what was aggregated, a row per task, or has a reason."""
    # A small server has one partition, which would need no such exchange.
    build.session.conf.set("spark.sql.shuffle.partitions", "8")
    plans = {
        node["name"]: build.session.sql(
            f"explain {build.results[unique_id]['compiled_code']}"
        ).collect()[0][0]
        for unique_id, node in build.manifest["nodes"].items()
        if node["resource_type"] == "model"
    }
    assert len(plans) > 100
    assert [name for name, plan in plans.items() if "CartesianProduct" in plan] == []
    assert {name for name, plan in plans.items() if gathers(plan)} == GATHERED.keys()


def gathers(plan: str) -> bool:
    """Whether a plan has rows in one partition, other than one aggregate of each task."""
    below = re.findall(r"Exchange SinglePartition.*\n.*?(\w+)\b(.*)", plan)
    return any(
        not (operator.endswith("Aggregate") and "keys=[]" in rest) for operator, rest in below
    )


def test_rows_that_break_a_constraint_fail_the_build(
    spark_server: SparkServer, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
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
