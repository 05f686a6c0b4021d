"""Every format gives the same records; every bad file gives one clear line."""

import builtins
import csv
import gzip
import json

import pytest

from langmerge.data import FileSource, RowSpec, read_split, records
from langmerge.errors import MissingExtraError

from .conftest import Folder, problem

SPEC = RowSpec(("text_label",), labels=("bad", "good"))
RECORDS = [{"text": "schön", "label": "good"}, {"text": 'a, "b"\nc', "label": "bad"}]
JSONL = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
JSON = json.dumps(RECORDS, indent=1)
CSV = 'text,label\nschön,good\n"a, ""b""\nc",bad\n'
ROW = '{"text": "x", "label": "good"}\n'
TSV = CSV.replace("schön,", "schön\t").replace('",bad', '"\tbad').replace("text,", "text\t")


def located(folder: Folder, name: str, content: str | bytes):
    return [
        (location.removeprefix(f"{folder.path}/"), record)
        for location, record in records(folder.write(name, content))
    ]


@pytest.mark.parametrize(
    ("name", "content", "locations"),
    [
        ("a.jsonl", JSONL, ["a.jsonl:1", "a.jsonl:2"]),
        ("a.ndjson", JSONL, ["a.ndjson:1", "a.ndjson:2"]),
        ("a.json", JSON, ["a.json: item 1", "a.json: item 2"]),
        ("a.csv", CSV, ["a.csv:2", "a.csv:3"]),
        ("a.tsv", TSV, ["a.tsv:2", "a.tsv:3"]),
        ("A.CSV", CSV, ["A.CSV:2", "A.CSV:3"]),
    ],
)
def test_text_formats_give_the_same_records(folder, name, content, locations):
    assert located(folder, name, content) == list(zip(locations, RECORDS, strict=True))
    compressed = [
        (f"{place.replace(name, name + '.gz')}", record)
        for place, record in zip(locations, RECORDS, strict=True)
    ]
    assert located(folder, f"{name}.gz", gzip.compress(content.encode())) == compressed


def test_parquet_gives_the_same_records(folder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder.path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)
    found = list(records(FileSource(path)))
    assert [record for _, record in found] == RECORDS
    assert [location for location, _ in found] == [f"{path}: row 1", f"{path}: row 2"]


def test_a_stated_format_outranks_the_suffix(folder):
    source = folder.write("a.txt", CSV)
    assert [record for _, record in records(FileSource(source.path, "csv"))] == RECORDS


def test_byte_order_mark_line_ends_and_blank_lines_mean_nothing(folder):
    plain = folder.rows("plain.csv", CSV, SPEC)
    odd = "\ufeff" + CSV.replace("\n", "\r\n").replace("good\r\n", "good\r\n\r\n,\r\n")
    assert folder.rows("odd.csv", odd, SPEC) == plain
    odd = "\ufeff" + JSONL.replace("\n", "\r\n").replace("}\r\n", "}\r\n \r\n")
    assert folder.rows("odd.jsonl", odd, SPEC) == plain
    assert folder.rows("odd.json", "\ufeff" + JSON.replace("\n", "\r\n"), SPEC) == plain


def test_line_numbers_are_physical(folder):
    content = 'text,label\n"two\nlines",good\n\nlast,ugly\n'
    assert "a.csv:5: field 'label'" in folder.problem("a.csv", content, SPEC)


