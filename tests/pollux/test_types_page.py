"""docs/types.md agrees with the table of types."""

from docs.spellings import SPELLINGS
from docs.types_page import page
from pollux.runtime.settings import PROJECT_DIR
from pollux.types import TYPES


def test_the_page_is_fresh():
    written = (PROJECT_DIR / "docs" / "types.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m docs.types_page > docs/types.md"


def test_every_type_has_spellings_taken_and_refused_at_every_door():
    assert SPELLINGS.keys() == TYPES.keys()
    for name, one in SPELLINGS.items():
        for door in (one.text, one.json, one.parquet):
            assert any(spelling.reason for spelling in door), name
            assert any(spelling.reason is None for spelling in door), name
