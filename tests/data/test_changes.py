import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from langmerge.data import Row, changes_between, row_digest, rows_to_learn, share_of_rows


def row(text: str, id: str = "") -> Row:
    return Row(id or text, id or text, {"text": text}, "good")


def rows(*texts: str) -> tuple[Row, ...]:
    return tuple(map(row, texts))


def test_changes_count_copies_and_ignore_ids() -> None:
    old = rows("a", "b", "b")
    new = (row("a", "renamed"), *rows("b", "c", "d"))

    assert changes_between(old, new) == (2, 1)
    assert str(changes_between(old, new)) == "+2 rows, -1"


def test_a_changed_target_is_another_row() -> None:
    first = row("a")

    assert row_digest(first) != row_digest(replace(first, target="bad"))


def test_new_rows_are_always_learned() -> None:
    known = {row_digest(found) for found in rows("a", "b")}

    assert rows_to_learn(rows("a", "b", "c"), known, replay=0, seed=0) == rows("c")
    assert rows_to_learn(rows("a", "b", "c"), known, replay=1, seed=0) == rows("a", "b", "c")


@given(
    st.integers(0, 40), st.integers(0, 10), st.floats(0, 1), st.integers(0, 5), st.integers(1, 10)
)
def test_a_replayed_share_is_rounded_up_and_stays_when_rows_come(
    old: int, new: int, replay: float, seed: int, later: int
) -> None:
    known_rows = rows(*(f"old {i}" for i in range(old)))
    known = {row_digest(found) for found in known_rows}
    present = known_rows + rows(*(f"new {i}" for i in range(new)))

    chosen = rows_to_learn(present, known, replay, seed)
    with_more = rows_to_learn(
        present + rows(*(f"later {i}" for i in range(later))), known, replay, seed
    )

    replayed = len(chosen) - new
    assert replayed == math.ceil(replay * old)
    assert with_more[: len(chosen)] == chosen


def test_a_share_of_rows_is_drawn_by_content_and_seed() -> None:
    every = rows(*"abcdefghij")
    chosen = share_of_rows(every, 0.25, seed=1)

    assert len(chosen) == 3
    assert [row for row in every if row in chosen] == list(chosen)
    assert share_of_rows(every[::-1], 0.25, seed=1) == chosen[::-1]
    assert any(share_of_rows(every, 0.25, seed=seed) != chosen for seed in range(20))
    assert share_of_rows(every, 1.0, seed=1) == every
    assert len(share_of_rows(every, 0.0001, seed=1)) == 1
    # A larger share holds a smaller one.
    larger = share_of_rows(every, 0.5, seed=1)
    assert len(larger) == 5
    assert all(row in larger for row in chosen)
