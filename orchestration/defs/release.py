"""The release of each domain as an asset downstream of its marts.

`orchestration.release.publish` makes the release.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb
import psycopg
from pydantic import Field

from orchestration.chain import release_domain
from orchestration.defs.resources import FRESHNESS, POOL, RESOURCE_KEYS, final, masked_errors
from orchestration.defs.translator import asset_key
from orchestration.release.errors import ReleaseError, ShrinkingError
from orchestration.release.publish import ReleaseReport
from orchestration.transform.graph import domains, needed_by, served_tables
from pollux.runtime.settings import Settings

# Errors of the server or the disk, which may pass: the release is retried.
PASSING = (psycopg.Error, duckdb.Error, OSError)

SHRINKING_CHECK = "keeps_most_rows"


class ReleaseConfig(dg.Config):
    """The run configuration of a release."""

    accept_shrinking: bool = Field(
        False,
        description="Release even where a mart would be emptied or lose more than half of its "
        "rows.",
    )


def release_key(domain: str) -> dg.AssetKey:
    """The key of a domain's release."""
    return dg.AssetKey([domain, "release"])


def build_release_definitions(
    manifest: dict[str, Any], retries: dg.RetryPolicy | None
) -> dg.Definitions:
    """The releases of all domains."""
    return dg.Definitions(
        assets=[_release_asset(manifest, domain, retries) for domain in domains(manifest)]
    )


def _release_asset(
    manifest: dict[str, Any], domain: str, retries: dg.RetryPolicy | None
) -> dg.AssetsDefinition:
    served = {table.name for table in served_tables(manifest, domain)}

    @dg.asset(
        key=release_key(domain),
        deps=[
            asset_key(manifest, unique_id)
            for unique_id in sorted(needed_by(manifest, domain))
            if unique_id.startswith("model.")
            and manifest["nodes"][unique_id]["name"] in served
            and manifest["nodes"][unique_id]["fqn"][1:3] == ["marts", domain]
        ],
        group_name="release",
        description=f"What services read of {domain}: its marts, switched all at once after "
        "every test passed.",
        tags={"domain": domain},
        kinds={"postgres"},
        freshness_policy=FRESHNESS,
        required_resource_keys=RESOURCE_KEYS,
        check_specs=[
            dg.AssetCheckSpec(
                SHRINKING_CHECK,
                asset=release_key(domain),
                description="No mart would be emptied or lose more than half of what is served.",
            )
        ],
        retry_policy=retries,
        pool=POOL,
    )
    def _asset(
        context: dg.AssetExecutionContext, config: ReleaseConfig
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        try:
            with masked_errors():
                report = _release(context, domain, config)
        except ShrinkingError as error:
            yield dg.AssetCheckResult(
                passed=False, check_name=SHRINKING_CHECK, metadata={"marts": str(error)}
            )
            raise final(context, str(error)) from None
        yield dg.MaterializeResult(
            metadata=_metadata(context.resources.settings, report),
            check_results=[dg.AssetCheckResult(passed=True, check_name=SHRINKING_CHECK)],
        )

    return _asset


def _release(
    context: dg.AssetExecutionContext, domain: str, config: ReleaseConfig
) -> ReleaseReport:
    settings: Settings = context.resources.settings
    reporter = context.resources.reporter
    try:
        report = release_domain(
            settings, domain, reporter.step, accept_shrinking=config.accept_shrinking
        )
        reporter.released(report)
    except Exception as error:
        reporter.refused(error)
        if isinstance(error, ShrinkingError):
            raise
        if isinstance(error, ReleaseError) and not isinstance(error.__cause__, PASSING):
            raise final(context, str(error)) from error
        raise
    return report


def _metadata(settings: Settings, report: ReleaseReport) -> dict[str, Any]:
    folder = settings.releases_dir / report.domain / f"r{report.number}"
    return {
        "release": report.number,
        "is new": report.is_new,
        "dagster/row_count": report.rows,
        "tables": report.tables,
        "seconds": round(report.seconds, 3),
        "switch ms": round(report.switch_seconds * 1000, 1),
        "bytes as Parquet": sum(file.stat().st_size for file in folder.glob("*.parquet")),
        **({"notes": "\n".join(report.notes)} if report.notes else {}),
    }
