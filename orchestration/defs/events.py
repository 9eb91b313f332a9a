"""The event service's datasets as assets: each lands the rows that are new since the last time.

`orchestration.load.events` lands them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.chain import land_new_events
from orchestration.defs.resources import POOL, RESOURCE_KEYS, final, masked_errors
from orchestration.load import landing
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.event_datasets import EVENTS, event_datasets

if TYPE_CHECKING:
    from pollux.runtime.settings import Settings


def build_event_definitions(
    manifest: dict[str, Any], retries: dg.RetryPolicy | None
) -> dg.Definitions:
    """The datasets of the event service."""
    sources = [s for s in manifest["sources"].values() if s["source_name"] == EVENTS]

    @dg.multi_asset(
        name="land_events",
        specs=[_spec(source) for source in sources],
        # A domain's run lands only the datasets that feed it.
        can_subset=True,
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def _assets(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        with masked_errors():
            yield from _land(context)

    return dg.Definitions(assets=[_assets])


def _spec(source: dict[str, Any]) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(name, type=column["data_type"], description=column["description"])
        for name, column in source["columns"].items()
    ]
    return dg.AssetSpec(
        [EVENTS, source["name"]],
        description=f"{source['description']}\n\nFrom the event service's table of that name.",
        group_name=EVENTS,
        tags={"domain": EVENTS},
        kinds={"postgres", "parquet"},
        metadata={"dagster/column_schema": dg.TableSchema(columns=columns)},
    )


def _land(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    settings: Settings = context.resources.settings
    selected = {key.path[-1] for key in context.selected_asset_keys}
    datasets = [dataset for dataset in event_datasets() if dataset.name in selected]
    reporter = context.resources.reporter
    try:
        landed = land_new_events(settings, datasets, reporter.step)
    except Exception as error:
        reporter.refused(error)
        if isinstance(error, LoadError) and not isinstance(error, LandingError):
            raise final(context, str(error)) from error
        raise
    for dataset in datasets:
        parts = landing.parts(settings, dataset)
        yield dg.MaterializeResult(
            asset_key=[EVENTS, dataset.name],
            metadata={
                "dagster/row_count": sum(part.rows_landed for part in parts),
                "landed now": landed.get(dataset.name, 0),
                "bytes": sum(part.path.stat().st_size for part in parts),
            },
        )
