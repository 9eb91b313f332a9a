"""The Dagster names of dbt's models, seeds and tests: asset keys, groups and checks.

A dataset is `[domain, dataset]`, a model `[domain, layer, model]`: a raw dataset and a mart may
share a name, as `coupon_info` does.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from orchestration.transform.graph import domain_of, domains, layer_of, needed_by

Props = Mapping[str, Any]


class Translator(DagsterDbtTranslator):
    """Names the nodes of one manifest."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        super().__init__()
        self._manifest = manifest
        self._needed = [needed_by(manifest, domain) for domain in domains(manifest)]

    def get_asset_key(self, dbt_resource_props: Props) -> dg.AssetKey:
        """The key of a dataset, model or seed."""
        return asset_key(self._manifest, dbt_resource_props["unique_id"])

    def get_group_name(self, dbt_resource_props: Props) -> str | None:
        """The layer."""
        return layer_of(self._manifest, dbt_resource_props["unique_id"])

    def get_tags(self, dbt_resource_props: Props) -> Mapping[str, str]:
        """The domain, for filtering in the UI."""
        return {"domain": domain_of(self._manifest, dbt_resource_props["unique_id"])}

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Props,
        unique_id: str,
        project: DbtProject | None,  # noqa: ARG002
    ) -> dg.AssetCheckSpec | None:
        """The check of a test, on the model that it tests; a singular test has one, too.

        It blocks unless it is a warning, or reads models of several domains: a run of one domain
        leaves it out.
        """
        if self.get_asset_key(manifest["nodes"][checked_node(manifest, unique_id)]) != (
            asset_spec.key
        ):
            return None
        test = manifest["nodes"][unique_id]
        parents = manifest["parent_map"][unique_id]
        others = [asset_key(manifest, parent) for parent in parents]
        is_error = test["config"]["severity"].lower() == "error"
        return dg.AssetCheckSpec(
            name=test["name"],
            asset=asset_spec.key,
            description=test.get("description") or None,
            additional_deps=sorted({key for key in others if key != asset_spec.key}),
            blocking=is_error and any(needed.issuperset(parents) for needed in self._needed),
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
