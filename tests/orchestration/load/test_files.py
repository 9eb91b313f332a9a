"""What a user sees when loading good, odd and broken files."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from orchestration.load import convert, convert_csv, landing, screen_csv
from orchestration.load.declarations import read_datasets
from orchestration.load.errors import LoadError
from orchestration.load.load_log import read_load_log
from orchestration.scans import scan_parquet
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.orchestration.load.conftest import BEFORE, HEADER, Shop, numbered, only


def packed(content, times):
    for _ in range(times):
        content = gzip.compress(content)
    return content


def zipped(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def tarred(name, content):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


# --- files that cannot be loaded: one message, and what had landed stays ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "sales.csv is empty"),
        (b"\xef\xbb\xbf", "sales.csv is empty"),
        (b"\n\n", "sales.csv has no header line"),
        (b"id,name\n1,x\n", "lacks column amount of shop.sales; its columns are id, name"),
        (b"id\n1\n", "lacks columns name, amount"),
        (b"id,name,amount,ID\n1,x,1,2\n", "has column id more than once"),
        (HEADER + b'1,"never closed,1\n2,x,1\n', "line 2: a quote opens that is never closed"),
        (HEADER + b"1,x,1\r\n2,x,1\n", "mixed line ends, CRLF at line 2 after LF"),
        (b"id,name,amount\r\n1,x,1\n", "mixed line ends, LF at line 2 after CRLF"),
        (HEADER + b"1,x\r,1\n", "mixed line ends, CR at line 2"),
        (b"id,name,amount\r1,x,1\r", "lines end in CR alone"),
        (bytes(5000), "is not text but binary"),
        (HEADER.decode().encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"PK\x03\x04" + b"x" * 50, "is a damaged zip archive; fetch it again"),
        (gzip.compress(HEADER + numbered(500))[:-20], "is damaged gzip"),
        (b"PAR1 and no more", "is Parquet that cannot be read"),
        (HEADER + numbered(98) + b"x,name,1\n99,name,x\n", "2 of 100 rows rejected"),
        (b"id;name;amount\n1;x;1\n", "has its fields set apart by semicolons; save it with commas"),
        (b'"id";"name";"amount"\n', "has its fields set apart by semicolons"),
        (b"id\tname\tamount\n1\tx\t1\n", "has its fields set apart by tabs; save it with commas"),
        (b"id | name | amount\n1|x|1\n", "has its fields set apart by vertical bars"),
        (b"sep=;\nid;name;amount\n", "begins with a line sep= for Excel; remove it"),
        (b'"id,name,amount"\n"1,x,1"\n', "has quotes around whole lines"),
        (
            b"1,x,1.50\n2,y,2.50\n",
            "has no header line; write one above its first line: id,name,amount",
        ),
        (
            b"id,na\xfcme,amount\n",
            "the header line is not UTF-8 (byte 0xFC); save the file as UTF-8",
        ),
        (gzip.compress(b""), "sales.csv is empty"),
        (b"\xef\xbb\xbf" * 3, "sales.csv is empty"),
        (HEADER.decode().encode("utf-16-le"), "is UTF-16; save it as UTF-8"),
        (HEADER.decode().encode("utf-32"), "is UTF-32; save it as UTF-8"),
        (packed(HEADER, 4), "is gzip in gzip, more than 3 times over; unpack it"),
        (gzip.compress(gzip.compress(HEADER + numbered(500))[:-20]), "is damaged gzip"),
        (zipped("sales.csv", HEADER), "is a zip archive; unpack it"),
        (gzip.compress(zipped("sales.csv", HEADER)), "is a zip archive; unpack it"),
        (zipped("xl/workbook.xml", b"<x/>"), "is an Excel workbook; save the sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 50, "is an old Excel workbook"),
        (bz2.compress(HEADER), "is packed by bzip2; unpack it"),
        (lzma.compress(HEADER), "is packed by xz; unpack it"),
        (b"PARE" + b"x" * 50, "is encrypted Parquet; save it without encryption"),
        (b"<!DOCTYPE html><html>", "is a web page or XML, not the data itself"),
        (b"%PDF-1.7", "is a PDF; export the data as CSV"),
        (tarred("sales.csv", HEADER), "is a tar archive; unpack it"),
        (gzip.compress(tarred("sales.csv", HEADER)), "is a tar archive; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid x\n", "is a pointer of Git LFS"),
        (b'[{"id": 1, "name": "a", "amount": 1.5}]', "is JSON; write it as CSV or Parquet"),
        (b'{"id":1,"name":"a","amount":1.5}\n', "is JSON; write it as CSV or Parquet"),
    ],
)
def test_a_broken_file_fails_clearly_and_changes_nothing(shop, content, message):
    shop.load(BEFORE)
    before = landing.fingerprint(shop.settings, "shop")
    with pytest.raises(LoadError) as caught:
        shop.load(content)
    assert message in str(caught.value)
    assert "sales.csv" in str(caught.value)
    assert landing.fingerprint(shop.settings, "shop") == before
    assert shop.rows() == [(7, "before", Decimal("7.00"))]
    assert not shop.rejects()
    last = read_load_log(shop.settings)[-1]
    assert (last["outcome"], last["error"]) == ("failed", str(caught.value))
    assert not list((shop.settings.landing_dir / ".tmp").iterdir())


def test_one_bad_file_keeps_the_good_ones_out(shop):
    good, bad = shop.write(BEFORE, "sales-1.csv"), shop.write(b"", "sales-2.csv")
    with pytest.raises(LoadError, match=r"sales-2.csv is empty"):
        shop.load(from_=[good, bad])
    assert landing.domain_parts(shop.settings, "shop") == []


def test_a_missing_file(shop):
    with pytest.raises(LoadError, match="nowhere does not exist"):
        shop.load(from_=shop.folder / "nowhere")


def test_unknown_domain_and_dataset_list_the_known(shop):
    with pytest.raises(LoadError, match="unknown domain 'shoe'; known are: other, shop"):
        shop.load(BEFORE, domain="shoe")
    with pytest.raises(
        LoadError, match="unknown dataset 'sails' of shop; known are: notes, sales, typed"
    ):
        shop.load(BEFORE, dataset="sails")


def test_a_file_and_a_folder_that_match_no_pattern(shop):
    for from_ in (shop.write(b"x", "unknown.doc"), shop.folder / "in"):
        with pytest.raises(LoadError, match=r"patterns are sales: sales\*.csv\*"):
            shop.load(from_=from_)


def test_a_file_of_any_name_where_the_dataset_is_given(shop):
    assert only(shop.load(BEFORE, "export.dat", dataset="sales")).rows_landed == 1


def test_a_folder_reports_what_it_leaves_out(shop):
    shop.write(BEFORE)
    shop.write(b"x", "readme.md")
    report = shop.load(from_=shop.folder / "in")
    assert [file.dataset for file in report.files] == ["sales"]
    assert "no dataset for readme.md" in report.notes[0]


def test_two_files_of_one_name(shop):
    other = shop.folder / "sales.csv"
    other.write_bytes(BEFORE)
    with pytest.raises(LoadError, match="have one name"):
        shop.load(from_=[shop.write(BEFORE), other])


def test_a_landing_zone_that_cannot_be_written(shop):
    (shop.folder / "data").write_text("a file where a folder should be")
    with pytest.raises(LoadError, match=r"cannot write .*data"):
        shop.load(BEFORE)


def test_an_unreadable_path(shop):
    (shop.folder / "in").mkdir()
    (shop.folder / "in" / "sales.csv").symlink_to("/proc/self/mem")
    with pytest.raises(LoadError, match=r"sales.csv cannot be read: Input/output error"):
        shop.load(from_=shop.folder / "in" / "sales.csv")


# --- rows that cannot land ---


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (b"x,name,1", "id", "not a number"),
        (b"4.6,name,1", "id", "not a whole number"),
        (b"9999999999999999999999,name,1", "id", "more than 9 digits"),
        (b"3000000000,name,1", "id", "more than 9 digits"),
        (b"1,name,1.239", "amount", "more than two decimals"),
        (b"1,name,1e400", "amount", "more than 10 digits before the point"),
        (b"1,name,NaN", "amount", "not a number; leave the field blank for null"),
        (b"1,name,1_0", "amount", "not a number"),
        (b"1,name,1.0000000000000000001", "amount", "more than two decimals"),
        (b"1,na\0me,1", "name", "NUL byte"),
        (b"1,na\xffme,1", "name", "not UTF-8"),
        (b"1,name", "", "2 fields instead of 3"),
        (b"1,name,1,", "", "4 fields instead of 3"),
        (b'1,"na"me,1', "", "text after a closing quote"),
    ],
)
def test_a_bad_row_is_a_reject_and_the_others_land(shop, row, column, reason):
    file = only(shop.load(HEADER + numbered(60) + row + b"\n" + numbered(60, 61)))
    assert (file.rows_read, file.rows_landed, file.rows_rejected) == (121, 120, 1)
    raw = row.replace(b"\0", b"\\x00").decode("utf-8", "backslashreplace")
    assert shop.rejects() == [("sales.csv", "62", column, reason, raw)]
    assert [r[0] for r in shop.rows()] == list(range(1, 121))


def test_a_cut_off_last_line_is_a_reject(shop):
    file = only(shop.load(HEADER + numbered(120) + b"121,na"))
    assert (file.rows_landed, file.rows_rejected) == (120, 1)
    assert shop.rejects() == [("sales.csv", "122", "", "2 fields instead of 3", "121,na")]


def test_the_message_above_the_limit_shows_the_first_rejects(shop):
    with pytest.raises(LoadError) as caught:
        shop.load(HEADER + b"a,x,1\nb,y,1\n1,c,z\nd,d,1\n")
    assert (
        str(caught.value)
        .splitlines()[0]
        .endswith(
            "4 of 4 rows rejected, more than the limit of 1 % (POLLUX_REJECT_LIMIT_PERCENT); "
            "nothing landed. The first:"
        )
    )
    assert str(caught.value).splitlines()[1:] == [
        "  line 2, column id: not a number: a,x,1",
        "  line 3, column id: not a number: b,y,1",
        "  line 4, column amount: not a number: 1,c,z",
    ]


def test_the_limit_is_a_setting_and_inclusive(shop):
    bad = HEADER + numbered(99) + b"x,name,1\n"
    assert only(shop.load(bad)).rows_rejected == 1
    shop.settings = Settings(data_dir=shop.folder / "data", reject_limit_percent=0)
    with pytest.raises(LoadError, match="1 of 101 rows rejected"):
        shop.load(bad + b"100,name,1\n", "sales-2.csv")


def test_rejects_go_when_their_part_is_mended(shop):
    shop.load(HEADER + numbered(120) + b"x,name,1\n")
    assert len(shop.rejects()) == 1
    assert only(shop.load(HEADER + numbered(121))).outcome == "replaced"
    assert shop.rejects() == []


def test_a_hopeless_file_is_not_read_to_the_end(shop):
    with pytest.raises(LoadError, match="10,000 of the first 10,000 rows rejected"):
        shop.load(HEADER + b"x,y,z\n" * 20_000)


# --- odd files that are fine ---


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"1,x,1.50\n2,,\n",
        HEADER + b"1,x,1.50\n2,,",
        b"\xef\xbb\xbf" + HEADER + b"1,x,1.50\n2,,\n",
        (HEADER + b"1,x,1.50\n2,,\n").replace(b"\n", b"\r\n"),
        gzip.compress(HEADER + b"1,x,1.50\n2,,\n", mtime=0),
        gzip.compress(HEADER + b"1,x,1.50\n", mtime=0) + gzip.compress(b"2,,\n", mtime=0),
        packed(HEADER + b"1,x,1.50\n2,,\n", 2),
        packed(HEADER + b"1,x,1.50\n2,,\n", 3),
        b"\xef\xbb\xbf" * 2 + HEADER + b"1,x,1.50\n2,,\n",
        b"\xef\xbb\xbf" * 3 + b'"id",name,amount\n1,x,1.50\n2,,\n',
        "\u200bid,na\xadme,\xa0amount\u200e\n1,x,1.50\n2,,\n".encode(),
        "\ufeffi\ufeffd\x07,name,amount\r\n1,x,1.50\r\n2,,\r\n".encode(),
        b"Amount, ID ,NAME\n1.50,1,x\n,2,\n",
        b"extra,id,name,,amount,\n9,1,x,\xc3\xa4,1.50,\n,2,,,,\n",
        b"\n" + HEADER + b"\n1,x,1.5\n\n\n2,,\n",
        b'"id","name","amount"\n"1","x","1.500"\n"2","",""\n',
        HEADER + b" 1 ,x,+1.5e0\n2.0, ,  \n".replace(b", ,", b",,"),
    ],
)
def test_the_same_rows_land_from_files_written_otherwise(shop, content):
    report = shop.load(content)
    assert (only(report).rows_read, only(report).rows_rejected) == (2, 0)
    assert shop.rows() == [(1, "x", Decimal("1.50")), (2, None, None)]
    assert any("not declared, left out" in note for note in report.notes) == (b"extra" in content)


@pytest.mark.parametrize(
    "rows",
    [
        b"1,x,1.50\n" * 1000,
        b"1,x,1.50\r\n" * 1000,
        b'1,"a,""b""",-0.5\n' * 1000,
        b"-1,\xc3\xa4 l_ng,1234567890.99\n,,\n2.0, ,+7\n",
    ],
)
def test_a_clean_file_needs_no_careful_look(shop, rows, monkeypatch):
    monkeypatch.delattr(convert, "screen")
    end = b"\r\n" if b"\r" in rows else b"\n"
    assert only(shop.load(b"\xef\xbb\xbfid,name,amount" + end + rows)).rows_rejected == 0


