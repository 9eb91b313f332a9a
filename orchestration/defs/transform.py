"""dbt's models and seeds as assets, its tests as their checks.

`orchestration.build` does the build.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration.build import BuildReport, loaded_domains, stream_build
from orchestration.defs.glance import Glance, glance_at
from orchestration.defs.resources import POOL, RESOURCE_KEYS, final, masked_errors
from orchestration.defs.translator import Translator, asset_key, check_key
from orchestration.transform.dbt import NodeEnded
from orchestration.transform.errors import BuildError
from orchestration.transform.graph import domains as all_domains
from orchestration.transform.graph import served_tables
from orchestration.transform.manifest import check_manifest
from orchestration.transform.record import read_record
from pollux.runtime.settings import Settings
from pollux.runtime.spark import running_spark

Event = dg.Output[None] | dg.AssetMaterialization | dg.AssetCheckResult | dg.AssetCheckEvaluation


def build_transform_definitions(
    manifest: dict[str, Any], retries: dg.RetryPolicy | None
) -> dg.Definitions:
    """The assets of a dbt project."""

    @dbt_assets(
        manifest=manifest,
        # Marts and all they are built from; the small retailer's seeds are for development only.
        select="+tag:marts",
        name="dbt",
        dagster_dbt_translator=Translator(manifest),
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def models(context: dg.AssetExecutionContext) -> Iterator[Event]:
        with masked_errors():
            yield from _build(context, manifest)

    return dg.Definitions(assets=[models])


def domains_to_build(
    manifest: Mapping[str, Any], selected: Set[dg.AssetKey], loaded: Sequence[str]
) -> list[str]:
    """The domains to build for a selection, of those for which something has been loaded.

    A domain is built as a whole, since a release takes only marts of one build: a model selects
    its domain, a seed all domains. If marts are selected, they alone count, since a domain may use
    another's staging models. Raises `BuildError` if nothing has been loaded for any of them.
    """
    known = all_domains(manifest)
    marts = {key.path[0] for key in selected if "marts" in key.path[1:2]}
    named = {key.path[0] for key in selected if key.path[0] in known}
    wanted = marts or named or known
    found = [domain for domain in known if domain in loaded and domain in wanted]
    if not found:
        raise BuildError("Nothing has been loaded: drop files into the inbox, or pollux load.")
    return found


def _build(context: dg.AssetExecutionContext, manifest: dict[str, Any]) -> Iterator[Event]:
    settings: Settings = context.resources.settings
    reporter = context.resources.reporter
    try:
        check_manifest(settings)
        domains = domains_to_build(manifest, context.selected_asset_keys, loaded_domains(settings))
    except BuildError as error:
        reporter.refused(error)
        raise final(context, str(error)) from error
    try:
        nodes = _Nodes(context, manifest)
        with reporter.step("build") as step:
            building = stream_build(settings, domains)
            while True:
                try:
                    node = next(building)
                except StopIteration as ended:
                    report: BuildReport = ended.value
                    break
                step.count(node.name, node.done, node.total)
                yield from nodes.ended(node)
            step.result = report.describe(settings)
            step.has_failed = bool(report.failed)
        reporter.built(report)
        yield from nodes.passed(settings, report.passed)
    except Exception as error:
        reporter.refused(error)
        raise
    if report.failed:
        raise final(context, f"Not released: {', '.join(report.failed)}.\n{report.message}")


class _Nodes:
    """Turns dbt's nodes into Dagster events; holds marts back until their domain has passed."""

    def __init__(self, context: dg.AssetExecutionContext, manifest: dict[str, Any]) -> None:
        self._manifest = manifest
        self._selected = context.selected_asset_keys
        self._selected_checks = context.selected_asset_check_keys
        self._marts: dict[str, NodeEnded] = {}

    def ended(self, node: NodeEnded) -> Iterator[Event]:
        """The events that a node yields as soon as it ends."""
        if node.unique_id.startswith("test."):
            yield self._check(node)
        elif node.status == "success":
            key = asset_key(self._manifest, node.unique_id)
            if "marts" in key.path[1:2]:
                self._marts[node.unique_id] = node
            else:
                yield self._asset(key, _seconds(node))

    def passed(self, settings: Settings, domains: Sequence[str]) -> Iterator[Event]:
        """The marts of domains that passed every test, which may then be released."""
        for domain in domains:
            record = read_record(settings, domain)
            assert record is not None  # noqa: S101
            tables = served_tables(self._manifest, domain)
            found = glance_at(settings, record.invocation_id, tables)
            engine = _engine(settings)
            for unique_id, node in self._marts.items():
                key = asset_key(self._manifest, unique_id)
                if key.path[0] == domain:
                    seen = _glance(found.get(key.path[-1]))
                    yield self._asset(key, _seconds(node) | seen | engine)

    def _asset(self, key: dg.AssetKey, metadata: dict[str, Any]) -> Event:
        if key in self._selected:
            return dg.Output(None, output_name=key.to_python_identifier(), metadata=metadata)
        return dg.AssetMaterialization(key, metadata=metadata)

    def _check(self, node: NodeEnded) -> Event:
        key = check_key(self._manifest, node.unique_id)
        is_warning = node.status == "warn"
        severity = dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR
        passed = node.status == "pass"
        metadata = {"failing rows": node.failures, **_seconds(node)}
        if key in self._selected_checks:
            return dg.AssetCheckResult(
                passed=passed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=severity,
                metadata=metadata,
            )
        return dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=passed,
            metadata={name: dg.MetadataValue.float(float(v)) for name, v in metadata.items()},
            severity=severity,
        )


def _seconds(node: NodeEnded) -> dict[str, Any]:
    return {"seconds": round(node.seconds, 3)}


def _engine(settings: Settings) -> dict[str, Any]:
    """Where Spark's page and logs are, if the installation's own server built the marts."""
    server = running_spark(settings) if settings.engine == "spark" else None
    if server is None or server.page is None:
        return {}
    return {
        "Spark's executors": dg.MetadataValue.url(f"{server.page}/executors/"),
        "Spark's log": dg.MetadataValue.path(str(server.logs)),
    }


def _glance(found: Glance | None) -> dict[str, Any]:
    if found is None:
        return {}
    records = [
        dg.TableRecord(
            {c: "" if v is None else str(v) for c, v in zip(found.columns, row, strict=True)}
        )
        for row in found.first
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in found.columns])
    return {
        "dagster/row_count": found.rows,
        "sample": dg.MetadataValue.table(records=records, schema=schema),
    }
