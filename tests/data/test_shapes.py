"""Every shape: what it gives, and what is said of a record that does not fit."""

import json
import unicodedata

import pytest

from langmerge.data import SHAPES, RowSpec

CLASSIFICATION = RowSpec(
    ("text_label", "prompt_completion", "messages", "alpaca"), labels=("sports", "politics")
)
GENERATION = RowSpec(("text_summary", "prompt_completion", "messages", "alpaca"))
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "sports"},
]


def one(folder, record, spec):
    (row,) = folder.rows("a.jsonl", json.dumps(record), spec)
    return row


def problem(folder, record, spec):
    return folder.problem("a.jsonl", json.dumps(record), spec)


@pytest.mark.parametrize(
    ("record", "fields", "target"),
    [
        ({"text": "t", "summary": "s"}, {"text": "t"}, "s"),
        ({"prompt": "p", "completion": "c"}, {"prompt": "p"}, "c"),
        ({"instruction": "i", "output": "o"}, {"instruction": "i", "input": ""}, "o"),
        (
            {"instruction": "i", "input": "x", "output": "o"},
            {"instruction": "i", "input": "x"},
            "o",
        ),
        (
            {"instruction": "i", "input": None, "output": 42},
            {"instruction": "i", "input": ""},
            "42",
        ),
        ({"messages": CHAT}, {}, "sports"),
    ],
)
def test_generation(folder, record, fields, target):
    row = one(folder, record, GENERATION)
    assert (row.fields, row.target) == (fields, target)
    assert (row.choices, row.answer) == ((), None)


@pytest.mark.parametrize(
    "record",
    [
        {"text": "t", "label": "sports"},
        {"text": "t", "label": " sports "},
        {"text": "t", "label": 0},
        {"text": "t", "label": "0"},
        {"prompt": "p", "completion": " sports"},
        {"instruction": "i", "output": "sports"},
        {"messages": CHAT},
    ],
)
def test_classification(folder, record):
    assert one(folder, record, CLASSIFICATION).target == "sports"


def test_messages_before_the_last_are_the_prompt(folder):
    assert one(folder, {"messages": CHAT}, GENERATION).messages == (
        ("system", "Be brief."),
        ("user", "Hi"),
    )
    assert one(folder, {"messages": json.dumps(CHAT)}, GENERATION).target == "sports"


def test_numbers_as_labels_are_labels_not_indices(folder):
    stars = RowSpec(("text_label",), labels=("1", "2", "3"))
    assert one(folder, {"text": "t", "label": 1}, stars).target == "1"
    message = problem(folder, {"text": "t", "label": 0}, stars)
    assert "expected one of the labels '1', '2', '3'" in message
    assert "index" not in message


def test_labels_match_in_any_normal_form_and_keep_the_declared_spelling(folder):
    declared = unicodedata.normalize("NFD", "négatif")
    spec = RowSpec(("text_label",), labels=(declared, "positif"))
    assert one(folder, {"text": "t", "label": "négatif"}, spec).target == declared


def test_the_first_fitting_shape_is_taken(folder):
    record = {"text": "t", "label": "sports", "prompt": "p", "completion": "politics"}
    assert one(folder, record, CLASSIFICATION).target == "sports"


def test_columns_are_renamed_and_stay_usable_under_their_own_names(folder):
    spec = RowSpec(
        ("text_label",), fields=("text", "body"), columns={"text": "body", "label": "kind"}
    )
    row = one(folder, {"body": "b", "kind": "k"}, spec)
    assert (row.fields, row.target) == ({"text": "b", "body": "b"}, "k")
    swapped = RowSpec(("text_label",), columns={"text": "label", "label": "text"})
    row = one(folder, {"text": "k", "label": "b"}, swapped)
    assert (row.fields, row.target) == ({"text": "b"}, "k")


def test_further_fields_of_the_prompt_come_from_columns(folder):
    spec = RowSpec(("text_summary",), fields=("title", "text", "year"))
    row = one(folder, {"text": "t", "summary": "s", "title": "", "year": 1999}, spec)
    assert row.fields == {"text": "t", "title": "", "year": "1999"}
    message = problem(folder, {"text": "t", "summary": "s", "titel": "x", "year": 1}, spec)
    assert "a.jsonl:1: the prompt's field 'title': there is no column 'title'" in message
    assert "did you mean 'titel'" in message


def test_text_is_normalized_and_otherwise_untouched(folder):
    row = one(folder, {"text": " e\u0301\r\n\tx\r ", "summary": " s"}, GENERATION)
    assert (row.fields["text"], row.target) == (" é\n\tx\n ", " s")


