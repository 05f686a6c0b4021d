"""The gate: better, worse, same or undecided, and what follows; with answers made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import LABELS, make_project

from langmerge.project import Project, load_project
from langmerge.tasks import Prediction
from langmerge.upkeep.gate import Answers, Compared, GateResult, judge

Right = Callable[[int], bool]
TASK = "classification"


def always(_: int) -> bool:
    return True


def answers(rows: range, right: Right, **changed: str) -> list[Prediction]:
    """Return an answer to each row, right where `right` says so; `changed` are rows' texts."""
    found = []
    for number in rows:
        answer = number % 2
        chosen = answer if right(number) else 1 - answer
        name = f"row{number}"
        found.append(
            Prediction(
                id=name,
                group=name,
                target=LABELS[answer],
                source=changed.get(name, f"text {number}"),
                answer=answer,
                candidates=LABELS,
                scores=(1.0, 0.0) if chosen == 0 else (0.0, 1.0),
            )
        )
    return found


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    def build(**release: Any) -> Project:
        return load_project(make_project(tmp_path, tmp_path / "base", release=release))

    return build


def pair(candidate: Right, release: Right, rows: int = 40) -> Answers:
    return Answers(answers(range(rows), candidate), answers(range(rows), release))


def ruled(project: Project, **languages: Answers) -> GateResult:
    return judge(project, {(TASK, code): found for code, found in languages.items()}, "1-x")


def one(project: Project, found: Answers) -> Compared:
    return ruled(project, de=found).compared[0]


def test_a_language_that_lost_much_refuses(project: Callable[..., Project]) -> None:
    found = ruled(project(), de=pair(lambda n: n > 12, always), en=pair(always, always))

    de, en = found.compared
    assert not found.passed
    assert (de.outcome, de.ruling, de.n) == ("worse", "refuse", 40)
    assert de.difference == pytest.approx((de.candidate or 0) - (de.release or 0))
    assert de.p_value is not None
    assert de.p_value < 0.05
    assert (en.outcome, en.ruling, en.difference) == ("same", "pass", 0.0)
    (reason,) = found.reasons("refuse")
    assert reason.startswith("classification de: worse: -")
    assert "more than release.max_drop, 1" in reason


def test_a_language_that_won_passes(project: Callable[..., Project]) -> None:
    found = one(project(), pair(always, lambda n: n > 12))

    assert (found.outcome, found.ruling, found.reason) == ("better", "pass", None)


def test_a_drop_within_what_is_allowed_warns(project: Callable[..., Project]) -> None:
    found = one(project(max_drop=50), pair(lambda n: n > 12, always))

    assert (found.outcome, found.ruling) == ("worse", "warn")
    assert "not more than release.max_drop, 50" in str(found.reason)


@pytest.mark.parametrize(
    ("release", "ruling"),
    [
        ({}, "warn"),
        ({"on_undecided": "refuse"}, "refuse"),
        ({"on_undecided": "refuse", "max_drop": 40}, "pass"),  # such a drop is ruled out
    ],
)
def test_undecided(project: Callable[..., Project], release: dict[str, Any], ruling: str) -> None:
    found = one(project(**release), pair(lambda n: n % 8 != 0, lambda n: n % 8 != 1))

    assert (found.outcome, found.ruling) == ("undecided", ruling)
    assert found.detectable is not None
    if ruling != "pass":
        assert f"the smallest difference they show reliably is {found.detectable:.1f}" in str(
            found.reason
        )


def test_few_rows_show_nothing(project: Callable[..., Project]) -> None:
    found = one(project(), pair(lambda _: False, always, rows=4))

    assert (found.outcome, found.ruling, found.detectable) == ("undecided", "warn", None)
    assert "so few rows" in str(found.reason)
    alone = one(project(), pair(lambda _: False, always, rows=1))
    assert (alone.low, alone.ruling) == (None, "warn")


def test_many_languages_are_corrected_for(project: Callable[..., Project]) -> None:
    weak = pair(lambda n: n > 4, always)
    alone = ruled(project(), de=weak)
    among = ruled(project(), de=weak, **{f"x{n}": pair(always, always) for n in range(20)})

    assert alone.compared[0].outcome == "worse"
    assert among.compared[0].outcome == "undecided"
    # However many languages: a large drop is still found, for resamples grow with them.
    large = ruled(
        project(), de=pair(lambda n: n > 20, always),
        **{f"x{n}": pair(always, always) for n in range(20)},
    )  # fmt: skip
    assert large.compared[0].ruling == "refuse"


def test_rows_that_differ_are_named_and_left_out(project: Callable[..., Project]) -> None:
    candidate = answers(range(2, 40), always, row5="corrected")
    release = answers(range(38), lambda n: n != 5)

    found = one(project(), Answers(candidate, release))

    assert (found.new_rows, found.gone_rows) == (["row38", "row39"], ["row0", "row1"])
    assert found.changed_rows == ["row5"]
    assert (found.n, found.outcome) == (35, "same")


def test_no_row_in_common(project: Callable[..., Project]) -> None:
    nothing = Answers(answers(range(4), always), answers(range(4, 8), always))

    found = one(project(), nothing)
    assert (found.n, found.difference, found.outcome, found.ruling) == (
        0,
        None,
        "undecided",
        "warn",
    )
    assert not ruled(project(on_undecided="refuse"), de=nothing).passed


def test_the_first_release_has_nothing_to_pass(project: Callable[..., Project]) -> None:
    found = judge(project(on_undecided="refuse"), {}, None)

    assert found.passed
    assert found.compared == []
