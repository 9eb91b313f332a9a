"""Dagster's storage keeps its connections, and outlives those that the server ends."""

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from orchestration.instance.home import (
    STORAGE_VARIABLE,
    prepare_home,
    storage_database,
    storage_url,
)
from orchestration.instance.storage import KEPT_CONNECTIONS
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.services.api.support import wait_until

pytestmark = pytest.mark.integration


def test_events_are_written_over_one_connection_until_the_server_ends_it(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_serving_store(released)
    prepare_home(released, database)
    monkeypatch.setenv(STORAGE_VARIABLE, storage_url(database))
    reference = InstanceRef.from_dir(str(released.dagster_home))

    with (
        dg.DagsterInstance.from_ref(reference) as instance,
        database.connect(autocommit=True) as connection,
    ):

        def sessions() -> set[int]:
            found = connection.execute(
                "select pid from pg_stat_activity where datname = %s",
                [storage_database(database)],
            )
            return {pid for (pid,) in found}

        def report(run: str) -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization(["shop", run]))

        report("first")
        before = sessions()
        for number in range(20):
            report(f"of_{number}")
        assert before
        assert sessions() == before
        for pid in before:
            connection.execute("select pg_terminate_backend(%s, 5000)", [pid])
        report("last")
        assert instance.has_asset_key(dg.AssetKey(["shop", "last"]))
        assert not sessions() & before


def test_instances_of_a_process_share_its_connections(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ticks of sensors do: each makes an instance of its own."""
    database = open_serving_store(released)
    prepare_home(released, database)
    monkeypatch.setenv(STORAGE_VARIABLE, storage_url(database))
    reference = InstanceRef.from_dir(str(released.dagster_home))
    for number in range(5):
        with dg.DagsterInstance.from_ref(reference) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization(["tick", str(number)]))
            instance.get_run_records(limit=1)
    count = "select count(*) from pg_stat_activity where datname = %s"
    with database.connect(autocommit=True) as connection:

        def sessions() -> int:
            ((found,),) = connection.execute(count, [storage_database(database)])
            return int(found)

        # Those with which Dagster looked for its tables end a moment later.
        wait_until(lambda: sessions() <= KEPT_CONNECTIONS, seconds=10)
        assert sessions() > 0