def test_id_and_group(folder):
    row = one(folder, {"id": 7, "group": 8, "text": "t", "summary": "s"}, GENERATION)
    assert (row.id, row.group) == ("7", "8")
    row = one(folder, {"id": " x ", "group": " ", "text": "t", "summary": "s"}, GENERATION)
    assert (row.id, row.group) == ("x", "x")


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"text": " \n", "label": "sports"}, ["a.jsonl:1: field 'text': found nothing", "fill it"]),
        ({"text": None, "label": "sports"}, ["field 'text': found nothing"]),
        ({"text": "t", "label": ""}, ["field 'label': found nothing"]),
        ({"text": ["t"], "label": "sports"}, ["field 'text': found ['t'], expected text"]),
        ({"text": 1.5, "label": "sports"}, ["field 'text': found 1.5, expected text"]),
        ({"text": True, "label": "sports"}, ["field 'text': found True, expected text"]),
        ({"text": "a\ud83d", "label": "sports"}, ["field 'text'", "surrogate pair (U+D83D)"]),
        (
            {"text": "t", "label": "sprots"},
            [
                "a.jsonl:1: field 'label': found 'sprots'",
                "expected one of the labels 'sports', 'politics', or an index from 0 to 1",
                "did you mean 'sports'",
            ],
        ),
        ({"text": "t", "label": 2}, ["field 'label': found '2'", "index from 0 to 1", "add the"]),
        ({"text": "t", "label": "9" * 5000}, ["field 'label': found '999"]),
        ({"text": "t", "label": -1}, ["field 'label': found '-1'"]),
        ({"text": "t", "label": "²"}, ["field 'label': found '²'"]),
        ({"prompt": "p", "completion": "x"}, ["field 'completion': found 'x'", "'politics'"]),
        ({"messages": "hello"}, ["field 'messages': found 'hello', expected a JSON list"]),
        ({"messages": CHAT[2:]}, ["field 'messages'", "at least two messages"]),
        ({"messages": ["a", "b"]}, ["field 'messages[0]': found 'a'", '{"role": "user"']),
        ({"messages": CHAT[:2]}, ["field 'messages[1].role': found 'user'", "'assistant'"]),
        (
            {"messages": [{"role": "assistent", "content": "x"}, CHAT[2]]},
            ["field 'messages[0].role': found 'assistent'", "did you mean 'assistant'"],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}, CHAT[2]]},
            ["field 'messages[0].content': found [{'type': 'text'}], expected text"],
        ),
        (
            {"messages": [CHAT[1], {"role": "assistant", "content": "maybe"}]},
            ["field 'messages[1].content': found 'maybe'", "one of the labels"],
        ),
        ({"id": 1.0, "text": "t", "label": "sports"}, ["field 'id': found 1.0, expected text"]),
    ],
)
def test_a_bad_record_is_one_clear_line(folder, record, parts):
    message = problem(folder, record, CLASSIFICATION)
    for part in parts:
        assert part in message


def test_no_shape_fits(folder):
    message = problem(folder, {"Text": "t", "class": "sports"}, CLASSIFICATION)
    assert "a.jsonl:1: the columns 'Text', 'class' fit no accepted shape" in message
    assert "text_label needs text, label; prompt_completion needs prompt, completion" in message
    assert "say which is which with columns: {text: Text, label: ...}" in message
    message = problem(folder, {"question": "q", "answerKey": "A"}, RowSpec(("question_choices",)))
    assert "choices (or choice_a, choice_b, ... or A, B, ...)" in message
    assert "answer: answerKey" in message


def test_bad_column_names(folder):
    def message(**columns):
        spec = RowSpec(("text_label",), columns=columns)
        return problem(folder, {"body": "t", "label": "x"}, spec)

    assert "columns: text: there is no column 'bdy'" in message(text="bdy")
    assert "did you mean 'body'" in message(text="bdy")
    assert "nothing reads the name 'txt' (for 'body')" in message(txt="body")
    assert "did you mean 'text'" in message(txt="body")


def test_messages_name_the_renamed_column(folder):
    spec = RowSpec(("text_label",), columns={"text": "body"})
    message = problem(folder, {"body": "", "label": "x"}, spec)
    assert "field 'text' (column 'body'): found nothing" in message


def test_a_field_missing_in_a_later_row(folder):
    content = '{"text": "t", "label": "x"}\n{"text": "t"}\n'
    message = folder.problem("a.jsonl", content, RowSpec(("text_label",)))
    assert "a.jsonl:2: field 'label': not in this row, which has 'text'" in message


def test_the_table_names_each_shape_by_its_name():
    assert all(SHAPES[name].name == name for name in SHAPES)
