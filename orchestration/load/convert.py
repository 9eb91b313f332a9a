"""Converts one file to a part and its rejects, in a work folder.

Belongs here: choosing the reader by the file's first bytes, the limit of rejects, and the check
that rows add up. Does not belong here: the landing zone.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from orchestration.load.convert_csv import Binding, bind, connect, convert_checked, convert_clean
from orchestration.load.convert_lines import screen_lines
from orchestration.load.convert_parquet import write_csv
from orchestration.load.declarations import Dataset
from orchestration.load.errors import LoadError
from orchestration.load.examine import Counts, Header, Watch, count, read_header
from orchestration.load.formats import check_text, is_parquet, unpacked
from orchestration.load.landing import part_record
from orchestration.load.screen_csv import Rejects, Screened, screen

# With fewer bad rows a file is read to the end, so that the message can give their number.
_COUNT_ALWAYS = 10_000


@dataclass(frozen=True)
class Job:
    """One file to convert.

    `file` is the path to show to people, `source` the path to read, which every library accepts.
    `sha256` is the hash of the file's content, `progress` as in `load`; `notes` collects sentences
    for people.
    """

    file: Path
    source: Path
    dataset: Dataset
    folder: Path
    sha256: str
    sample: bool
    reject_limit_percent: float
    progress: Callable[..., None]
    notes: list[str] = field(default_factory=list)

    @property
    def part(self) -> Path:
        """The Parquet file that becomes the part."""
        return self.folder / "part"

    @property
    def rejects(self) -> Path:
        """The CSV file of rejects; absent when there are none."""
        return self.folder / "rejects"

    @property
    def clean(self) -> Path:
        """The CSV file of the rows that passed screening."""
        return self.folder / "clean"

    def record(self, rejected: int) -> dict[str, str | int | bool]:
        """Return the record for the part's metadata."""
        return part_record(self.dataset, sha256=self.sha256, rejected=rejected, sample=self.sample)

    def watch(self, text: Path) -> Watch:
        """Return a function that reports progress through `text`, the file or its plain copy."""
        total = text.stat().st_size
        return lambda done: self.progress(file=self.file.name, done=done, total=total)


def convert(job: Job) -> tuple[int, int]:
    """Write the job's part and rejects; return rows read and rejected.

    Raises:
        LoadError: when the file cannot be read, or more rows are rejected than the limit allows.

    """
    name = str(job.file)
    source = unpacked(job.source, job.folder, name)
    with connect(job.folder) as connection:
        if is_parquet(source):
            text = job.folder / "text"
            rows, binding = write_csv(connection, source, name, job.dataset, text)
            _note_extra(job, binding)
            header = read_header(text, name)
            read, rejected = _convert_csv(connection, job, text, header, binding, by_row=True)
            _must_agree(name, "rows in the file's footer", rows, "rows read", read)
            return read, rejected
        check_text(source, name)
        if job.dataset.format == "lines":
            return _convert_lines(connection, job, source)
        header = read_header(source, name)
        binding = bind(name, header.names, job.dataset)
        _note_extra(job, binding)
        return _convert_csv(connection, job, source, header, binding, by_row=False)


def _convert_csv(
    connection: duckdb.DuckDBPyConnection,
    job: Job,
    text: Path,
    header: Header,
    binding: Binding,
    *,
    by_row: bool,
) -> tuple[int, int]:
    watch = job.watch(text)
    counts, landed = convert_checked(
        connection,
        text,
        header=header,
        binding=binding,
        out=job.part,
        metadata=job.record(rejected=0),
        watch=watch,
    )
    if landed is not None:
        return landed, 0
    with closing(_rejects(job, counts)) as rejects:
        found = screen(
            text,
            str(job.file),
            header=header,
            binding=binding,
            clean=job.clean,
            rejects=rejects,
            watch=watch,
            by_row=by_row,
        )
    return _land_clean(
        connection, job, found=found, counts=counts, binding=binding, line_end=header.line_end
    )


def _convert_lines(connection: duckdb.DuckDBPyConnection, job: Job, text: Path) -> tuple[int, int]:
    watch = job.watch(text)
    counts = count(text, watch)
    column = job.dataset.columns[0]
    with closing(_rejects(job, counts)) as rejects:
        found = screen_lines(
            text, str(job.file), column=column.name, clean=job.clean, rejects=rejects, watch=watch
        )
    binding = Binding((column,), (0,))
    return _land_clean(connection, job, found=found, counts=counts, binding=binding, line_end=b"\n")


def _land_clean(
    connection: duckdb.DuckDBPyConnection,
    job: Job,
    *,
    found: Screened,
    counts: Counts,
    binding: Binding,
    line_end: bytes,
) -> tuple[int, int]:
    _within_limit(job, found)
    _must_agree(str(job.file), "line ends", counts.newlines, "lines read", found.lines)
    landed = convert_clean(
        connection,
        job.clean,
        binding=binding,
        out=job.part,
        metadata=job.record(found.rejected),
        line_end=line_end,
        longest=found.longest,
        parallel=not found.spans_lines,
        keep_blank=job.dataset.format == "lines",
    )
    _must_agree(
        str(job.file), "rows read", found.read, "landed + rejected", landed + found.rejected
    )
    return found.read, found.rejected


def _rejects(job: Job, counts: Counts) -> Rejects:
    most = int((counts.newlines + 1) * job.reject_limit_percent / 100) + 1
    return Rejects(job.rejects, job.file.name, max(most, _COUNT_ALWAYS))


def _within_limit(job: Job, found: Screened) -> None:
    if found.rejected * 100 <= found.read * job.reject_limit_percent:
        return
    # A row that is broken may have anything in any column.
    first = "".join(
        f"\n  line {line}{f', column {column}' if column else ''}: {reason}"
        + ("" if job.dataset.is_personal else f": {raw[:200]}")
        for line, column, reason, raw in found.first
    )
    read = f"the first {found.read:,}" if found.gave_up else f"{found.read:,}"
    raise LoadError(
        f"{job.file}: {found.rejected:,} of {read} rows rejected, more than the limit of "
        f"{job.reject_limit_percent:g} % (POLLUX_REJECT_LIMIT_PERCENT); nothing landed. "
        f"The first:{first}"
    )


def _note_extra(job: Job, binding: Binding) -> None:
    if binding.extra:
        columns = ", ".join(name or "(no name)" for name in binding.extra)
        job.notes.append(f"{job.file.name}: columns not declared, left out: {columns}")


def _must_agree(name: str, left: str, one: int, right: str, other: int) -> None:
    if one != other:
        raise LoadError(
            f"{name}: {one:,} {left} but {other:,} {right}; nothing landed. "
            "This is a fault of the loader, please report it"
        )
