"""Who was erased does not land again, whatever file brings them; expected rows are made by hand."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.load import landing
from orchestration.load.run import LoadReport, load
from orchestration.load.suppression import read_suppressed, write_suppressed
from pollux.runtime.settings import Settings
from pollux.subjects import Subject, Suppressed, digest_of

SALT = bytes(range(32))
ACCOUNTS = (
    "account_number,account_status,sign_up_date,churn_date,first_service_live_date,"
    "end_of_onboarding_period,sign_up_source,property_occupier_status_at_sign_up,referral_type,"
    "referral_type_code,referrers_account_number\n"
)
CASHBACK = "account_number,cashback_month,card_spend,cashback_amount\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=None, reject_limit_percent=90)


def keep_out(settings: Settings, *subjects: Subject) -> None:
    digests = frozenset(digest_of(SALT, *subject) for subject in subjects)
    write_suppressed(settings, Suppressed(SALT, digests))


def load_text(settings: Settings, domain: str, name: str, text: str) -> LoadReport:
    file = settings.data_dir.parent / name
    file.write_text(text)
    return load(settings, domain=domain, from_=file)


def landed(settings: Settings, place: str) -> list[dict[str, object]]:
    (path,) = settings.landing_dir.glob(f"{place}/[!_]*.parquet")
    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_the_list_names_nobody(settings: Settings) -> None:
    assert not read_suppressed(settings)
    keep_out(settings, Subject("member", "anna@example.org"), Subject("account", "7"))
    assert read_suppressed(settings).has("account", "7")
    (file,) = (settings.data_dir / "erased").iterdir()
    assert "anna" not in file.read_text()
    assert file.parent.stat().st_mode & 0o077 == 0
    assert len(json.loads(file.read_text())["sha256"]) == 2


def test_rows_of_who_was_erased_are_left_out_and_references_emptied(settings: Settings) -> None:
    keep_out(settings, Subject("account", "2"))
    text = (
        ACCOUNTS
        + "1,Live,,,,,web,owner,friend,FRD,2\n"
        + "2.0,Live,,,,,web,owner,none,NON,\n"
        + "3,Live,,,,,web,owner,friend,FRD,1\n"
    )
    report = load_text(settings, "customer", "customer_accounts.csv", text)
    rows = landed(settings, "customer/customer_accounts")
    assert [(row["account_number"], row["referrers_account_number"]) for row in rows] == [
        (1, None),
        (3, 1),
    ]
    (file,) = report.files
    assert (file.rows_read, file.rows_landed, file.rows_rejected) == (2, 2, 0)
    assert report.notes == (
        "customer_accounts.csv: 1 rows about somebody who was erased were left out",
    )
    # Loaded once more, with another row: still gone.
    load_text(
        settings, "customer", "customer_accounts.csv", text + "4,Live,,,,,web,owner,none,NON,2\n"
    )
    rows = landed(settings, "customer/customer_accounts")
    assert [row["account_number"] for row in rows] == [1, 3, 4]
    assert [row["referrers_account_number"] for row in rows] == [None, 1, None]


def test_lines_of_members_are_left_out_in_any_spelling(settings: Settings) -> None:
    keep_out(settings, Subject("member", "anna@example.org"))
    lines = [" Anna@Example.ORG ,fb,insta,F", "susanna@example.org,fb,insta,F", "", "no email"]
    load_text(settings, "loyalty", "LoyaltyList.txt", "\n".join(lines) + "\n")
    assert [row["line"] for row in landed(settings, "loyalty/loyalty_list")] == lines[1:]
    conversions = [
        "Hoodie,clickConversion,ANNA@example.org,Facebook",
        "Hoodie,clickConversion,b@c.d,X",
    ]
    load_text(settings, "loyalty", "ClickConversion.txt", "\n".join(conversions) + "\n")
    assert [row["line"] for row in landed(settings, "loyalty/conversions")] == conversions[1:]


def test_a_part_keeps_its_record_so_that_the_same_file_is_not_loaded_again(
    settings: Settings,
) -> None:
    keep_out(settings, Subject("account", "2"))
    text = CASHBACK + "1,2024-01-01,1.00,0.10\n2,2024-01-01,1.00,0.10\n"
    load_text(settings, "customer", "cashback.csv", text)
    report = load_text(settings, "customer", "cashback.csv", text)
    assert [file.outcome for file in report.files] == ["unchanged"]
    (part,) = landing.domain_parts(settings, "customer")
    assert part.rows_landed == 1


def test_the_text_of_a_reject_that_names_them_is_not_kept(settings: Settings) -> None:
    keep_out(settings, Subject("account", "2"))
    text = CASHBACK + "1,2024-01-01,1.00,0.10\n2,2024-01-01,x,0.10\n3,2024-01-01,y,0.10\n"
    load_text(settings, "customer", "cashback.csv", text)
    rejects = landing.rejects_path(settings, "customer", "cashback", "cashback.csv").read_text()
    assert rejects.splitlines()[1:] == [
        "cashback.csv,3,card_spend,not a number,",
        'cashback.csv,4,card_spend,not a number,"3,2024-01-01,y,0.10"',
    ]
