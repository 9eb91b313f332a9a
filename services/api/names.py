"""Names in a request, and how the data of a release spell them.

Belongs here: which spellings mean the same name, and the problem of an unknown name. Does not
belong here: what makes two texts the same (`pollux.rules`).
"""

from collections.abc import Sequence

from pollux.rules import text_key
from services.common.database import Database
from services.common.problems import ProblemError, invalid_input
from services.common.releases import Release

VALUES = "select distinct {column} from {release}.{table} where {column} is not null"
# A column with more values is not a list to choose from.
MAX_VALUES = 10_000
SHOWN = 20
SHOWN_LENGTH = 100


async def known_names(
    database: Database, release: Release, tables: Sequence[str], column: str
) -> Sequence[str] | None:
    """The values of a column in tables of a release; None if they are too many to be a list.

    They are read once per release.
    """
    place = (*tables, column)
    if place not in release.names:
        sql = " union ".join(
            VALUES.format(
                column=quoted(column), release=quoted(release.schema), table=quoted(table)
            )
            for table in tables
        )
        found = await database.fetch(f"{sql} limit {MAX_VALUES + 1}")
        names = sorted(str(name) for (name,) in found)
        release.names[place] = names if len(names) <= MAX_VALUES else None
    return release.names[place]


async def meant_by(
    asked: str, database: Database, release: Release, tables: Sequence[str], column: str
) -> list[str] | None:
    """The values of a column that a filter means; None if there is no list to choose from.

    Raises the problem of an unknown name if it means none of them.
    """
    known = await known_names(database, release, tables, column)
    if not known:
        return None
    found = spellings(asked, known)
    if not found:
        raise unknown_name(column, asked, known)
    return found


def spellings(asked: str, known: Sequence[str]) -> list[str]:
    """The known names that `asked` means: itself, or all that are the same text."""
    if asked in known:
        return [asked]
    key = text_key(asked)
    return [name for name in known if text_key(name) == key]


def unknown_name(name: str, asked: str, known: Sequence[str]) -> ProblemError:
    """The problem of a filter whose value is not a known name."""
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    listed = ", ".join(known[:SHOWN])
    return invalid_input(
        "query", name, f"No {name} is called {asked[:SHOWN_LENGTH]!r}; there are: {listed}{more}."
    )


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