def test_text_lands_as_it_is(shop):
    content = HEADER + b'1,"a, ""b""\n c",1\n2, ,1\n3,5" pipe,1\n4, pad ,1\n5,\xc3\xa4_1_0,1\n'
    shop.load(content)
    assert [row[1] for row in shop.rows()] == ['a, "b"\n c', " ", '5" pipe', " pad ", "ä_1_0"]


def test_a_header_alone_lands_no_row(shop):
    for content in (HEADER, b"id,name,amount"):
        assert only(shop.load(content)).rows_read == 0
    assert shop.rows() == []


def test_long_fields_land_up_to_their_limit(shop):
    # In characters: each has two bytes.
    for text in ("x" * 100_000, "ä" * 100_000):
        shop.load(HEADER + b"1," + text.encode() + b",1\n2,y,1\n")
        assert [row[1] for row in shop.rows()] == [text, "y"]
    file = only(shop.load(HEADER + numbered(150) + b"151," + b"x" * 100_001 + b",1\n"))
    assert (file.rows_landed, file.rows_rejected) == (150, 1)
    assert shop.rejects()[0][1:4] == ("152", "name", "longer than 100,000 characters")


@pytest.mark.parametrize("end", [b'",1\n', b""])
def test_a_row_without_end_fails(shop, monkeypatch, end):
    monkeypatch.setattr(screen_csv, "LONGEST_RECORD", 1 << 20)
    with pytest.raises(LoadError, match="line 2: a row does not end within 1 MiB"):
        shop.load(HEADER + b'1,"' + b"x" * 3_000_000 + b"\n" * 10 + end)


