"""An erasure killed at every step and run again: nothing is left, and its record is whole."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.erase.export import export
from orchestration.erase.run import erase, finish, look, read_all
from orchestration.load.landing import domain_parts
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from pollux.subjects import Subject, read_subject
from tests.orchestration.erase.club import OTHER, emails_served, files_with, make_club
from tests.support.kills import kill_at, steps_of

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

EMAIL = "åsa.kühn@canary.example"
SPELLED = unicodedata.normalize("NFD", "Åsa.KÜHN@Canary.Example")
MEMBER = Subject("member", EMAIL)
# In the order in which an erasure reaches them; all but the first two are those of `finish`.
BEGUN = ["erase.deleted", "erase.committed"]
FINISHED = [
    "load.staged",
    "load.journaled",
    "erase.landing_written",
    "erase.file_removed",
    "erase.file_written",
    "erase.file_written",
    "erase.warehouse_deleted",
    "erase.warehouse_copied",
    "erase.warehouse_replaced",
    "erase.messages_dropped",
    "erase.built_deleted",
    "erase.table_rewritten",
    "erase.log_cleared",
    "erase.recorded",
    # Once more: the journal has had the id until it is recorded.
    "erase.log_cleared",
    "erase.finished",
]


@pytest.fixture
def settings(short_tmp: Path) -> Iterator[Settings]:
    made = Settings(data_dir=short_tmp / "kills" / "data", database_url=None)
    make_club(made, EMAIL, SPELLED)
    yield made
    EmbeddedPostgres(made.data_dir).stop()


def test_an_erasure_killed_at_every_step_in_turn_is_done_all_the_same(settings: Settings) -> None:
    assert {*BEGUN, *FINISHED} >= set(steps_of("erase"))
    document = export(settings, read_subject("member", EMAIL.upper()))
    assert document["loaded"] == {"loyalty.loyalty_list": [{"line": f"{SPELLED},fb,insta,F"}]}
    assert document["served"] == {"loyalty.members": [{"email": EMAIL}]}
    assert files_with(settings, EMAIL)
    assert files_with(settings, SPELLED)
    kill_at(BEGUN[0], erase, settings, MEMBER)
    # Killed within its transaction, it has not begun.
    assert EMAIL in emails_served(settings)
    assert read_all(settings) == []
    kill_at(BEGUN[1], erase, settings, MEMBER)
    for at in FINISHED:
        assert emails_served(settings) == {OTHER}, at
        # What it has written already, it passes; each kill is further on.
        kill_at(at, finish, settings)
        ((erased, _),) = read_all(settings)
        assert (erased.finished_at is None) == (at != "erase.finished"), at
    assert finish(settings) == []
    assert look(settings, MEMBER).places == []
    assert files_with(settings, EMAIL, SPELLED) == []
    ((erased, is_genuine),) = read_all(settings)
    assert is_genuine
    assert erased.record is not None
    assert erased.record["found"] == 0
    # Counted once each, however often it was killed.
    assert erased.record["rows"] == {
        "events.dead_letter": 1,
        "events.loyalty_list": 1,
        "events.members": 1,
        "events.outbox": 1,
        "events.promo_codes": 1,
        "inbox (files)": 2,
        "landing: loyalty.loyalty_list": 1,
        "loyalty__r1.members": 1,
        "releases: loyalty.members": 1,
        "warehouse: loyalty.members": 1,
    }
    assert emails_served(settings) == {OTHER}
    (part,) = domain_parts(settings, "loyalty")
    assert part.rows_landed == 1