def test_line_separators_of_unicode_end_no_line(folder):
    content = '{"text": "a\u2028b\u0085c", "label": "good"}\n'
    assert folder.rows("a.jsonl", content, SPEC)[0].fields["text"] == "a\u2028b\u0085c"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.jsonl", "", ["a.jsonl: found no rows", "add rows"]),
        ("a.jsonl", "\n \n", ["a.jsonl: found no rows"]),
        ("a.json", "", ["a.json: found no rows"]),
        ("a.json", "[]", ["a.json: found no rows"]),
        ("a.csv", "text,label\n", ["a.csv: found no rows"]),
        ("a.jsonl", ROW + '{"text": x}\n', ["a.jsonl:2: invalid JSON at column 10"]),
        ("a.jsonl", '{"text":\n', ["a.jsonl:1: invalid JSON at column 9"]),
        (
            "a.jsonl",
            '["x", "good"]\n',
            ["a.jsonl:1: found ['x', 'good']", "one JSON object a line"],
        ),
        ("a.jsonl", JSON, ["a.jsonl:1: invalid JSON", "set format: json"]),
        ("a.jsonl", "9" * 5000, ["a.jsonl:1: JSON beyond what can be read"]),
        ("a.jsonl", "[" * 200_000, ["a.jsonl:1: JSON beyond what can be read"]),
        ("a.json", JSONL, ["a.json:2: invalid JSON", "set format: jsonl"]),
        ("a.json", '{"data": []}', ["a.json: found {'data': []}", "one list of objects"]),
        ("a.json", f"[{ROW}, 5]", ["a.json: item 2: found 5", "expected an object"]),
        (
            "a.jsonl",
            ROW.encode() + b'{"text": "sch\xf6n"}\n',
            ["a.jsonl:2: byte 14 of the line (0xf6) is not UTF-8", "save the file as UTF-8"],
        ),
        ("a.csv", "text,label\nschön,good\n".encode("latin-1"), ["a.csv:2: byte 4", "UTF-8"]),
        ("a.csv", CSV.encode("utf-16"), ["a.csv:1: found a NUL byte", "UTF-16"]),
        ("a.jsonl", b"PAR1\x00\x01\n", ["a.jsonl:1: found a NUL byte", "real format"]),
        ("a.csv", "text,label\nx\n", ["a.csv:2: found 1 cells, expected 2", "double quotes"]),
        ("a.csv", "text,label\n\na,b,good\n", ["a.csv:3: found 3 cells, expected 2"]),
        ("a.csv", 'text,label\nx,good\n"open,bad\nx,good\n', ["a.csv:3: broken cell", "close"]),
        ("a.csv", f'text,label\n"{"x" * 140_000}",good\n', ["a.csv:2: broken cell", "JSON Lines"]),
        ("a.csv", "text,text\nx,y\n", ["a.csv:1: the header names 'text' more than once"]),
        ("a.csv", "text;label\nx;good\n", ["a.csv:1: the header is one cell", "seems to use ';'"]),
        ("a.tsv", "text,label\nx,good\n", ["a.tsv:1: the header is one cell", "seems to use ','"]),
        ("a.parquet", "no parquet at all", ["a.parquet: cannot be read as Parquet"]),
        ("a.parquet.gz", b"", ["a.parquet.gz: Parquet inside gzip", "gunzip"]),
        ("a.csv.gz", b"text,label\n", ["a.csv.gz: cannot be read", "whole"]),
        ("a.csv.gz", gzip.compress(CSV.encode())[:-12], ["a.csv.gz: cannot be read", "whole"]),
        ("a.jsnl", JSONL, ["a.jsnl: no format", "'.jsnl'", "did you mean '.jsonl'"]),
        ("a", JSONL, ["a: no format", "set format: jsonl | json | csv"]),
    ],
)
def test_a_bad_file_is_one_clear_line(folder, name, content, parts):
    message = folder.problem(name, content, SPEC)
    for part in parts:
        assert part in message


def test_a_missing_file_names_the_nearest(folder):
    folder.write("de/train.jsonl", JSONL)

    def message(path: str) -> str:
        return problem(lambda: records(FileSource(folder.path / path)))

    assert "'trian.jsonl' is not in" in message("de/trian.jsonl")
    assert "did you mean 'train.jsonl'" in message("de/trian.jsonl")
    assert "no such folder: 'dee' is not in" in message("dee/train.jsonl")
    assert "did you mean 'de'" in message("dee/train.jsonl")
    assert "check the path" in message("zzz.csv")
    assert "found a folder, expected a file" in message("de")


def test_parquet_without_pyarrow_names_the_extra(folder, monkeypatch):
    real_import = builtins.__import__

    def no_pyarrow(name, *args, **kwargs):
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    source = folder.write("a.parquet", b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'langmerge\[data\]'"):
        read_split(source, SPEC)


def test_csv_settings_of_the_process_are_left_alone(folder):
    before = csv.field_size_limit()
    folder.rows("a.csv", CSV, SPEC)
    assert csv.field_size_limit() == before