def test_a_path_with_letters_that_mean_something_to_duckdb(tmp_path):
    shop = Shop(tmp_path)
    assert only(shop.load(BEFORE, "sales[2]*'s.csv")).rows_landed == 1
    (part,) = landing.domain_parts(shop.settings, "shop")
    assert part.name == "sales[2]*'s.csv"


def test_lines_land_as_they_stand(shop):
    file = only(shop.load(b'a, "b"\n\n  c \nd', "x.txt"))
    assert (file.dataset, file.rows_read) == ("notes", 4)
    assert sorted(shop.rows("notes")) == [("",), ("  c ",), ('a, "b"',), ("d",)]


def test_bad_lines_are_rejects(shop):
    file = only(shop.load(b"x\r\n" * 200 + b"\xff\r\n", "x.txt"))
    assert (file.rows_landed, file.rows_rejected) == (200, 1)
    assert shop.rejects("x.txt", "notes") == [("x.txt", "201", "line", "not UTF-8", "\\xff")]
    with pytest.raises(LoadError, match="mixed line ends"):
        shop.load(b"x\r\ny\n", "x.txt")


# --- Parquet ---


def test_parquet_is_known_by_its_first_bytes(shop):
    path = shop.folder / "sales.csv.gzip"
    duckdb.sql(
        f"COPY (SELECT 1.5::DOUBLE AS AMOUNT, 'a,\"b\nc' AS name, 2.0::DOUBLE AS id, 1 AS more "
        f"UNION ALL SELECT NULL, '', NULL, 2) TO '{path}' (FORMAT parquet)"
    )
    report = shop.load(from_=path)
    assert only(report).rows_read == 2
    assert set(shop.rows()) == {(2, 'a,"b\nc', Decimal("1.50")), (None, None, None)}
    assert report.notes == ("sales.csv.gzip: columns not declared, left out: more",)


