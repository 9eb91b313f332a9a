"""Copies in an object store, through Arrow: moto's server stands in for S3."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, copy_files
from pyarrow.parquet import read_table

from orchestration.erase.run import erase, finish
from orchestration.object_store import (
    ObjectStoreError,
    claim_stores,
    empty_stores,
    fetch,
    send_landing,
)
from orchestration.release.publish import release
from orchestration.transform.lake import drop_builds
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from tests.orchestration.release.test_lake import write_build
from tests.orchestration.transform.test_lake import FIRST, SECOND, write

# The server comes with Spark's lock.
pytestmark = [pytest.mark.integration, pytest.mark.spark]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """What follows an address in the store: where it answers."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield f"?scheme=http&region=us-east-1&endpoint_override={host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> str:
    """A new bucket; its address with %s for a path there."""
    name = f"b{uuid4().hex}"
    files, _ = FileSystem.from_uri(f"s3://{name}{endpoint}&allow_bucket_creation=true")
    files.create_dir(name)
    return f"s3a://{name}/%s{endpoint}"


@pytest.fixture
def settings(tmp_path: Path, bucket: str) -> Settings:
    return Settings(
        data_dir=tmp_path,
        engine="spark",
        landing_url=bucket % "deep/landing",
        lake_url=bucket % "deep/lake",
    )


def objects(url: str) -> dict[str, int]:
    """Objects below an address, with their sizes; the mark of the owner left out."""
    files, path = FileSystem.from_uri(url.replace("s3a:", "s3:"))
    found = files.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return {
        one.path.removeprefix(f"{path}/"): one.size
        for one in found
        if one.type == FileType.File and one.base_name != ".pollux"
    }


def numbers(url: str, dataset: str) -> list[int]:
    """The numbers in the rows of a dataset's objects, in order."""
    files, path = FileSystem.from_uri(url.replace("s3a:", "s3:"))
    return sorted(
        number
        for name in objects(url)
        if name.startswith(dataset)
        for number in read_table(f"{path}/{name}", filesystem=files)["number"].to_pylist()
    )


def move_to_store(settings: Settings, name: str) -> None:
    """Puts a folder of the lake where Spark writes it."""
    files, path = FileSystem.from_uri(settings.lake_url.replace("s3a:", "s3:"))
    copy_files(
        str(settings.lake_dir / name),
        f"{path}/{name}",
        source_filesystem=LocalFileSystem(),
        destination_filesystem=files,
    )
    shutil.rmtree(settings.lake_dir / name)


def test_the_store_has_what_has_landed_and_nothing_else(settings: Settings) -> None:
    visits = settings.landing_dir / "shop" / "visits"
    write(visits, [FIRST], 0)
    write(visits, [SECOND], 1)
    without_rows = visits.parent / "returns" / "_empty.parquet"
    without_rows.parent.mkdir()
    shutil.copy(visits / "part-00000-c000.snappy.parquet", without_rows)
    send_landing(settings)
    first = objects(settings.landing_url)
    assert numbers(settings.landing_url, "shop/visits/") == [1, 2]
    # A dataset without rows has a file that Spark is to pass over.
    assert [name for name in first if Path(name).name.startswith("_")] == [
        name for name in first if name.startswith("shop/returns/")
    ]

    # A part with other content, as many bytes as before: what Spark may be reading stays as it is.
    write(visits, [SECOND], 0)
    send_landing(settings)
    second = objects(settings.landing_url)
    assert numbers(settings.landing_url, "shop/visits/") == [2, 2]
    assert len(second) == len(first) == 3
    assert len(first.keys() & second.keys()) == 2

    (visits / "part-00001-c000.snappy.parquet").unlink()
    send_landing(settings)
    assert objects(settings.landing_url).keys() < second.keys()
    assert numbers(settings.landing_url, "shop/visits/") == [2]


def test_a_build_in_the_store_is_released_by_the_same_code(
    installation: Settings, bucket: str
) -> None:
    settings = installation.model_copy(update={"engine": "spark", "lake_url": bucket % "lake"})
    builds = [write_build(settings) for _ in range(2)]
    for build in builds:
        move_to_store(settings, build)
    fetch(settings, builds[1])
    assert release(settings, "household").is_new
    with open_serving_store(settings).connect() as connection:
        rows = connection.execute("select count(*) from household__r1.household_rfm").fetchone()
    assert rows is not None
    assert rows[0] > 0
    # The build that nothing was released from is gone in both places.
    assert {path.name for path in settings.lake_dir.iterdir()} == {builds[1]}
    assert {name.partition("/")[0] for name in objects(settings.lake_url)} == {builds[1]}


def test_a_build_is_fetched_whole_in_place_of_what_was_there(settings: Settings) -> None:
    build = str(uuid4())
    folder = settings.lake_dir / build / "marts" / "visits"
    write(folder, [FIRST], 0)
    (folder / "_SUCCESS").touch()
    move_to_store(settings, build)
    (settings.lake_dir / build).mkdir()
    (settings.lake_dir / build / "left").touch()
    fetch(settings, build)
    files = [path.name for path in settings.lake_dir.rglob("*") if path.is_file()]
    assert sorted(files) == ["_SUCCESS", "part-00000-c000.snappy.parquet"]
    # One that built nothing.
    fetch(settings, str(uuid4()))
    drop_builds(settings, set())
    assert objects(settings.lake_url) == {}


def test_nothing_is_left_in_the_store(settings: Settings) -> None:
    write(settings.landing_dir / "shop" / "visits", [FIRST], 0)
    send_landing(settings)
    build = str(uuid4())
    write(settings.lake_dir / build / "marts" / "visits", [FIRST], 0)
    move_to_store(settings, build)
    empty_stores(settings)
    assert objects(settings.landing_url) == objects(settings.lake_url) == {}
    send_landing(settings)
    assert numbers(settings.landing_url, "shop/visits/") == [1]


def test_an_erasure_removes_all_copies(released: Settings, bucket: str) -> None:
    settings = released.model_copy(update={"landing_url": bucket % "landing"})
    send_landing(settings)
    assert objects(settings.landing_url)
    erase(settings, Subject("household", "1"))
    assert objects(settings.landing_url) == {}


def test_an_erasure_waits_for_the_store(released: Settings, bucket: str, endpoint: str) -> None:
    """Copies that it could not remove are not forgotten."""
    settings = released.model_copy(update={"landing_url": f"s3a://none/landing{endpoint}"})
    with pytest.raises(ObjectStoreError, match="s3a://none/landing"):
        erase(settings, Subject("household", "1"))
    (unfinished,) = finish(settings.model_copy(update={"landing_url": bucket % "landing"}))
    assert unfinished.kind == "household"


@pytest.mark.parametrize("use", [claim_stores, send_landing, empty_stores])
def test_the_place_of_another_installation_is_left_alone(
    settings: Settings, tmp_path: Path, use
) -> None:
    write(settings.landing_dir / "shop" / "visits", [FIRST], 0)
    send_landing(settings)
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    with pytest.raises(ObjectStoreError, match=r"deep/landing.* belongs to another installation"):
        use(other)
    assert numbers(settings.landing_url, "shop/visits/") == [1]


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, endpoint: str) -> None:
    url = f"s3a://none/landing{endpoint}"
    settings = Settings(data_dir=tmp_path, engine="spark", landing_url=url)
    with pytest.raises(ObjectStoreError, match=r"s3a://none/landing.* cannot be used: .*bucket"):
        send_landing(settings)
