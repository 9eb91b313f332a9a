"""Names in a request, and how the data of a release spell them.

Belongs here: reading the known names, and the problem of an unknown one. Does not belong here:
which names a text means (`pollux.names`).
"""

from collections.abc import Sequence

from pollux.names import MAX_NAMES, no_such_name, spellings
from services.common.database import Database
from services.common.problems import ProblemError, invalid_input
from services.common.releases import Release

VALUES = "select distinct {column} from {release}.{table} where {column} is not null"


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
        found = await database.fetch(f"{sql} limit {MAX_NAMES + 1}")
        names = sorted(str(name) for (name,) in found)
        release.names[place] = names if len(names) <= MAX_NAMES else None
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


def unknown_name(column: str, asked: str, known: Sequence[str]) -> ProblemError:
    """The problem of a filter whose value is not a known name."""
    return invalid_input("query", column, no_such_name(column, asked, known))


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