def test_parquet_types_keep_their_values_and_bad_ones_are_rejects(shop):
    path = shop.folder / "typed.parquet.gzip"
    duckdb.sql(
        f"""COPY (
            SELECT i::DOUBLE + 0.1 AS n, i % 2 = 0 AS b, DATE '2024-02-29' AS d,
                TIMESTAMP '2024-02-29 10:00:00.000001' AS t FROM range(150) r(i)
            UNION ALL SELECT 'inf'::DOUBLE, NULL, NULL, NULL
        ) TO '{path}' (FORMAT parquet)"""
    )
    file = only(shop.load(from_=path))
    assert (file.rows_landed, file.rows_rejected) == (150, 1)
    assert shop.rows("typed")[0] == (
        0.1,
        True,
        date(2024, 2, 29),
        datetime.fromisoformat("2024-02-29 10:00:00.000001"),
    )
    assert shop.rejects("typed.parquet.gzip", "typed")[0][1:4] == ("151", "n", "not a number")


def test_a_parquet_dataset_may_come_as_csv(shop):
    shop.load(b"n,b,d,t\n1.5,t,2024-02-29,2024-02-29T10:00:00+02:00\n", "typed.csv")
    assert shop.rows("typed") == [
        (1.5, True, date(2024, 2, 29), datetime.fromisoformat("2024-02-29 08:00"))
    ]


