"""The exposures list the marts that the code reads, and every model has an owner."""

import inspect
import re
from collections.abc import Iterable
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml

import pollux.enrichment
from orchestration.learn.propensity import history
from orchestration.learn.recommend import land
from pollux.domains import DOMAINS
from pollux.runtime import live
from services.api import customer, household, loyalty, store
from services.api.queries import Mart
from tests.conftest import PROJECT_DIR

RAW = re.compile(r"\{(?:release|schema)\}\.(\w+)")
REF = re.compile(r"ref\('(\w+)'\)")
SOURCE = re.compile(r"source\('(\w+)', '(\w+)'\)")


def read_yaml(path: str) -> Any:
    return yaml.safe_load((PROJECT_DIR / path).read_text())


def exposure(name: str) -> dict[str, Any]:
    (found,) = (
        one for one in read_yaml("models/_exposures.yml")["exposures"] if one["name"] == name
    )
    return found


def refs(name: str) -> list[str]:
    return [REF.fullmatch(line).group(1) for line in exposure(name)["depends_on"]]


def named_in_sql(folder: str) -> set[str]:
    """Tables of a release that SQL in the code of a folder names."""
    texts = (path.read_text() for path in (PROJECT_DIR / folder).rglob("*.py"))
    found = {
        table for text in texts for table in RAW.findall(text.replace("{{", "{").replace("}}", "}"))
    }
    # Who has live rows is in none of the models.
    return found - {live.CUSTOMERS}


def of_api() -> set[str]:
    repositories = (domain.repository for domain in (household, customer, store, loyalty))
    declared = {
        value.table
        for repository in repositories
        for value in vars(repository).values()
        if isinstance(value, Mart)
    }
    return declared | named_in_sql("services/api")


def of_gateway() -> set[str]:
    enrichments = (
        value.table
        for value in vars(pollux.enrichment).values()
        if inspect.isclass(value) and isinstance(getattr(value, "table", None), str)
    )
    return {domain.table for domain in DOMAINS.values()} | set(enrichments)


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("rest_api", of_api()),
        ("event_service", named_in_sql("services/events")),
        ("python_gateway", of_gateway()),
        ("coupon_scorer", {model for _, model, _ in history.TABLES.values()}),
    ],
)
def test_exposure_names_what_the_code_reads(name: str, tables: Iterable[str]) -> None:
    assert len(set(tables)) > 3
    assert refs(name) == sorted(tables)


def test_recommender_names_the_datasets_it_learns_from(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = MagicMock()
    datasets.__getitem__.return_value.fingerprint = ""
    monkeypatch.setattr(land.landing, "dataset_fingerprint", lambda *_: "")
    monkeypatch.setattr(land, "compile_for_duckdb", lambda _settings: {})
    monkeypatch.setattr(land, "_rule", lambda _manifest: "")
    land._made_from(MagicMock(), datasets)
    read = {call.args[0] for call in datasets.__getitem__.call_args_list}
    listed = [SOURCE.fullmatch(line).groups() for line in exposure("recommender")["depends_on"]]
    assert listed == sorted(key for key in read if key[0] != "learned")


def test_every_folder_of_models_has_an_owner() -> None:
    """A staging folder belongs to the domain of its source; what feeds another, to that one."""
    groups = {group["name"] for group in read_yaml("models/_groups.yml")["groups"]}
    configured = read_yaml("dbt_project.yml")["models"]["pollux"]
    for layer in ("staging", "intermediate", "marts"):
        for folder in sorted((PROJECT_DIR / "models" / layer).iterdir()):
            config = configured[layer][folder.name]
            domain = folder.name
            if layer == "staging":
                ((_, source),) = [
                    (path, source)
                    for path in folder.glob("_*__sources.yml")
                    for source in yaml.safe_load(path.read_text())["sources"]
                ]
                domain = source["name"]
            if domain == "events":
                feeds = {t["name"]: t["config"]["meta"]["load"]["feeds"] for t in source["tables"]}
                for model in folder.glob("*.sql"):
                    (fed,) = feeds[model.stem.partition("__")[2]]
                    assert config[model.stem]["+group"] == fed
            else:
                expected = {"learned": "household"}.get(domain, domain)
                assert config["+group"] == expected
                assert expected in groups
