"""dbt's models, seeds and tests as Dagster knows them: asset keys, groups, specs and checks.

A dataset is `[domain, dataset]`, a model `[domain, layer, model]`: a raw dataset and a mart may
share a name, as `coupon_info` does. dagster-dbt would make such specs, too: it imports dbt and its
cloud for that, and parses the manifest again, in each process of Dagster.
"""

import hashlib
import textwrap
from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.transform.graph import domain_of, domains, layer_of, needed_by

Props = Mapping[str, Any]
# What Dagster's page shows before a model's SQL.
SQL_TITLE = "#### Raw SQL:"


def asset_specs(manifest: Props) -> list[dg.AssetSpec]:
    """The assets: all marts and what they are built from, by name.

    The small retailer's seeds are not among them: they are for development only.
    """
    return [_asset_spec(manifest, unique_id) for unique_id in sorted(_built(manifest))]


def check_specs(manifest: Props) -> list[dg.AssetCheckSpec]:
    """The checks of these assets, one per test; a singular test has one, too."""
    built = _built(manifest)
    needed = [needed_by(manifest, domain) for domain in domains(manifest)]
    tests = [unique_id for unique_id in manifest["nodes"] if unique_id.startswith("test.")]
    return [
        _check_spec(manifest, unique_id, needed)
        for unique_id in tests
        if checked_node(manifest, unique_id) in built
    ]


def _built(manifest: Props) -> set[str]:
    needed = set().union(*(needed_by(manifest, domain) for domain in domains(manifest)))
    return {unique_id for unique_id in needed if not unique_id.startswith("source.")}


def _asset_spec(manifest: Props, unique_id: str) -> dg.AssetSpec:
    node = manifest["nodes"][unique_id]
    code = node.get("raw_code") or ""
    columns = [
        dg.TableColumn(name, type=column["data_type"] or "?", description=column["description"])
        for name, column in node["columns"].items()
    ]
    engine = manifest["metadata"]["adapter_type"]
    table = [node["database"], node["schema"], node["alias"]]
    metadata: dict[str, Any] = {
        "dagster/table_name": ".".join(filter(None, table)),
        "dagster/storage_kind": engine,
        "dagster-dbt/materialization_type": node["config"]["materialized"],
    }
    if columns:
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    sql = f"\n\n{SQL_TITLE}\n```sql\n{textwrap.indent(code, '    ')}\n```" if code else ""
    return dg.AssetSpec(
        asset_key(manifest, unique_id),
        deps=sorted(asset_key(manifest, parent) for parent in manifest["parent_map"][unique_id]),
        description=(node["description"] or node["name"]) + sql,
        group_name=layer_of(manifest, unique_id),
        tags={"domain": domain_of(manifest, unique_id)},
        kinds={"dbt", engine},
        # Without code, as a seed is, the file's own hash.
        code_version=hashlib.sha1(code.encode(), usedforsecurity=False).hexdigest()
        if code
        else node["checksum"]["checksum"],
        metadata=metadata,
        skippable=True,
    )


def _check_spec(manifest: Props, unique_id: str, needed: list[set[str]]) -> dg.AssetCheckSpec:
    """The check of a test, on the model that it tests.

    It blocks unless it is a warning, or reads models of several domains: a run of one domain
    leaves it out.
    """
    test = manifest["nodes"][unique_id]
    key = check_key(manifest, unique_id)
    parents = manifest["parent_map"][unique_id]
    others = {asset_key(manifest, parent) for parent in parents} - {key.asset_key}
    is_error = test["config"]["severity"].lower() == "error"
    return dg.AssetCheckSpec(
        name=key.name,
        asset=key.asset_key,
        description=test.get("description") or None,
        additional_deps=sorted(others),
        blocking=is_error and any(domain.issuperset(parents) for domain in needed),
    )


def asset_key(manifest: Props, unique_id: str) -> dg.AssetKey:
    """The key of a source, model or seed."""
    if unique_id.startswith("source."):
        return dg.AssetKey(unique_id.split(".")[2:])
    name = manifest["nodes"][unique_id]["name"]
    if unique_id.startswith("seed."):
        return dg.AssetKey([layer_of(manifest, unique_id), name])
    return dg.AssetKey([domain_of(manifest, unique_id), layer_of(manifest, unique_id), name])


def check_key(manifest: Props, unique_id: str) -> dg.AssetCheckKey:
    """The key of a test."""
    node = checked_node(manifest, unique_id)
    return dg.AssetCheckKey(asset_key(manifest, node), manifest["nodes"][unique_id]["name"])


def checked_node(manifest: Props, unique_id: str) -> str:
    """What a test checks: the model it is attached to, or the last of those it reads."""
    attached: str | None = manifest["nodes"][unique_id].get("attached_node")
    parents: list[str] = manifest["parent_map"][unique_id]
    return attached or max(parents, key=lambda parent: (_depth(manifest, parent), parent))


def _depth(manifest: Props, unique_id: str) -> int:
    parents = manifest["parent_map"].get(unique_id, [])
    return 1 + max((_depth(manifest, parent) for parent in parents), default=0)
