"""Files of lines by customer: each read has a customer's lines, and of few others."""

import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pollux.runtime.live_lines import BATCH_ROWS, PIECE_ROWS, CustomerLines, write_lines

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("key", pa.int64()),
        ("paid", pa.decimal128(18, 2)),
        ("name", pa.string()),
    ]
)


def lines_of(keys: Sequence[int]) -> pa.Table:
    """A line of each of these, some without a price or a name."""
    numbers = list(range(len(keys)))
    columns = [
        pa.array(numbers),
        pa.array(keys, pa.int64()),
        pa.array([Decimal(n % 97) if n % 5 else None for n in numbers], pa.decimal128(18, 2)),
        pa.array([f"line {n}" if n % 7 else None for n in numbers]),
    ]
    return pa.table(columns, schema=SCHEMA)


def written(path: Path, lines: pa.Table, batch_rows: int = 1000) -> CustomerLines:
    write_lines(path, "key", lines.to_reader(max_chunksize=batch_rows))
    return CustomerLines(path)


def lines_by(lines: pa.Table, keys: Sequence[int]) -> pa.Table:
    return lines.filter(pc.is_in(lines["key"], pa.array(keys, pa.int64()))).combine_chunks()


@pytest.mark.parametrize("most", [0, 3, 60, 2 * BATCH_ROWS, 5 * BATCH_ROWS])
def test_customers_have_their_lines_however_many(tmp_path: Path, most: int) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    owners = sorted(chance.sample(range(-50, 1000), 90))
    lines = lines_of([key for key in owners for _ in range(chance.randint(0, most))])
    found = written(tmp_path / "lines", lines, batch_rows=chance.randint(1, 3000))
    assert found.schema == SCHEMA
    for many in (0, 1, 2, 90):
        keys = chance.sample(range(-60, 1010), many // 2) + chance.sample(owners, many - many // 2)
        assert found.read(keys) == lines_by(lines, keys)
    assert found.read(owners) == lines


def test_lines_that_fill_their_batches(tmp_path: Path) -> None:
    for many in (1, 2):
        lines = lines_of([key for key in (1, 2, 3) for _ in range(many * BATCH_ROWS)])
        found = written(tmp_path / "lines", lines)
        assert [found.read([key]) for key in range(5)] == [lines_by(lines, [k]) for k in range(5)]
    lines = lines_of([number // 100 for number in range(2 * PIECE_ROWS)])
    found = written(tmp_path / "lines", lines, batch_rows=PIECE_ROWS + 1)
    last = PIECE_ROWS // 50
    assert found.read([0, last - 1, last, last + 1]) == lines_by(lines, [0, last - 1, last])


def test_of_other_customers_little_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = lines_of([number // 50 for number in range(20 * BATCH_ROWS)])
    found = written(path, lines)
    assert found.read([7, 9]).num_rows == 100
    content = path.read_bytes()
    half = len(content) // 2
    # Whatever is before the second half, it is not needed.
    path.write_bytes(b"\x7f" * half + content[half:])
    last = lines["key"][-1].as_py()
    assert CustomerLines(path).read([last - 1]) == lines_by(lines, [last - 1])
    with pytest.raises((OSError, pa.ArrowInvalid)):
        CustomerLines(path).read([7])


def test_another_file_in_the_place_is_read_anew(tmp_path: Path) -> None:
    lines = lines_of([1] * 600 + [2] * 600)
    found = written(tmp_path / "lines", lines)
    assert found.read([1, 2]) == lines
    without = lines_by(lines, [2])
    write_lines(tmp_path / "successor", "key", without.to_reader())
    (tmp_path / "successor").rename(tmp_path / "lines")
    assert found.read([1, 2]) == without
    write_lines(tmp_path / "successor", "key", SCHEMA.empty_table().to_reader())
    (tmp_path / "successor").rename(tmp_path / "lines")
    assert found.read([1, 2]) == SCHEMA.empty_table()


def test_a_file_that_was_replaced_is_closed(tmp_path: Path) -> None:
    lines = written(tmp_path / "lines", lines_of([1] * 600))
    lines.look()
    write_lines(tmp_path / "successor", "key", lines_of([2]).to_reader())
    (tmp_path / "successor").rename(tmp_path / "lines")
    assert gone_and_open(tmp_path) == 1
    lines.look()
    assert gone_and_open(tmp_path) == 0


def gone_and_open(folder: Path) -> int:
    """How many files of a folder this process holds that have no name any more."""
    files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(file.startswith(str(folder)) and file.endswith(" (deleted)") for file in files)


def test_lines_in_another_order_are_not_written(tmp_path: Path) -> None:
    for keys in ([1, 2, 1], [2] * PIECE_ROWS + [1]):
        with pytest.raises(ValueError, match=r"^lines would not be sorted by key$"):
            written(tmp_path / "lines", lines_of(keys))
