"""Multiple choice: choices and answers in the spellings of the data sets people have."""

import json

import pytest

from langmerge.data import RowSpec

SPEC = RowSpec(("question_choices",))
CHOICES = ["Rom", "Wien", "Bern"]
ARC = {"text": CHOICES, "label": ["A", "B", "C"]}


def record(choices=None, answer=0, **columns):
    listed = {} if choices is None else {"choices": choices}
    return {"question": "q", "answer": answer, **listed, **columns}


def one(folder, raw):
    (row,) = folder.rows("a.jsonl", json.dumps(raw), SPEC)
    return row


@pytest.mark.parametrize("answer", [1, "1", "B", "b", " B ", "Wien"])
@pytest.mark.parametrize(
    "choices",
    [
        {"choices": CHOICES},
        {"choices": json.dumps(CHOICES)},
        {"choice_a": "Rom", "choice_b": "Wien", "choice_c": "Bern"},
        {"choice_a": "Rom", "choice_b": "Wien", "choice_c": "Bern", "choice_d": ""},
        {"A": "Rom", "B": "Wien", "C": "Bern", "D": None},
    ],
)
def test_spellings(folder, choices, answer):
    row = one(folder, {"question": "q", "answer": answer, **choices})
    assert (row.choices, row.answer, row.target) == (tuple(CHOICES), 1, "Wien")
    assert row.fields == {"question": "q"}


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["A", "B", "C"], "B"),
        (["1", "2", "3"], "2"),
        ([1, 2, 3], 2),
        (["x", "y", "z"], "y"),
        (["A", "B", "C"], "Wien"),
        (None, 1),
        ([], "B"),
    ],
)
def test_named_choices(folder, names, answer):
    assert one(folder, record({"text": CHOICES, "label": names}, answer)).answer == 1


def test_named_choices_in_a_cell(folder):
    assert one(folder, record(json.dumps(ARC), "C")).target == "Bern"


@pytest.mark.parametrize(
    ("choices", "answer", "expected"),
    [
        ([3, 4, 5], 1, 1),  # a JSON number is an index
        (["4", "5", "6"], "5", 1),  # out of range as an index: a text
        (["A", "B"], "A", 0),  # letter and text agree
        (["0", "1"], "1", 1),  # index and text agree
    ],
)
def test_readings_that_leave_one_choice(folder, choices, answer, expected):
    assert one(folder, record(choices, answer)).answer == expected


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (
            record(CHOICES, 3),
            ["a.jsonl:1: field 'answer': found '3'", "index from 0 to 2", "from A to C"],
        ),
        (record(CHOICES, "9" * 5000), ["field 'answer': found '999"]),
        (record(CHOICES, -1), ["field 'answer': found '-1'"]),
        (record(CHOICES, "D"), ["field 'answer': found 'D'"]),
        (record(CHOICES, "Roma"), ["field 'answer': found 'Roma'", "text of a choice"]),
        (record(CHOICES, None), ["field 'answer': found nothing"]),
        (record(ARC, 1), ["field 'answer': found '1'", "one of the labels 'A', 'B', 'C'"]),
        (record(["1", "0"], "1"), ["may mean choice 0 ('1') and choice 1 ('0')", "letter"]),
        (record(["B", "A"], "A"), ["may mean choice 0 ('B') and choice 1 ('A')", "index"]),
        (record(["x", "y", "x"], 2), ["field 'choices': the right choice 'x' stands there twice"]),
        (record(["x", "x"], "x"), ["may mean choice 0 ('x') and choice 1 ('x')"]),
        (record(["x"]), ["field 'choices': found ['x']", "at least two"]),
        (record(5), ["field 'choices': found 5", "expected a list"]),
        (record(["x", " "]), ["field 'choices[1]': found nothing"]),
        (record(["x", 1.5]), ["field 'choices[1]': found 1.5, expected text"]),
        (record("x|y"), ["field 'choices': found 'x|y'", 'JSON list such as ["a", "b"]']),
        (record({"text": CHOICES, "label": ["A"]}), ["found 3 texts and 1 labels"]),
        (record(choice_a="x", choice_b=""), ["field 'choice_b': found nothing"]),
        (record(A="x", B="", C="y"), ["field 'B': found nothing"]),
    ],
)
def test_a_bad_record_is_one_clear_line(folder, raw, parts):
    message = folder.problem("a.jsonl", json.dumps(raw), SPEC)
    for part in parts:
        assert part in message


def test_choices_missing_in_a_later_row(folder):
    content = "\n".join(json.dumps(raw) for raw in (record(CHOICES), record()))
    assert "a.jsonl:2: field 'choices': found None" in folder.problem("a.jsonl", content, SPEC)


def test_columns_of_other_names(folder):
    spec = RowSpec(("question_choices",), columns={"choice_a": "ending0", "choice_b": "ending1"})
    raw = record(answer=1, ending0="x", ending1="y")
    (row,) = folder.rows("a.jsonl", json.dumps(raw), spec)
    assert row.choices == ("x", "y")
