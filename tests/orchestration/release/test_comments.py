"""The YAML's descriptions of a mart and its columns become comments in the serving database."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.release import registry
from orchestration.release.tables import write_tables
from orchestration.release.views import remake_views
from orchestration.transform.graph import ServedTable
from pollux.contracts import read_contracts
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.marts import declared_marts

pytestmark = pytest.mark.integration

DOMAINS = ("customer", "household", "loyalty", "store")
CONTRACTS = PROJECT_DIR / "services/common/contracts.json"
COMMENTS = """
select relname, obj_description(pg_class.oid, 'pg_class'), attname,
    col_description(pg_class.oid, attnum)
from pg_class
inner join pg_attribute on attrelid = pg_class.oid and attnum > 0
where relnamespace = %s::regnamespace and relkind = %s
"""


class NoRows:
    """Marts without rows: what is said of them does not hang on any."""

    def copy(self, *_: Any) -> int:
        return 0


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> ServingStore:
    """A serving database with a release of every domain, all empty."""
    store = open_serving_store(Settings(data_dir=short_tmp / "said"))
    with store.connect() as connection:
        registry.prepare_store(connection, store)
        for domain in DOMAINS:
            tables = [
                ServedTable(**vars(contract), schema="")
                for contract in read_contracts(CONTRACTS.read_bytes())
                if contract.domain == domain
            ]
            schema = registry.schema_of(domain, 1)
            counts = dict.fromkeys((table.name for table in tables), 0)
            reader = store.reader_role
            write_tables(connection, schema, tables, NoRows(), counts, reader, lambda _: None)
            connection.commit()
            remake_views(connection, domain, 1, store.reader_role)
    return store


def said(domain: str) -> dict[str, tuple[str, dict[str, str]]]:
    """What the YAML files say, by mart: of itself, and of each column."""
    found = {}
    for model in declared_marts(domain):
        columns = {c["name"]: " ".join(c["description"].split()) for c in model["columns"]}
        found[model["name"]] = (" ".join(model["description"].split()), columns)
    return found


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(("schema", "kind"), [("{}__r1", "r"), ("{}", "v")])
def test_every_released_mart_and_column_is_described(
    store: ServingStore, domain: str, schema: str, kind: str
) -> None:
    read: dict[str, tuple[str, dict[str, str]]] = {}
    with store.connect_reader() as reader:
        for table, comment, column, text in reader.execute(COMMENTS, [schema.format(domain), kind]):
            assert read.setdefault(table, (comment, {}))[0] == comment
            read[table][1][column] = text
    assert read
    assert read == said(domain)


def test_views_of_others_and_their_comments_are_left_alone(store: ServingStore) -> None:
    with store.connect() as connection:
        connection.execute("create view loyalty.mine as select 1 as one")
        connection.execute("comment on view loyalty.mine is 'mine'")
        remake_views(connection, "loyalty", 1, store.reader_role)
        found = connection.execute("select obj_description('loyalty.mine'::regclass)").fetchone()
        connection.execute("drop view loyalty.mine")
    assert found == ("mine",)


def test_release_without_descriptions_has_views_all_the_same(store: ServingStore) -> None:
    """One that was made before they were written."""
    with store.connect() as connection:
        connection.execute("create schema old__r1; create table old__r1.things (a integer)")
        remake_views(connection, "old", 1, store.reader_role)
        remake_views(connection, "old", 1, store.reader_role)
    with store.connect_reader() as reader:
        assert reader.execute("select count(*) from old.things").fetchone() == (0,)
