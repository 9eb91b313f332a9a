"""What plain dbt shows an analytics engineer when part of a mart, or a seed, is missing."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.transform.marts import MartError, check_marts
from tests.conftest import PROJECT_DIR
from tests.support.projects import (
    commands_of_page,
    copy_domains,
    copy_project,
    files_of_page,
    run_dbt,
    write_files,
)

pytestmark = pytest.mark.integration

COLUMNS = """\
    columns:
      - name: a
        data_type: bigint
        description: Which.
"""
KEY = """\
    constraints:
      - type: primary_key
        columns: [a]
"""
SERVING = "    config: {meta: {serving: {indexes: []}}}\n"
OFF = "    config: {contract: {enforced: false}, meta: {serving: {indexes: []}}}\n"
FAULTY = {
    "one": ("# Each begins on a line of its own.\n", SERVING + COLUMNS),
    "two": ("", KEY + COLUMNS),
    "three": ("\n\n", OFF + KEY + COLUMNS),
    "four": ("", None),
}
FAULTS = """\
four.sql:1: four has no YAML: write four.yml beside it, with its columns, primary key and \
config.meta.serving
one.yml:4: one has no primary key: add constraints with {type: primary_key, columns: [...]}
three.yml:5: three has no contract: take contract.enforced: false out
two.yml:3: two does not say how it is served: add config.meta.serving with {indexes: []}
""".splitlines()
VISITS = "select visit_id from {{ raw('store', 'visits') }}\n"
SEED = """\
  - name: raw_store__visits
    description: Visits of the shop.
    config:
      enabled: "{{ target.name.startswith('dev') }}"
      column_types:
        visit_id: text
        visited_at: text
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_domains(tmp_path_factory.mktemp("project"), "loyalty", "store")


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path))
    # dbt changes it for good.
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def faulty(project: Path) -> Iterator[Path]:
    """The project with marts that cannot be released."""
    written = []
    for name, (before, text) in FAULTY.items():
        mart = project / "models/marts/store" / name
        mart.with_suffix(".sql").write_text("select cast(1 as bigint) as a\n")
        written.append(mart.with_suffix(".sql"))
        if text is not None:
            head = f"models:\n  - name: {name}\n    description: One row per a.\n"
            mart.with_suffix(".yml").write_text(f"version: 2\n{before}{head}{text}")
            written.append(mart.with_suffix(".yml"))
    yield project
    for path in written:
        path.unlink()


def test_marts_that_cannot_be_released_stop_a_bare_dbt_and_a_build_alike(faulty: Path) -> None:
    expected = [f"models/marts/store/{fault}" for fault in FAULTS]
    ran = run_dbt(faulty, "run", "--select", "one")
    said = [line.strip() for line in str(ran.exception).splitlines()]
    assert [line for line in said if line.startswith("models/")] == expected

    manifest = json.loads((faulty / "target/manifest.json").read_bytes())
    with pytest.raises(MartError) as raised:
        check_marts(manifest, faulty)
    assert str(raised.value).splitlines() == expected


@pytest.mark.endurance
def test_dataset_without_a_seed_says_what_to_write_and_an_empty_one_will_do(project: Path) -> None:
    (project / "models/staging/store/stg_store__visits.sql").write_text(VISITS)
    ran = run_dbt(project, "parse")
    assert not ran.success
    assert (
        "dataset store.visits has no seed, which target dev builds from: write "
        "seeds/raw_store__visits.csv (its column names in the first line are enough for an empty "
        "one), and enter it in seeds/_raw_store__seeds.yml with its columns as text"
    ) in str(ran.exception)

    (project / "seeds/raw_store__visits.csv").write_text("visit_id,visited_at\n")
    with (project / "seeds/_raw_store__seeds.yml").open("a") as seeds:
        seeds.write(SEED)
    ran = run_dbt(project, "build", "--select", "+stg_store__visits")
    assert ran.success, ran.exception
    built = {result.node.name for result in ran.result.results}
    assert built >= {"raw_store__visits", "stg_store__visits"}


@pytest.mark.endurance
def test_mart_of_the_page_builds_from_the_seeds(project: Path, tmp_path: Path) -> None:
    page = PROJECT_DIR / "docs/marts.md"
    files = files_of_page(page)
    write_files(project, {path: files[path] for path in files if "promotion_buyers" in path})
    (command,) = (line for line in commands_of_page(page) if "dbt build" in line)
    ran = run_dbt(project, *command.replace("--profiles-dir profiles ", "").split()[1:])
    assert ran.success, ran.exception
    check_marts(json.loads((project / "target/manifest.json").read_bytes()), project)

    with duckdb.connect(tmp_path / "dev.duckdb", read_only=True) as dev:
        conversions = dev.execute(
            "select email, promotion, total from dev_marts.conversions "
            "where conversion_type = 'purchase'"
        ).fetchall()
        built = dev.execute("select * from dev_marts.promotion_buyers").fetchall()
    bought = defaultdict(list)
    for email, promotion, total in conversions:
        bought[email].append((promotion, total))
    assert len(bought) > 5
    assert sorted(built) == sorted(
        (
            email,
            len({promotion for promotion, _ in purchases}),
            len(purchases),
            sum(total for _, total in purchases if total is not None),
        )
        for email, purchases in bought.items()
    )


def test_bound_of_the_window_that_is_no_day_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For other variables dbt reads all files again: here only the model that asks for the bound.
    project = copy_project(tmp_path / "project")
    for path in (project / "models").rglob("*.*"):
        if path.name != "int_window_chosen.sql":
            path.unlink()
    for folder in ("seeds", "tests"):
        shutil.rmtree(project / folder)
    monkeypatch.setenv("POLLUX_STUDY", "")
    ran = run_dbt(project, "parse", "--vars", "{scope_last_day: today}")
    assert "scope_last_day is today: write latest or the number of a day" in str(ran.exception)
