"""What the tests of the samples share: values from queries, and seeds as they are committed."""

import hashlib

from tests.conftest import PROJECT_DIR


def one(connection, query):
    return connection.execute(query).fetchone()


def value(connection, query):
    return one(connection, query)[0]


def values(connection, query):
    return {row[0] for row in connection.execute(query).fetchall()}


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}


def assert_seeds_are_committed(seeds, names):
    """The seeds just written are these, and the same bytes as those of the checkout."""
    folder, rows = seeds
    assert sorted(rows) == sorted(names)
    for name in rows:
        committed = (PROJECT_DIR / "seeds" / name).read_bytes()
        assert committed == (folder / name).read_bytes(), (
            f"{name}: run python -m sample.seeds seeds"
        )
