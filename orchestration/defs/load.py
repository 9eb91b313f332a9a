"""Landed datasets as assets: one step per domain loads the files in its inbox.

`orchestration.load.take` loads an inbox, `orchestration.load.run` a file.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.defs.resources import POOL, RESOURCE_KEYS, final, masked_errors
from orchestration.load import inbox, landing
from orchestration.load.counts import count_problems
from orchestration.load.declarations import LEARNED, Dataset, read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.run import FileReport
from orchestration.load.run import load as load_files
from orchestration.load.take import take_inbox
from pollux.runtime.settings import PROJECT_DIR, Settings

COUNTS_CHECK = "read_is_landed_and_rejected"
BY_DATE = "by_date"


def build_load_definitions(
    manifest: dict[str, Any], retries: dg.RetryPolicy | None
) -> dg.Definitions:
    """The landing datasets of all domains, and their files by date."""
    declared: dict[str, list[dict[str, Any]]] = {}
    for source in manifest["sources"].values():
        # Learned datasets and events are not loaded from files.
        if "files" in source["config"]["meta"].get("load", ()) and source["source_name"] != LEARNED:
            declared.setdefault(source["source_name"], []).append(source)
    assets = [_domain_assets(domain, declared[domain], retries) for domain in sorted(declared)]
    with warnings.catch_warnings():
        # Single-run backfills are beta in 1.13.
        warnings.simplefilter("ignore", dg.BetaWarning)
        by_date = [
            _by_date_asset(source, retries)
            for domain in sorted(declared)
            for source in declared[domain]
        ]
    return dg.Definitions(assets=[*assets, *by_date])


def _domain_assets(
    domain: str, sources: Sequence[dict[str, Any]], retries: dg.RetryPolicy | None
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"load_{domain}",
        specs=[_spec(source) for source in sources],
        check_specs=[
            dg.AssetCheckSpec(
                COUNTS_CHECK,
                asset=[domain, source["name"]],
                description="Rows read are rows landed and rows rejected, of every file.",
                blocking=True,
            )
            for source in sources
        ],
        can_subset=True,
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def _assets(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        with masked_errors():
            yield from _take_inbox(context, domain)

    return _assets


def _spec(source: dict[str, Any]) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(name, type=column["data_type"] or "text", description=column["description"])
        for name, column in source["columns"].items()
    ]
    load = source["config"]["meta"]["load"]
    return dg.AssetSpec(
        [source["source_name"], source["name"]],
        description=f"{source['description']}\n\nFiles: {', '.join(load['files'])}",
        group_name="landing",
        tags={"domain": source["source_name"]},
        kinds={"parquet"},
        skippable=True,
        metadata={"dagster/column_schema": dg.TableSchema(columns=columns)},
    )


def _by_date_asset(source: dict[str, Any], retries: dg.RetryPolicy | None) -> dg.AssetsDefinition:
    domain, name = source["source_name"], source["name"]

    @dg.asset(
        key=[domain, name, BY_DATE],
        description=f"The loaded files of {name} whose names hold a date. Materializing dates "
        "loads their files again, all or none; the domain's job then builds from them.",
        group_name=BY_DATE,
        tags={"domain": domain},
        partitions_def=partitions_of(domain, name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def _asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with masked_errors():
            return _load_again(context, domain, name)

    return _asset


def partitions_of(domain: str, dataset: str) -> dg.DynamicPartitionsDefinition:
    """The dates that loaded files of a dataset have in their names."""
    return dg.DynamicPartitionsDefinition(name=f"{domain}/{dataset}")


def _take_inbox(
    context: dg.AssetExecutionContext, domain: str
) -> Iterator[dg.MaterializeResult[None]]:
    """Loads the inbox file by file: a broken file is set aside, and fails the step at the end.

    Later steps need the outputs, not the step's success, so they go on with the good files. If
    there are none, the run ends here when it is of this domain alone.
    """
    settings: Settings = context.resources.settings
    every = {d.name: d for d in read_datasets(PROJECT_DIR).values() if d.domain == domain}
    selected = {key.path[-1] for key in context.selected_asset_keys}
    try:
        taken = take_inbox(settings, domain, lambda dataset: dataset.name in selected)
    except LandingError:
        raise
    except LoadError as error:
        raise final(context, str(error)) from error
    for note in taken.notes:
        context.log.warning(note)
    _enter_dates(context, domain, taken.files)
    if taken.files or not taken.broken or context.run.job_name != domain:
        ensure_empty_parts(settings, every.values())
        for name in sorted(selected):
            yield _result(settings, every[name], [f for f in taken.files if f.dataset == name])
    if taken.broken:
        raise final(context, "\n".join(taken.broken))


def _enter_dates(
    context: dg.AssetExecutionContext, domain: str, loaded: Sequence[FileReport]
) -> None:
    dates: dict[str, set[str]] = {}
    for file in loaded:
        day = inbox.file_date(Path(file.file).name)
        if day is not None:
            dates.setdefault(file.dataset, set()).add(day.isoformat())
    for dataset, days in dates.items():
        partitions = partitions_of(domain, dataset)
        assert partitions.name is not None  # noqa: S101
        context.instance.add_dynamic_partitions(partitions.name, sorted(days))


def _result(
    settings: Settings, dataset: Dataset, loaded: Sequence[FileReport]
) -> dg.MaterializeResult[None]:
    parts = landing.parts(settings, dataset)
    problems = count_problems(settings, dataset)
    return dg.MaterializeResult(
        asset_key=[dataset.domain, dataset.name],
        metadata={
            "dagster/row_count": sum(part.rows_landed for part in parts),
            "rejects": sum(part.rows_rejected for part in parts),
            "files": len(parts),
            "bytes": sum(part.path.stat().st_size for part in parts),
            "sample data": any(part.sample for part in parts),
            "files loaded now": ", ".join(f"{f.part} ({f.outcome})" for f in loaded) or "none",
            "rows read now": sum(file.rows_read for file in loaded),
            "seconds": round(sum(file.seconds for file in loaded), 3),
        },
        check_results=[
            dg.AssetCheckResult(
                asset_key=[dataset.domain, dataset.name],
                check_name=COUNTS_CHECK,
                passed=not problems,
                metadata={"problems": "\n".join(problems) or "none"},
            )
        ],
    )


def _load_again(
    context: dg.AssetExecutionContext, domain: str, name: str
) -> dg.MaterializeResult[None]:
    settings: Settings = context.resources.settings
    dataset = read_datasets(PROJECT_DIR)[domain, name]
    files = inbox.loaded_on(settings, dataset, context.partition_keys)
    if not files:
        raise final(
            context,
            f"No file of {name} with these dates is kept in "
            f"{settings.inbox_dir / inbox.LOADED / domain}.",
        )
    try:
        report = load_files(settings, domain=domain, from_=files, dataset=name)
    except LandingError:
        raise
    except LoadError as error:
        raise final(context, str(error)) from error
    return dg.MaterializeResult(
        metadata={
            "files": ", ".join(f"{file.part} ({file.outcome})" for file in report.files),
            "rows": sum(file.rows_landed for file in report.files),
            "rejects": sum(file.rows_rejected for file in report.files),
            "bytes": sum(file.bytes for file in report.files),
            "seconds": round(report.seconds, 3),
        }
    )
