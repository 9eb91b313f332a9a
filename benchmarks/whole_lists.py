"""Two million accounts as the API sends them, and as COPY does; and the memory that it takes.

Belongs here: making the accounts, reading them, and watching a process. Does not belong here:
what is asked of the figures.
"""

import asyncio
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import asyncpg
import psutil

from pollux.runtime.serving import ServingStore
from services.common.database import asyncpg_arguments

ACCOUNTS = 2_000_000
PATH = "/v1/accounts"
SAMPLE_SECONDS = 0.02
# As a release has them: in the order of the key, analysed.
MAKE_ACCOUNTS = """
create table {schema}.customers as
select
    n::bigint as account_number,
    (array['ACT', 'PEND', 'CLSD'])[1 + n % 3] as account_status,
    date '2015-01-01' + (n % 3000)::integer as sign_up_date,
    case when n % 3 = 2 then date '2023-01-01' + (n % 300)::integer end as churn_date,
    date '2015-01-20' + (n % 3000)::integer as first_service_live_date,
    date '2015-03-20' + (n % 3000)::integer as end_of_onboarding_period,
    (array['website', 'telephone', 'door to door', null])[1 + n % 4] as sign_up_source,
    (array['owner', 'tenant'])[1 + n % 2] as property_occupier_status_at_sign_up,
    case when n % 5 = 0 then 'customer referral' end as referral_type,
    case when n % 5 = 0 then 'REF' || n % 1000 end as referral_type_code,
    case when n % 5 = 0 then n / 2 end as referrers_account_number
from generate_series(1, {accounts}) as n;
alter table {schema}.customers add primary key (account_number);
create index on {schema}.customers (sign_up_date, account_number);
analyze {schema}.customers;
"""


class Read(NamedTuple):
    """What was read: seconds, bytes, lines."""

    seconds: float
    size: int
    lines: int


class Peak:
    """The most resident memory of a process so far, MiB."""

    def __init__(self, first: float) -> None:
        self.mib = first


def make_accounts(database: ServingStore, schema: str, accounts: int = ACCOUNTS) -> None:
    """Makes the accounts in a schema."""
    with database.connect(autocommit=True) as connection:
        connection.execute(MAKE_ACCOUNTS.format(schema=schema, accounts=accounts))


def read_list(port: int, accept: str, path: str = PATH) -> Read:
    """Reads a list in a format to its end; raises `RuntimeError` if it is not one."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        if answer.status != http.client.OK or not str(answer.headers["Content-Type"]).startswith(
            accept
        ):
            raise RuntimeError(f"{path} as {accept}: {answer.status} {answer.headers}")
        size = lines = 0
        while part := answer.read1(2**18):
            size += len(part)
            lines += part.count(b"\n")
    finally:
        connection.close()
    return Read(time.perf_counter() - started, size, lines)


def copy_table(database: ServingStore, schema: str) -> Read:
    """Reads the same rows by COPY … TO STDOUT, without a Python object per row."""
    size = lines = 0

    async def take(part: bytes) -> None:
        nonlocal size, lines
        size += len(part)
        lines += part.count(b"\n")

    async def copy() -> float:
        dsn, _ = asyncpg_arguments(database.owner_url, {})
        connection = await asyncpg.connect(dsn)
        started = time.perf_counter()
        await connection.copy_from_table(
            "customers", schema_name=schema, output=take, format="csv", header=True
        )
        seconds = time.perf_counter() - started
        await connection.close()
        return seconds

    return Read(asyncio.run(copy()), size, lines)


@contextmanager
def watching(pid: int) -> Iterator[Peak]:
    """Watches the resident memory of a process."""
    process = psutil.Process(pid)
    peak = Peak(process.memory_info().rss / 2**20)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            peak.mib = max(peak.mib, process.memory_info().rss / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
