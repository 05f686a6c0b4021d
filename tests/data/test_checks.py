"""Findings: leaks between splits, tiny test sets, labels a language never shows."""

from langmerge.data import Finding, Row, Split, check_language_splits, compare_labels, overlap


def split(*rows: Row) -> Split:
    return Split(rows)


def row(id: str, text: str = "", target: str = "x", group: str | None = None, **rest) -> Row:
    return Row(id, group or id, {"text": text or f"text of {id}"}, target, **rest)


def numbered(count: int, prefix: str = "t") -> list[Row]:
    return [row(f"{prefix}{i}") for i in range(count)]


def test_overlap_ignores_case_space_and_target():
    train = split(row("a", "Guten  Tag\nWelt"), row("b", "anders"))
    other = split(row("c", " GUTEN TAG welt ", target="y"), row("d", "Guten Tag"))
    assert overlap(train, other) == [("c", "a")]


def test_overlap_compares_messages():
    train = split(Row("a", "a", {}, "x", messages=(("user", "Hi"),)))
    other = split(
        Row("b", "b", {}, "y", messages=(("user", "hi"),)),
        Row("c", "c", {}, "x", messages=(("system", "hi"),)),
    )
    assert [pair.id for pair in overlap(train, other)] == ["b"]


def test_overlap_tells_choices_apart_by_the_right_one():
    def choice(id, target, wrong):
        return row(id, "Which is true?", target, choices=(target, wrong), answer=0)

    train = split(choice("a", "Rome", "Bern"))
    assert overlap(train, split(choice("b", "Oslo", "Bern"))) == []
    assert [pair.train_id for pair in overlap(train, split(choice("c", "rome", "Oslo")))] == ["a"]


def test_clean_splits_give_no_findings():
    train = split(*numbered(20, "train"))
    assert check_language_splits({"train": train, "test": split(*numbered(10))}) == []


def test_leaked_rows_are_counted_and_named():
    train = split(*numbered(20))
    test = split(*(row(f"x{i}", f"Text of T{i}") for i in range(5)), *numbered(10, "new"))
    (finding,) = check_language_splits({"train": train, "test": test})
    assert finding.severity == "warning"
    assert "test: 5 of 15 rows also stand in train ('x0', 'x1', 'x2' and 2 more)" in finding.message


def test_a_split_that_is_part_of_train_is_an_error():
    train = split(*numbered(20))
    (finding,) = check_language_splits({"train": train, "dev": split(*numbered(12))})
    assert finding.severity == "error"
    assert "dev: all of 12 rows" in finding.message


def test_shared_groups_are_counted():
    train = split(row("a", group="g1"), row("b", group="g2"), row("c"))
    test = split(row("d", group="g1"), row("e", group="g2"), row("c", "new"), *numbered(10))
    (finding,) = check_language_splits({"train": train, "test": test})
    assert "test: 2 groups also stand in train ('g1', 'g2')" in finding.message


def test_a_tiny_test_split():
    (finding,) = check_language_splits({"test": split(*numbered(9))})
    assert "test: found 9 rows, expected at least 10" in finding.message
    assert finding.severity == "warning"


def test_labels_a_language_never_shows():
    splits = {
        "zh": split(row("a", target="good")),
        "en": split(row("b", target="good"), row("c", target="bad"), row("d", target="neutral")),
    }
    (finding,) = compare_labels(splits, ("bad", "neutral", "good"))
    assert isinstance(finding, Finding)
    assert "zh: train has no row labelled 'bad', 'neutral'" in finding.message
