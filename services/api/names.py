"""Names in a request, and how the data of a release spell them.

Belongs here: reading the known names, and the problem of an unknown one. Does not belong here:
which names a text means (`pollux.names`).
"""

from collections.abc import Sequence

from pollux.names import MAX_NAMES, no_such_name, spellings
from services.common.database import Database
from services.common.problems import invalid_input
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
    asked: Sequence[Sequence[str]],
    database: Database,
    release: Release,
    tables: Sequence[str],
    column: str,
) -> list[str]:
    """The values of a column that names mean, each given by its readings (`values.readings`).

    A name that is known as a whole is not divided. If there is no list to choose from, every
    reading is meant; else raises the problem of an unknown name.
    """
    known = await known_names(database, release, tables, column)
    found: list[str] = []
    for whole, *parts in asked:
        if not known:
            found += [whole, *parts]
        elif meant := spellings(whole, known):
            found += meant
        else:
            for part in parts or [whole]:
                if not (meant := spellings(part, known)):
                    raise invalid_input("query", column, no_such_name(column, part, known))
                found += meant
    return list(dict.fromkeys(found))


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
