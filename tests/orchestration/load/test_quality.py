"""What has landed and what was rejected, counted for people."""

from pathlib import Path

import pytest

from orchestration.load.quality import MOST_REASONS, OTHERS, loaded_datasets
from orchestration.load.run import load
from pollux.runtime.settings import Settings

HEADER = "customer_id,gender,age\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", reject_limit_percent=100)


def load_customers(settings: Settings, folder: Path, name: str, rows: str) -> None:
    file = folder / name
    file.write_text(HEADER + rows)
    load(settings, domain="store", from_=file, dataset="customers")


def test_rejects_are_counted_by_column_and_reason(settings: Settings, tmp_path: Path) -> None:
    load_customers(settings, tmp_path, "customers_1.csv", "1,F,30\n2,M,secret\n3,F,hidden\n")
    load_customers(settings, tmp_path, "customers_2.csv", "4,F,31\n5,M\n6,M,private\n7,F,40\n")
    (customers,) = loaded_datasets(settings, "store")
    assert (customers.dataset, customers.files, customers.is_sample) == ("customers", 2, False)
    assert (customers.rows_read, customers.rows_landed, customers.rows_rejected) == (7, 3, 4)
    assert [(one.column, one.reason, one.rows) for one in customers.rejects] == [
        ("age", "not a number", 3),
        ("", "2 fields instead of 3", 1),
    ]
    # The rows that were rejected may be personal.
    told = customers.model_dump_json()
    assert not any(value in told for value in ("secret", "hidden", "private"))


def test_of_many_reasons_the_most_frequent_are_told(settings: Settings, tmp_path: Path) -> None:
    # Rows of 4, 5, 6, … fields, each but the last twice.
    rows = [f"1,F,30{',' * more}\n" for more in range(1, MOST_REASONS + 3)]
    load_customers(settings, tmp_path, "customers.csv", "1,F,30\n" + "".join(rows + rows[:-1]))
    (customers,) = loaded_datasets(settings, "store")
    assert len(customers.rejects) == MOST_REASONS + 1
    assert [one.rows for one in customers.rejects] == [2] * MOST_REASONS + [3]
    assert customers.rejects[-1].reason == OTHERS
    assert sum(one.rows for one in customers.rejects) == customers.rows_rejected


def test_a_domain_without_files_has_no_datasets(settings: Settings) -> None:
    assert loaded_datasets(settings, "store") == ()
