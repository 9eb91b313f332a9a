"""Two million accounts in every format and encoding, in the memory that pages take."""

import httpx
import psutil
import pytest

from benchmarks.whole_lists import ACCOUNTS, PATH, make_accounts, read_list, watching
from pollux.runtime.serving import READER_ROLE
from tests.services.api.support import (
    NUMBER,
    embedded_store,
    make_schema_of_releases,
    running_server,
    switch,
    write_release,
)

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

MOST_MIB = 64


def process_on(port: int) -> int:
    for child in psutil.Process().children(recursive=True):
        if any(one.laddr.port == port for one in child.net_connections("inet")):
            return child.pid
    raise AssertionError(port)


def test_two_million_accounts_stream_in_constant_memory() -> None:
    with embedded_store() as (settings, store):
        schema = f"customer__r{NUMBER}"
        with store.connect(autocommit=True) as connection:
            make_schema_of_releases(connection)
            write_release(connection, NUMBER, "customer")
            connection.execute(f"drop table {schema}.customers")
            make_accounts(store, schema)
            connection.execute(f"grant select on {schema}.customers to {READER_ROLE}")
            switch(connection, NUMBER, "customer")
        with running_server(settings) as client:
            assert client.get(f"{PATH}?limit=1000").status_code == 200
            pid = process_on(settings.api_port)
            before = psutil.Process(pid).memory_info().rss / 2**20
            with watching(pid) as peak:
                for accept, lines in [
                    ("text/csv", ACCOUNTS + 1), ("application/x-ndjson", ACCOUNTS),
                ]:  # fmt: skip
                    assert read_list(settings.api_port, accept).lines == lines
                for encoding in ("gzip", "zstd"):
                    assert _compressed_size(client, encoding) > ACCOUNTS
            assert peak.mib - before <= MOST_MIB


def _compressed_size(client: httpx.Client, encoding: str) -> int:
    headers = {"Accept": "text/csv", "Accept-Encoding": encoding}
    with client.stream("GET", PATH, headers=headers) as answer:
        assert answer.headers["content-encoding"] == encoding
        return sum(len(part) for part in answer.iter_raw())