def test_parquet_lacking_a_column(shop):
    path = shop.folder / "sales.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS id, [1] AS name, 2 AS amount) TO '{path}'")
    with pytest.raises(LoadError, match=r"column name is INTEGER\[\], not text"):
        shop.load(from_=path)
    duckdb.sql(f"COPY (SELECT 1 AS id) TO '{path}'")
    with pytest.raises(LoadError, match=r"sales.parquet lacks columns name, amount"):
        shop.load(from_=path)


@pytest.mark.parametrize("times", [1, 2])
def test_parquet_inside_gzip(shop, times):
    path = shop.folder / "plain"
    duckdb.sql(f"COPY (SELECT 1 AS id, 'x' AS name, 1.5 AS amount) TO '{path}' (FORMAT parquet)")
    shop.load(packed(path.read_bytes(), times), "sales.parquet.gz")
    assert shop.rows() == [(1, "x", Decimal("1.50"))]


def test_lines_begin_after_every_byte_order_mark(shop):
    shop.load(b"\xef\xbb\xbf" * 2 + b"anna@example.org, anna\nb\n", "x.txt")
    assert shop.rows("notes") == [("anna@example.org, anna",), ("b",)]


def test_the_published_name_of_a_table_is_known():
    declared = read_datasets(PROJECT_DIR)
    for name in ("product_info.csv", "products.csv", "product_info.parquet"):
        matching = [
            one.name for (of, _), one in declared.items() if of == "store" and one.matches(name)
        ]
        assert matching == ["products"], name


def test_every_dataset_of_files_is_known_as_parquet_too():
    for dataset in read_datasets(PROJECT_DIR).values():
        if dataset.format in ("csv", "parquet"):
            assert dataset.matches(f"{dataset.name}.parquet"), dataset.name


@pytest.mark.parametrize("folder", ["name=Chile", "id=7", "amount=1.5", "name=Chile/id=7"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_above_a_file_is_no_column_of_it(tmp_path, folder, kind):
    shop = Shop(tmp_path / folder)
    path = shop.folder / f"sales.{kind}"
    row = "SELECT 1 AS id, 'Peru' AS name, 2.5 AS amount"
    duckdb.sql(f"COPY ({row}) TO '{tmp_path / 'x'}' (FORMAT {kind})")
    (tmp_path / "x").rename(path)
    shop.load(from_=path)
    (part,) = landing.domain_parts(shop.settings, "shop")
    found = duckdb.sql(f"FROM {scan_parquet([part.path])}").fetchall()
    assert found == [(1, "Peru", Decimal("2.50"))]


def test_a_second_attempt_never_writes_where_the_first_failed(shop, monkeypatch):
    """DuckDB may still remove the file of a COPY whose failure it has reported."""
    written = []
    rows = convert_csv._rows

    def watched(connection, query):
        written.append(re.findall(r" TO '([^']+)'", query)[-1])
        return rows(connection, query)

    monkeypatch.setattr(convert_csv, "_rows", watched)
    shop.load(HEADER + numbered(500) + b"x,name,1\n")
    assert len(written) == len(set(written)) == 2
