"""A person in files with every kind of fault is in no log and in nothing that Dagster keeps.

Rejects and files set aside hold it on purpose.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest
from pydantic import SecretStr

from orchestration.defs.definitions import build_definitions
from orchestration.defs.glance import glance_at
from orchestration.defs.reporting import LogReporter
from orchestration.instance.in_process import execute
from orchestration.load.errors import LandingError
from orchestration.transform.graph import ServedTable
from orchestration.transform.manifest import read_manifest
from pollux.contracts import Column
from pollux.personal import MASKED
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings
from tests.support.canary import EMAIL, NAME, STREET, traces_in
from tests.support.receivers import receiving

# Each fails its load for another reason; each holds the person.
HEADER = "customer_id,gender,age\n"
STORE = {
    "customers-values.csv": f'{HEADER}{NAME},{EMAIL},"{STREET}"\n',
    "customers-shifted.csv": f"{HEADER}1,F,{NAME}\n2,{STREET},{EMAIL}\n",
    "customers-fields.csv": f"{HEADER}{NAME},{EMAIL},{STREET},{NAME}\n",
    "customers-quote.csv": f'{HEADER}1,F,"{NAME} {EMAIL}\n',
    "customers-no-header.csv": f"{NAME},{EMAIL},{STREET}\n1,F,33\n",
    "customers-semicolons.csv": f"{NAME};{EMAIL};{STREET}\n1;F;33\n",
    "customers-nul.csv": f"{HEADER}1,F\0{EMAIL},33\n",
    "customers-json.csv": f'[{{"customer_id": "{NAME}", "gender": "{EMAIL}"}}]\n',
    "customers-page.csv": f"<html><body>{NAME} {EMAIL}</body></html>\n",
}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as made:
        yield made


def kept_by(instance: dg.DagsterInstance) -> str:
    """Everything that Dagster has written: runs, events, logs of steps, metadata."""
    folder = Path(instance.root_directory)
    return "\n".join(
        path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.endurance
def test_refused_files_leave_no_trace_of_a_person(
    built: Settings,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(data_dir=tmp_path / "data")
    inbox = settings.inbox_dir / "store"
    inbox.mkdir(parents=True)
    for name, content in STORE.items():
        (inbox / name).write_text(content)
    definitions = build_definitions(
        read_manifest(built), retries=None, settings=settings, reporter=LogReporter()
    )
    result = execute(definitions.resolve_job_def("store"), instance)
    assert not result.success
    failed = {path.name.partition("-")[2] for path in inbox.parent.glob("failed/store/*.csv")}
    assert failed == set(STORE)

    # What is kept on purpose does hold it, so the person did come this far.
    rejects = "".join(path.read_text() for path in settings.rejects_dir.rglob("*.csv"))
    aside = "".join(path.read_text() for path in (settings.inbox_dir / "failed").rglob("*.csv"))
    assert traces_in(aside)
    assert all(name in rejects for name in STORE)

    send_alert(definitions, instance, result, settings)

    spoken = capfd.readouterr()
    files = "customers-values.csv"
    found = {
        "load log": (files, (settings.landing_dir / "load_log.jsonl").read_text()),
        "reasons": (files, "".join(p.read_text() for p in inbox.parent.rglob("*.reason.txt"))),
        "Dagster": (files, kept_by(instance)),
        "alerts": (files, (settings.logs_dir / "alerts.log").read_text()),
        "logs": (str(settings.landing_dir), caplog.text + spoken.out + spoken.err),
    }
    for where, (sign, text) in found.items():
        # There was something to scan, and it is of this run.
        assert sign in text, where
        assert traces_in(text) == [], where


# Errors that nobody foresaw, and what may be said of them.
ERRORS = [
    (
        psycopg.errors.UniqueViolation(
            "duplicate key value violates unique constraint\n"
            f"DETAIL:  Key (email)=({EMAIL}) already exists."
        ),
        "duplicate key value violates unique constraint",
    ),
    (
        duckdb.ConversionException(f"Could not convert string '{NAME}' to INT32"),
        "Could not convert string (personal) to INT32",
    ),
    (ValueError(f"{NAME} of {STREET} is no number"), "ValueError"),
    (LandingError("Events cannot be read"), "Events cannot be read"),
]


@pytest.mark.endurance
@pytest.mark.parametrize(("error", "said"), ERRORS, ids=[type(one).__name__ for one, _ in ERRORS])
def test_errors_of_libraries_leave_no_trace_of_a_person(
    built: Settings,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: object) -> None:
        raise error from KeyError(EMAIL)

    monkeypatch.setattr("orchestration.defs.load.take_inbox", fail)
    with receiving() as receiver:
        settings = Settings(data_dir=tmp_path / "data", alert_webhook=SecretStr(receiver.url))
        definitions = build_definitions(
            read_manifest(built), retries=None, settings=settings, reporter=LogReporter()
        )
        result = execute(definitions.resolve_job_def("store"), instance)
        assert not result.success
        send_alert(definitions, instance, result, settings)
        (told,) = receiver.received

    spoken = capfd.readouterr()
    found = {
        "webhook": told.body.decode(),
        "alerts": (settings.logs_dir / "alerts.log").read_text(),
        "Dagster": kept_by(instance),
        "logs": caplog.text + spoken.out + spoken.err,
    }
    assert said in found["alerts"]
    assert said in found["Dagster"]
    for where, text in found.items():
        assert "load_store" in text, where
        assert traces_in(text) == [], where


def send_alert(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    result: dg.JobExecutionResult,
    settings: Settings,
) -> None:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    context = dg.build_run_status_sensor_context(
        sensor_name="alert",
        dagster_instance=instance,
        dagster_run=run,
        dagster_event=result.get_run_failure_event(),
        resources={"settings": settings},
    ).for_run_failure()
    definitions.get_sensor_def("alert")(context)


def column(name: str, *, personal: bool | None) -> Column:
    return Column(name=name, data_type="text", is_required=False, personal=personal)


@pytest.mark.parametrize("said", [True, None])
def test_sample_of_a_mart_masks_personal_columns(tmp_path: Path, *, said: bool | None) -> None:
    settings = Settings(data_dir=tmp_path)
    with open_duckdb(settings.warehouse_path) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute("create table marts.members (email text, visits text)")
        warehouse.execute("insert into marts.members values (?, '3')", [EMAIL])
    table = ServedTable(
        domain="loyalty",
        name="members",
        schema="marts",
        columns=(column("email", personal=said), column("visits", personal=None)),
        key=("email",),
        indexes=(),
    )
    (glance,) = glance_at(settings, "of any run", [table]).values()
    assert glance.first == ((MASKED, "3"),)
    assert glance.rows == 1
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        kept: Any = warehouse.execute("select email from marts.members").fetchone()
    assert kept == (EMAIL,)
