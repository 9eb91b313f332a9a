"""A subject is put into every place, found there, erased, and kept out; by another scan as well."""

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from orchestration.build import build
from orchestration.erase.columns import declared_columns
from orchestration.erase.export import export
from orchestration.erase.run import erase, look, read_all
from orchestration.erase.scan import scan
from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.events import land_events
from orchestration.load.run import load
from orchestration.release.publish import release
from pollux.runtime import erasures
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.subjects import Subject, read_subject
from tests.support.installations import Prepared
from tests.support.live_events import take_in

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

EMAIL = "erika.mustermann@canary.example"
SPELLED = "Erika.Mustermann@Canary.Example"
OTHER = f"x{EMAIL}"
# Of the sample, each in every mart of its domain; large enough to be no other number by chance.
COLUMNS = {
    "household": {"household_key"},
    "customer": {"customer_id"},
    "account": {"account_number", "referrers_account_number"},
    "member": {"email", "line"},
}


@pytest.fixture(scope="module")
def settings(prepared: Prepared, short_tmp: Path) -> Iterator[Settings]:
    """An installation of all domains, in whose club Erika is, by file and by event."""
    made = prepared.copy(prepared.everything(), short_tmp / "erase")
    raw = made.data_dir.parent / "raw"
    raw.mkdir()
    for name, line in (
        ("LoyaltyListMore.txt", "{},fb.erika,insta.erika,F"),
        ("PurchaseConversionMore.txt", "Hoodie,purchaseConversion,{},[6; 14;],9.45"),
    ):
        lines = [line.format(email) for email in (SPELLED, OTHER)]
        (raw / name).write_text("\n".join(lines) + "\n")
    load(made, domain="loyalty", from_=raw, sample=True)
    with open_serving_store(made).connect() as connection:
        fill_events(connection)
    build(made, ["loyalty"]).raise_if_failed()
    release(made, "loyalty")
    yield made
    EmbeddedPostgres(made.data_dir).stop()


def fill_events(connection: psycopg.Connection) -> None:
    for email in (EMAIL, OTHER):
        take_in(connection, "loyalty_list", [{"email": email, "gender": "F"}])
        take_in(connection, "conversions", [{"email": email}])
        connection.execute(
            "insert into events.members (email, joined_by) values (%s, 'list')", [email]
        )
        connection.execute(
            "insert into events.promo_codes values ('Hoodie', %s, gen_random_uuid())", [email]
        )
        payload = f'{{"email":"{email}","send_promo_code":true}}'.encode()
        for table, columns in (
            ("dead_letter", "kind, topic, payload, is_whole, reason"),
            ("outbox", "worker, topic, opening, closing, leased_until, answer_id"),
        ):
            values = (
                "'loyalty', 't', %s, true, 'r'"
                if table == "dead_letter"
                else "'w', 't', %s, '', now(), gen_random_uuid()"
            )
            connection.execute(
                f"insert into events.{table} (event_key, {columns}) "
                f"values (gen_random_uuid(), {values})",
                [payload],
            )


def fill_files(settings: Settings, subject: Subject, dataset: str, header: str) -> None:
    """A raw file that waits, one that was loaded, one that failed; a reject."""
    domain, name = dataset.split(".")
    declared = read_datasets(PROJECT_DIR)[domain, name]
    file = declared.files[0].replace("*", "")
    place = header.split(",").index(next(c.name for c in declared.columns if c.identifies))
    rows = [
        ",".join(one if at == place else "0" for at in range(len(header.split(","))))
        for one in (subject.id, "987654321")
    ]
    lines = [header, *rows] if declared.format == "csv" else rows
    text = "\n".join(lines).encode() + b"\n"
    for folder in (f"loaded/{domain}", domain, f"failed/{domain}"):
        target = settings.inbox_dir / folder
        target.mkdir(parents=True, exist_ok=True)
        stamp = "20261127T000000-" if folder.startswith("failed") else ""
        packed = folder.startswith("loaded")
        path = target / f"{stamp}{file}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text) if packed else text)
        # Long enough ago to be no longer written.
        os.utime(path, (1e9, 1e9))
    rejects = landing.rejects_path(settings, domain, name, "a")
    rejects.parent.mkdir(parents=True, exist_ok=True)
    with rejects.open("w", newline="") as sink:
        csv.writer(sink).writerows(
            [
                ("file", "line", "column", "reason", "raw"),
                ("a", 2, "x", "not a number", f'"{subject.id}",x'),
                ("a", 3, "x", "not a number", "y,x"),
            ]
        )


def rows_elsewhere(settings: Settings, subject: Subject) -> list[str]:
    """Files and tables in which the id is, looked at with other means than the program's."""
    found = []
    names = COLUMNS[subject.kind]

    def has(frame) -> bool:
        for column in names & {name.lower() for name in frame.columns}:
            values = frame[column].dropna()
            if subject.kind == "member":
                values = values[
                    values.astype(str).str.lower().str.contains(subject.id, regex=False)
                ]
                values = values[~values.astype(str).str.lower().str.contains(OTHER, regex=False)]
            elif values.dtype.kind in "ifO":
                values = values[values.astype(str).str.removesuffix(".0") == subject.id]
            if len(values):
                return True
        return False

    for kind, read in (("parquet", pq.read_table), ("arrow", feather.read_table)):
        found += [
            str(path)
            for path in settings.data_dir.rglob(f"*.{kind}")
            if not path.is_symlink() and has(read(path).to_pandas())
        ]
    with duckdb.connect(settings.warehouse_path) as engine:
        for schema, table in engine.execute(
            "select schema_name, table_name from duckdb_tables()"
        ).fetchall():
            if has(engine.sql(f'from "{schema}"."{table}"').df()):
                found.append(f"{schema}.{table}")
    if subject.kind == "member":
        folders = (settings.data_dir, find_serving_store(settings).embedded.home)
        for folder in folders:
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    content = path.read_bytes()
                    content = gzip.decompress(content) if path.suffix == ".gz" else content
                    content = content.lower().replace(OTHER.encode(), b"")
                    # Neither in the database's pages and log, nor in any other file.
                    if EMAIL.encode() in content:
                        found.append(str(path))
    return found


