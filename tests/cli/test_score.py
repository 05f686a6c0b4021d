"""`langmerge score`: values of files, and mistakes named with file and lines."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.errors import DataError
from langmerge.metrics import generation_metrics
from langmerge.score import score_files


@pytest.fixture
def files(tmp_path: Path):
    def write(**texts: str) -> list[Path]:
        paths = [tmp_path / f"{name}.txt" for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8", newline="")
        return paths

    return write


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["score", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_japanese_is_measured_in_characters(files) -> None:
    answers, right = files(answers="天気が良い\n雨\n", right="天気が悪い\n雨\n")

    found = {
        row["name"]: row for row in json.loads(call(answers, right, "--language=ja", "--json"))
    }

    # 4 of 5 characters, and all of 1.
    assert found["rouge1"]["value"] == pytest.approx((80 + 100) / 2)
    assert found["rouge1"]["low"] <= 90 <= found["rouge1"]["high"]
    assert "|tok:char|" in found["rougeL"]["signature"]


def test_the_table_shows_value_interval_and_signature(files) -> None:
    answers, right = files(answers="a b\na b\n", right="a b\na c\n")
    shown = call(answers, right, "--language=en", "--metric=rouge", "--metric=chrf")

    assert "rouge1" in shown
    assert "75.0" in shown
    assert "50.0–100.0" in shown
    assert "|sacrebleu:" in shown


def test_values_are_those_of_a_run(files) -> None:
    texts = (
        ["the cat sat on the mat", "a dog"],
        ["the cat sat", "a dog ran"],
        ["the cat sat on"] * 2,
    )
    right, answers, sources = files(**{n: "\n".join(t) for n, t in zip("ras", texts, strict=True)})
    expected = {m.name: m for m in generation_metrics(*texts, "en")}

    found = score_files(
        answers,
        right,
        language="en",
        metrics=["rouge", "chrf", "exact_match", "length", "copying"],
        sources=sources,
    )

    assert len(found) == 10
    for each in found:
        assert each.interval.value == pytest.approx(expected[each.name].value)
        assert each.signature == expected[each.name].signature


def test_labels_that_no_reference_has_are_declared(files) -> None:
    answers, right = files(answers="yes\nno\nmaybe\nwhat", right="yes \nno\r\nno\nno\n")

    def values(*options: str) -> dict[str, float]:
        rows = json.loads(call(answers, right, "--language=en", "--metric=f1", *options, "--json"))
        return {row["name"]: row["value"] for row in rows}

    assert values()["unparseable"] == 50
    declared = values("--labels=yes,no,maybe")
    assert declared["unparseable"] == 25
    assert declared["f1:maybe"] == 0
    assert declared["macro_f1"] == pytest.approx((100 + 50 + 0) / 3)


def test_lines_of_a_group_are_resampled_together(files) -> None:
    answers, right, groups = files(answers="a\nb\n" * 20, right="a\na\n" * 20, groups="x\ny\n" * 20)

    alone = score_files(answers, right, language="en", metrics=["exact_match"])[0].interval
    grouped = score_files(answers, right, language="en", metrics=["exact_match"], groups=groups)[
        0
    ].interval

    assert alone.value == grouped.value == 50
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_unicode_line_separators_are_text(files) -> None:
    answers, right = files(answers="a\u2028b\n", right="a\u2028b\n")
    assert score_files(answers, right, language="en")[0].interval.value == 100


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ({"a": "1\n2\n", "r": "1\n"}, {}, r"a\.txt has 2 lines, .*r\.txt has 1; .*one item a line"),
        ({"a": "1\n", "r": ""}, {}, r"r\.txt: found no line"),
        ({"a": "1\n", "r": "1\n"}, {"metrics": ["rogue"]}, "--metric rogue: unknown; did you mean"),
        ({"a": "1\n", "r": "1\n"}, {"metrics": ["copying"]}, "give their file by --sources"),
        ({"a": "1\n", "r": "1\n"}, {"metrics": ["language"]}, "'en' cannot be told"),
        ({"a": "1\n", "r": "1\n"}, {"confidence": 95}, "--confidence is 95"),
        (
            {"a": "x\nx\n", "r": "x\nyes\n"},
            {"metrics": ["f1"], "labels": ["x", "yess"]},
            r"r\.txt:2: found 'yes', expected one of the labels x, yess; did you mean 'yess'",
        ),
    ],
)
def test_mistakes_are_named(files, texts, options, message: str) -> None:
    answers, right = files(**texts)
    with pytest.raises(DataError, match=message):
        score_files(answers, right, language="en", **options)


def test_files_that_are_none_are_named(files, tmp_path: Path) -> None:
    (answers,) = files(a="1\n")
    with pytest.raises(DataError, match=r"missing: cannot be read"):
        score_files(answers, tmp_path / "missing", language="en")
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="latin: not UTF-8 at byte 3"):
        score_files(answers, tmp_path / "latin", language="en")
