"""Which candidate a written answer names: by hand, in nine languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langmerge.tasks.parsing import parse_answer

LETTERS = ("A", "B", "C")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", 1),
        (" b\n", 1),
        ("(B)", 1),
        ('"B"', 1),
        ("B. Paris", 1),
        ("Ｂ）", 1),
        ("B) because A is wrong", 1),
        ("A or B", 0),
        ("Bern", None),
        ("D", None),
        ("I think B", None),
        ("", None),
        ("...", None),
    ],
)
def test_letters(text: str, expected: int | None) -> None:
    assert parse_answer(text, LETTERS) == expected


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        (("positive", "negative"), "Negative.", 1),
        (("gut", "schlecht"), "Schlecht, weil", 1),
        (("gut", "schlecht"), "gutes Hotel", None),
        (("négatif", "positif"), "NE\u0301GATIF", 0),
        (("良い", "悪い"), "悪いと思います", 1),
        (("好", "坏"), "「坏」。", 1),
        (("ดี", "แย่"), "แย่มาก", 1),
        (("إيجابي", "سلبي"), "سلبي.", 1),
        (("अच्छा", "बुरा"), "बुरा है", 1),
        (("nzuri", "mbaya"), "Mbaya sana", 1),
        (("mbaya", "mbayaya"), "mbayaya", 1),
    ],
)
def test_labels(labels: tuple[str, ...], text: str, expected: int | None) -> None:
    assert parse_answer(text, labels) == expected


def test_the_longest_candidate_wins_and_equal_ones_name_nothing() -> None:
    assert parse_answer("New York City", ("New York", "New York City")) == 1
    assert parse_answer("New York is it", ("New York", "New York City")) == 0
    assert parse_answer("yes", ("Yes", "yes")) is None
    assert parse_answer("?", ("?", "!")) is None


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@given(st.lists(words, min_size=1, max_size=5, unique_by=lambda word: word.casefold()), st.data())
def test_a_candidate_itself_is_never_taken_for_another(candidates, data) -> None:
    index = data.draw(st.integers(0, len(candidates) - 1))
    assert parse_answer(f" {candidates[index]}. ", candidates) in (index, None)
