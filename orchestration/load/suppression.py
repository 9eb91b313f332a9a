"""Keeps out of the landing zone who was erased: their rows are dropped before a part lands.

Belongs here: the file `erased/suppressed.json` in the data folder, a copy of the serving database's
list that a load reads without a database, and dropping rows of a part. Does not belong here:
erasing what has landed (`orchestration.erase`), which drops rows in the same way.
"""

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from orchestration.load.declarations import Dataset
from orchestration.load.landing import METADATA_KEY, publish
from orchestration.load.rejects import blank_texts
from orchestration.scans import identifier, literal, scan_parquet
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings
from pollux.subjects import MEMBER, Suppressed, emails_of, fields_of, key_of


def read_suppressed(settings: Settings) -> Suppressed:
    """Who is kept out, as of the last erasure; the caller holds the landing zone's lock."""
    try:
        found = json.loads(_path(settings).read_bytes())
    except FileNotFoundError:
        return Suppressed()
    return Suppressed(bytes.fromhex(found["salt"]), frozenset(map(bytes.fromhex, found["sha256"])))


def write_suppressed(settings: Settings, suppressed: Suppressed) -> None:
    """Replaces the file; the caller holds the landing zone's lock."""
    path = _path(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digests = sorted(digest.hex() for digest in suppressed.digests)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps({"salt": suppressed.salt.hex(), "sha256": digests}))
    publish(unfinished, path)


def without_suppressed(
    engine: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    part: Path,
    suppressed: Suppressed,
    out: Path,
    *,
    besides: str = "",
) -> int:
    """Writes a part to `out` without the rows of who is kept out; returns how many those were.

    Where a row refers to such a subject, the reference is emptied. `besides` is the SQL of other
    rows to leave out. Writes nothing where none of all these is in the part.
    """
    if not suppressed:
        return 0
    conditions: list[str] = []
    emptied: list[str] = []
    source = scan_parquet([part])
    if besides and engine.execute(f"select 1 from {source} where {besides} limit 1").fetchall():
        conditions.append(f"({besides}) is not true")
    for column in dataset.columns:
        if column.identifies is None:
            continue
        name = identifier(column.name)
        is_line = dataset.format == "lines"
        fields = f"unnest(string_split({name}, ','))" if is_line else name
        find = _find_members if column.identifies == MEMBER else _find_numbers
        texts = find(engine, fields, source, column.identifies, suppressed)
        if not texts:
            continue
        listed = ", ".join(map(literal, sorted(texts)))
        if is_line:
            conditions.append(f"not list_has_any(string_split({name}, ','), [{listed}])")
        elif dataset.is_own(column):
            conditions.append(f"{name} is null or {name}::varchar not in ({listed})")
        else:
            case = f"case when {name}::varchar not in ({listed}) then {name} end"
            emptied.append(f"{case} as {name}")
    if not conditions and not emptied:
        return 0
    replaced = f" replace ({', '.join(emptied)})" if emptied else ""
    where = " and ".join(f"({one})" for one in conditions) or "true"
    note = literal(_note_of(part))
    ((kept,),) = engine.execute(
        f"copy (select *{replaced} from {source} where {where}) to {literal(str(out))} "
        f"(format parquet, kv_metadata {{{METADATA_KEY}: {note}}})"
    ).fetchall()
    return int(pq.read_metadata(part).num_rows) - int(kept)


def names_suppressed(dataset: Dataset, text: str, suppressed: Suppressed) -> bool:
    """Whether a row as it came, readable or not, may be about somebody who is kept out.

    A row that is broken may have its id in any field.
    """
    kinds = {column.identifies for column in dataset.columns} - {None, MEMBER}
    if suppressed.among(MEMBER, emails_of(text)):
        return True
    keys = [(kind, key_of(kind, one)) for kind in kinds if kind for one in fields_of(text)]
    return any(key is not None and suppressed.has(kind, key) for kind, key in keys)


def keep_out(dataset: Dataset, part: Path, rejects: Path, suppressed: Suppressed) -> int:
    """Drops from a part that is about to land, and from the texts of its rejects, who is kept out.

    Returns how many rows were dropped.
    """
    if not suppressed:
        return 0
    kept = part.with_name("kept")
    with open_duckdb() as engine:
        dropped = without_suppressed(engine, dataset, part, suppressed, kept)
    if kept.exists():
        kept.replace(part)
    if rejects.exists():
        blank_texts(rejects, lambda text: names_suppressed(dataset, text, suppressed))
    return dropped


def _find_members(
    engine: duckdb.DuckDBPyConnection, fields: str, source: str, kind: str, suppressed: Suppressed
) -> set[str]:
    """Texts that are the emails of who is kept out, as spelled in the part."""
    found = engine.execute(f"select distinct {fields} from {source}").fetchall()
    texts = (text for (text,) in found if text is not None and "@" in text)
    keys = ((text, key_of(kind, text)) for text in texts)
    return {text for text, key in keys if key is not None and suppressed.has(kind, key)}


def _find_numbers(
    engine: duckdb.DuckDBPyConnection, fields: str, source: str, kind: str, suppressed: Suppressed
) -> set[str]:
    """Numbers of who is kept out, hashed by DuckDB as `digest_of` does."""
    digests = ", ".join(literal(digest.hex()) for digest in sorted(suppressed.digests))
    hashed = f"sha256(unhex('{suppressed.salt.hex()}') || encode('{kind}:' || {fields}))"
    query = f"select distinct {fields}::varchar from {source} where {hashed} in ({digests})"
    return {text for (text,) in engine.execute(query).fetchall()}


def _note_of(part: Path) -> str:
    metadata: dict[bytes, bytes] = pq.read_metadata(part).metadata
    return metadata[METADATA_KEY.encode()].decode()


def _path(settings: Settings) -> Path:
    return settings.data_dir / "erased" / "suppressed.json"