def subject_of(settings: Settings, kind: str) -> Subject:
    if kind == "member":
        return read_subject("member", SPELLED)
    query = {
        "household": "select max(household_key) from household__r1.hh_summary",
        "customer": "select max(customer_id) from events.decisions "
        "inner join store__r1.customer_info using (customer_id)",
        "account": "select max(referrers_account_number) from customer__r1.customers as c "
        "where exists (select from customer__r1.customer_cashback as b "
        "where b.account_number = c.referrers_account_number)",
    }[kind]
    with open_serving_store(settings).connect() as connection:
        ((number,),) = connection.execute(query).fetchall()
    return Subject(kind, str(number))


RAW = {
    "household": ("household.hh_demographic", "household_key"),
    "customer": ("store.orders", "order_id,customer_id,ordered_at"),
    "account": ("customer.cashback", "account_number"),
    "member": ("loyalty.loyalty_list", "line"),
}


PURCHASES = {
    "household": ("basket_lines", "household_key"),
    "customer": ("order_lines", "customer_id"),
}


def buy(settings: Settings, subject: Subject) -> None:
    """A purchase that landed, and one that could not be read."""
    table, column = PURCHASES[subject.kind]
    with open_serving_store(settings).connect() as connection:
        take_in(connection, table, [{column: subject.id}])
        connection.execute(
            "insert into events.dead_letter (event_key, kind, topic, payload, is_whole, reason) "
            "values (gen_random_uuid(), 'purchase', 't', %s, true, 'r')",
            [f'{{"{column}": "{subject.id}", "lines": []}}'.encode()],
        )
        if subject.kind == "household":
            tell(connection, subject)
    land_events(settings)


def tell(connection: psycopg.Connection, household: Subject) -> None:
    """A change of its segment, and the message about it, which was sent."""
    ((answer,),) = connection.execute(
        "insert into events.segment_changes (household_key, segment, cause, release, answer_id) "
        "values (%s, 'Lost', 'day', 1, gen_random_uuid()) returning answer_id",
        [household.value],
    ).fetchall()
    connection.execute(
        "insert into events.outbox (answer_id, event_key, worker, topic, opening, closing, "
        "leased_until, published_at) "
        "values (%s, gen_random_uuid(), 'w', 't', %s, '', now(), now())",
        [answer, f'{{"household_key":{household.id},"to":"Lost"}}'.encode()],
    )


def test_everywhere_before_and_nowhere_after(settings: Settings) -> None:
    subjects = [subject_of(settings, kind) for kind in RAW]
    for subject in subjects:
        fill_files(settings, subject, *RAW[subject.kind])
        if subject.kind in PURCHASES:
            buy(settings, subject)
    for subject in subjects:
        assert_is_everywhere(settings, subject)
    *others, last = subjects
    with open_serving_store(settings).connect() as connection:
        for subject in others:
            erasures.erase(connection, subject)
    # It finishes theirs, too.
    report = erase(settings, last)
    assert report.record["found"] == 0
    journal = read_all(settings)
    assert [(one.kind, one.record["found"]) for one, _ in journal] == [
        (subject.kind, 0) for subject in subjects
    ]
    assert all(is_genuine for _, is_genuine in journal)
    assert EMAIL not in str([one.record for one, _ in journal])
    assert scan(settings, subjects, declared_columns(PROJECT_DIR)).places == []
    for subject in subjects:
        assert rows_elsewhere(settings, subject) == [], subject.kind
        after = export(settings, subject)
        assert [after[part] for part in ("loaded", "served", "events")] == [{}, {}, {}]


def assert_is_everywhere(settings: Settings, subject: Subject) -> None:
    document = export(settings, subject)
    assert document["subject"] == {"kind": subject.kind, "id": subject.id}
    assert document["loaded"]
    assert document["served"]
    places = {
        place.name.rpartition("/")[0] or place.name for place in look(settings, subject).places
    }
    domain = RAW[subject.kind][0].split(".")[0]
    for expected in (
        f"inbox/{domain}",
        f"inbox/loaded/{domain}",
        f"inbox/failed/{domain}",
        f"releases/{domain}/r",
    ):
        assert any(place.startswith(expected) for place in places), expected
    assert any(place.startswith("warehouse.duckdb") for place in places)
    assert any(place.startswith("landing/") for place in places)
    assert rows_elsewhere(settings, subject)
    if subject.kind == "member":
        for table in (
            "loyalty_list",
            "conversions",
            "members",
            "promo_codes",
            "outbox",
            "dead_letter",
        ):
            assert f"database: events.{table}" in places, table
    if subject.kind in PURCHASES:
        table, _ = PURCHASES[subject.kind]
        assert f"landing/events/{table}" in places
        assert {f"database: events.{table}", "database: events.dead_letter"} <= places
    if subject.kind == "household":
        assert {"database: events.segment_changes", "database: events.outbox"} <= places
