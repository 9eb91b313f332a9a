"""Names of files, as messages show them and as parts are named."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.load.names import safe_name, shown

ROOM = len(".parquet")
# Every name that a Linux file system takes.
NAMES = (
    st.one_of(st.binary(min_size=1, max_size=255), st.text(min_size=1).map(os.fsencode))
    .filter(lambda name: b"/" not in name and b"\0" not in name and 0 < len(name) <= 255)
    .map(os.fsdecode)
)


@given(NAMES)
def test_a_safe_name_is_utf8_seen_and_fits(name):
    safe = safe_name(name, ROOM)
    assert len(safe.encode()) <= 255 - ROOM
    assert safe[0] not in "._"
    assert "/" not in safe
    assert "\\" not in safe


@given(NAMES, NAMES)
def test_different_names_stay_different(one, other):
    names = [one, other, safe_name(one, ROOM), safe_name(other, ROOM)]
    assert len({safe_name(name, ROOM) for name in names}) == len(set(names))


@given(NAMES)
def test_a_name_is_shown_on_one_line(name):
    assert shown(name).isprintable()
    assert len(shown(name).splitlines()) <= 1


@pytest.mark.parametrize(
    "name",
    ["sales.csv", "sales (1).csv", "-rf", "München.csv", "a\nb.csv", "x" * 247, "sales[2]*'s"],
)
def test_what_can_be_kept_is_kept(name):
    assert safe_name(name, ROOM) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"M\xfcnchen.csv", r"M\xfcnchen.csv"),
        ("München.csv".encode(), "München.csv"),
        (b"a\nb\tc", r"a\nb\tc"),
        ("\u202ecsv.exe".encode(), r"\u202ecsv.exe"),
        ("zero\u200bwidth".encode(), r"zero\u200bwidth"),
        (b"\x1b[31mred", r"\x1b[31mred"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(name, text):
    assert shown(os.fsdecode(name)) == text
