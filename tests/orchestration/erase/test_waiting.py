"""Messages that wait name somebody in the ways in which events and answers do."""

import pytest

from orchestration.erase.waiting import finder
from pollux.subjects import Subject

COLUMNS = {
    "customer": {"customer_id": True},
    "household": {"household_key": True},
    "account": {"account_number": True},
    "member": {"email": True},
}


@pytest.mark.parametrize(
    ("subject", "payload", "is_named"),
    [
        (Subject("customer", "7"), '{"id": "7", "ts": 1760000000, "dep": "Boys"}', True),
        (Subject("customer", "7"), '{"payload": {"customer_id": 7}}', True),
        (Subject("customer", "7"), '{"customer":{"id":"7"},"coupon":{"id":"9"},"ts":1}', True),
        (Subject("customer", "9"), '{"customer":{"id":"7"},"coupon":{"id":"9"},"ts":1}', False),
        (Subject("customer", "7"), '{"customer_id": 77}', False),
        (Subject("household", "7"), '{"household_key": "7", "lines": []}', True),
        (Subject("account", "7"), '{"account_number": 7}', True),
        (Subject("member", "åsa@canary.example"), r'{"email": "\u00c5sa@canary.example"}', True),
        (Subject("member", "sa@canary.example"), r'{"email": "\u00e5sa@canary.example"}', False),
        (Subject("member", "sa@canary.example"), '{"email": "åsa@canary.example"}', False),
    ],
)
def test_a_message_names_somebody(subject: Subject, payload: str, is_named: bool) -> None:
    assert finder([subject], COLUMNS)(payload.encode()) is is_named
