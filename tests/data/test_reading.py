"""Splits: identity, order, language; and langmerge's own JSON Lines."""

import csv
import io
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langmerge.data import FileSource, Row, RowSpec, Split, read_rows, read_split, write_rows
from langmerge.errors import StorageError

from .conftest import problem

CHOICE = RowSpec(("question_choices",))
LABEL = RowSpec(("text_label",))
QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# NUL is refused in files, and half a surrogate pair is no text.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
filled = texts.filter(str.strip)
questions = st.fixed_dictionaries(
    {
        "question": filled,
        "choices": st.lists(filled, min_size=2, max_size=4).map(
            lambda choices: [f"{i} {choice}" for i, choice in enumerate(choices)]
        ),
        "answer": st.sampled_from([0, 1]),
        "group": st.sampled_from(["", "g", "h"]),
    }
)
rows = st.builds(
    Row,
    id=filled,
    group=filled,
    fields=st.dictionaries(filled, texts, max_size=2),
    target=filled,
    choices=st.lists(texts, max_size=3).map(tuple),
    answer=st.none() | st.integers(0, 2),
    messages=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), max_size=2).map(
        tuple
    ),
)


def as_jsonl(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def as_csv(records):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        cells = {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        writer.writerow(cells)
    return file.getvalue()


@QUICK
@given(st.lists(questions, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_digest_depends_on_content_alone(folder, records, chance: random.Random):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    expected = read_split(folder.write("a.jsonl", as_jsonl(records)), CHOICE).digest

    shuffled = chance.sample(records, len(records))
    turned = [dict(reversed(record.items())) for record in shuffled]
    path = folder.path / "d.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(turned), path)
    sources = [
        folder.write("b/other name.jsonl", as_jsonl(turned)),
        folder.write("c.csv", as_csv(shuffled)),
        folder.write("c.json", json.dumps(turned)),
        FileSource(path),
    ]
    assert [read_split(source, CHOICE).digest for source in sources] == [expected] * 4


@QUICK
@given(st.lists(rows, max_size=5))
def test_rows_survive_writing_and_reading(tmp_path, written):
    path = tmp_path / "rows.jsonl"
    write_rows(path, written)
    assert read_rows(path) == tuple(written)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_digest_notices_each_change(folder):
    def digest(**changes):
        record = {"id": "1", "group": "g", "text": "t", "label": "x", **changes}
        return read_split(folder.write("a.jsonl", as_jsonl([record])), LABEL).digest

    changed = [digest(), *(digest(**{k: "new"}) for k in ("id", "group", "text", "label"))]
    assert len(set(changed)) == 5


def test_rows_are_sorted_by_id(folder):
    content = as_jsonl({"id": id, "text": id, "label": "x"} for id in ("b", "c", "a"))
    assert [row.id for row in folder.rows("a.jsonl", content, LABEL)] == ["a", "b", "c"]


def test_rows_without_id_are_named_by_content(folder):
    same, other = {"text": "t", "label": "x"}, {"text": "t", "label": "y"}
    found = folder.rows("a.jsonl", as_jsonl([same, other, same]), LABEL)
    ids = {row.id for row in found}
    (copy,) = (id for id in ids if id.endswith("-2"))
    assert len(ids) == 3
    assert copy.removesuffix("-2") in ids
    assert all(id.startswith("row-") and len(id.removesuffix("-2")) == 20 for id in ids)
    assert all(row.group == row.id for row in found)


def test_copies_in_different_groups_do_not_depend_on_order(folder):
    copies = [{"text": "t", "label": "x", "group": group} for group in "gh"]
    forth = folder.rows("a.jsonl", as_jsonl(copies), LABEL)
    assert folder.rows("b.jsonl", as_jsonl(copies[::-1]), LABEL) == forth


def test_an_id_given_twice_names_both_rows(folder):
    content = as_jsonl(
        [{"id": 1, "text": "t", "label": "x"}, {"id": "1", "text": "u", "label": "y"}]
    )
    message = folder.problem("a.jsonl", content, LABEL)
    assert "a.jsonl:2: field 'id': found '1', which a.jsonl:1 has too" in message


def test_one_language_of_a_file(folder):
    content = as_jsonl(
        {"lang": lang, "text": lang, "label": label}
        for lang, label in [("en", 1.5), ("de", "x"), ("fr", None), (" de", "y")]
    )
    spec = RowSpec(("text_label",), language_column="lang", language="de")
    assert {row.target for row in folder.rows("a.jsonl", content, spec)} == {"x", "y"}

    spec = RowSpec(("text_label",), language_column="lang", language="de-DE")
    message = folder.problem("a.jsonl", content, spec)
    assert "no row has lang 'de-DE'; its languages are 'de', 'en', 'fr'" in message
    assert "did you mean 'de'" in message

    spec = RowSpec(("text_label",), language_column="language", language="de")
    message = folder.problem("a.jsonl", content, spec)
    assert "language_column: there is no column 'language'" in message
    assert "did you mean 'lang'" in message

    spec = RowSpec(
        ("text_label",), columns={"tongue": "lang"}, language_column="tongue", language="fr"
    )
    assert "field 'label': found nothing" in folder.problem("a.jsonl", content, spec)


def test_reading_rows_that_langmerge_did_not_write(folder):
    for content in ('{"text": "t"}', '{"id": 1, "group": 1, "fields": 5, "target": ""}'):
        path = folder.write("a.jsonl", content).path
        assert "expected a row that langmerge wrote" in problem(lambda path=path: read_rows(path))
    assert "cannot be read" in problem(lambda: read_rows(folder.path / "missing.jsonl"))


def test_writing_where_nothing_can_be_written(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        write_rows(tmp_path / "missing" / "rows.jsonl", [])


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = Row("1", "1", {"text": "t"}, "x")
    write_rows(path, [row])

    def interrupted():
        yield row
        raise OSError("disk full")

    with pytest.raises(StorageError, match="disk full"):
        write_rows(path, interrupted())
    assert read_rows(path) == (row,)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_empty_split_has_a_digest():
    assert Split(()).digest != Split((Row("1", "1", {}, "x"),)).digest
