"""Names as people ask for them, and as the data spell them.

Belongs here: which of the known names a text means, and what is said of one that means none. Does
not belong here: what makes two texts the same (`pollux.rules`), and reading the known names.
"""

from collections.abc import Sequence

from pollux.rules import department, spelled, text_key
from pollux.types import read_scalar

# A column with more values is not a list to choose from.
MAX_NAMES = 10_000
_SHOWN = 20
# Nobody is told other people's while looking for one.
_PERSONAL = {"email"}
_SHOWN_LENGTH = 100


def read_name(value: object) -> str | None:
    """A name or code as the data keep it; raises `UnfitError` as `read_scalar` does."""
    # Its length is that of the composed name, without blanks around it, as in files.
    found = read_scalar("label", spelled(value) if isinstance(value, str) else value)
    return None if found is None else str(found)


def asked_for(column: str, text: str) -> str:
    """A text as the data keep it in a column of that name: Sports is Sport, emails are keys."""
    if column == "department":
        return department(text)
    return text_key(text) if column == "email" else text


def spellings(asked: str, known: Sequence[str]) -> list[str]:
    """The known names that `asked` means: itself, or all that are the same text."""
    if asked in known:
        return [asked]
    key = text_key(asked)
    return [name for name in known if text_key(name) == key]


def no_such_name(column: str, asked: str, known: Sequence[str]) -> str:
    """What is said of a name that means none of the known ones, which are sorted."""
    said = f"No {column} is called {asked[:_SHOWN_LENGTH]!r}"
    if column in _PERSONAL:
        return f"{said}."
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    listed = ", ".join(known[:_SHOWN])
    return f"{said}; there are: {listed}{more}."
