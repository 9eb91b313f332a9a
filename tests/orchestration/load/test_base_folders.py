"""`pollux load` for a pipeline that names the folders of raw and processed data."""

import csv
from pathlib import Path

import pytest

from pollux.runtime.settings import Settings
from tests.support.installations import Prepared

pytestmark = pytest.mark.integration

HEADER = "timestamp,country_code,last_order_ts,first_order_ts,total_orders,voucher_amount\n"
ROWS = """\
2018-07-01 10:00:00,Peru,2018-05-01,2018-01-01,2.0,2640.0
2018-07-01 11:00:00,Peru,2018-01-01,2018-01-01,38.0,
2018-07-01 12:00:00,Peru,2018-05-01,2018-01-01,,2640.0
2018-07-01 10:00:00,Peru,2018-05-01,2018-01-01,2.0,2640.0
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "customer" / "voucher_assignments"
    folder.mkdir(parents=True)
    (folder / "voucher_assignments.csv").write_text(HEADER + ROWS)
    return tmp_path / "raw"


def test_marts_of_the_dataset_are_written_as_csv(
    raw: Path, prepared: Prepared, short_tmp: Path, tmp_path: Path, pollux
) -> None:
    settings = prepared.empty(short_tmp / "base")
    # A name that DuckDB would take for a pattern.
    processed = tmp_path / "processed [1]"
    done = pollux(
        settings,
        *("load", "--domain", "customer", "--dataset", "voucher_assignments"),
        *("--raw-basepath", str(raw), "--processed-basepath", str(processed)),
    )
    assert done.returncode == 0, done.stderr
    folder = processed / "customer" / "voucher_assignments"
    assert {file.name for file in folder.iterdir()} == {
        "voucher_assignment_segmented.csv",
        "voucher_cleaning_report.csv",
        "voucher_ranking.csv",
        "country_voucher_details_view.csv",
        "frequency_voucher_details_view.csv",
        "recency_voucher_details_view.csv",
        "voucher_segment_shares.csv",
    }
    columns = "assignment_id,timestamp,country_code,last_order_ts,first_order_ts,total_orders"
    columns += ",voucher_amount,frequency_segment,recency_segment"
    assert (folder / "voucher_assignment_segmented.csv").read_text().splitlines() == [
        columns,
        "1,2018-07-01 10:00:00,Peru,2018-05-01 00:00:00,2018-01-01 00:00:00,2,2640.00,0-4,61-90",
        "2,2018-07-01 11:00:00,Peru,2018-01-01 00:00:00,2018-01-01 00:00:00,38,,,180+",
    ]
    with (folder / "voucher_cleaning_report.csv").open() as file:
        rows = {row["outcome"]: int(row["rows"]) for row in csv.DictReader(file)}
    assert {outcome: count for outcome, count in rows.items() if count} == {
        "kept": 2,
        "empty order count": 1,
        "exact duplicate": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-d", "voucher_assignments"], "either --from or --raw-basepath"),
        (["-d", "voucher_assignments", "-r", "{raw}", "--from", "{raw}"], "either --from or"),
        (["-r", "{raw}"], "need --dataset"),
        (["--from", "{raw}", "-t", "{raw}"], "need --dataset"),
        (["-d", "cashback", "-r", "{raw}"], "neither {raw}/customer/cashback nor {raw}/cashback"),
    ],
)
def test_flags_that_do_not_fit_are_named(
    raw: Path, short_tmp: Path, pollux, arguments: list[str], message: str
) -> None:
    settings = Settings(data_dir=short_tmp / "flags")
    given = [argument.format(raw=raw) for argument in arguments]
    done = pollux(settings, "load", "-D", "customer", *given, COLUMNS="1000")
    assert done.returncode == 2
    assert message.format(raw=raw) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_processed_folder_that_cannot_be_written_is_named(
    raw: Path, short_tmp: Path, tmp_path: Path, pollux
) -> None:
    settings = Settings(data_dir=short_tmp / "unwritable")
    file = tmp_path / "file"
    file.write_text("no folder")
    done = pollux(
        settings,
        *("load", "-D", "customer", "-d", "voucher_assignments"),
        *("-r", str(raw), "-t", str(file)),
    )
    assert done.returncode == 4
    assert f"{file}/customer/voucher_assignments cannot be written" in done.stderr
    # It is told before a build that would be in vain.
    assert not (settings.data_dir / "builds").exists()
    assert "Traceback" not in done.stderr
