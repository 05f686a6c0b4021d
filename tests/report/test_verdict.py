"""The verdict: what counts as parity, and that undecided is never called equal."""

import pytest

from langmerge.report.verdict import outcome, verdict
from langmerge.results import Comparison


def compared(difference: float, low: float | None, high: float | None, p: float, **more: object):
    about = {"task": "topic", "model": "merged:ties", "against": "combined", "metric": "macro_f1"}
    return Comparison(
        **{**about, **more}, difference=difference, low=low, high=high, p_value=p / 2, p_holm=p
    )


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "expected"),
    [
        (0.1, -0.9, 0.8, 0.9, "parity"),
        (0.5, 0.2, 0.9, 0.01, "parity"),
        (0.1, -1.1, 0.8, 0.9, "undecided"),
        (0.1, -0.8, 1.1, 0.9, "undecided"),
        (-3.0, -5.0, -1.0, 0.01, "worse"),
        (3.0, 1.0, 5.0, 0.01, "better"),
        (3.0, 0.1, 5.0, 0.06, "undecided"),
        (0.0, None, None, 1.0, "undecided"),
    ],
)
def test_outcomes(
    difference: float, low: float | None, high: float | None, p: float, expected: str
) -> None:
    assert outcome(compared(difference, low, high, p), margin=1.0, alpha=0.05) == expected


def test_the_adjusted_p_value_counts() -> None:
    found = compared(-3.0, -5.0, -1.0, 0.08)
    assert found.p_value < 0.05
    assert outcome(found, margin=1.0, alpha=0.05) == "undecided"
    old = found.model_copy(update={"p_holm": None})
    assert outcome(old, margin=1.0, alpha=0.05) == "worse"


def test_two_sentences_name_every_task() -> None:
    found = [
        compared(-10.7, -15.4, -1.9, 0.028),
        compared(-0.3, -6.0, 5.5, 0.92, task="reasoning", minimum_detectable=8.2),
        compared(0.2, -0.4, 0.8, 0.5, task="summaries"),
        compared(5.0, 1.0, 9.0, 0.02, against="individual"),
        compared(9.0, 5.0, 12.0, 0.001, against="base"),
    ]
    first, second = verdict(found, "merged:ties", margin=1.0, alpha=0.05)

    assert first == (
        "Against the model trained on all languages together, merged:ties is worse on topic "
        "(−10.7, interval −15.4 to −1.9), at parity within 1 point on summaries (+0.2, interval "
        "−0.4 to +0.8) and undecided at this number of test rows on reasoning (−0.3, interval −6.0 "
        "to +5.5; could show 8.2 or more)."
    )
    assert second == (
        "Against each language's own adapter, merged:ties is better (+5.0, interval +1.0 to +9.0)."
    )


def test_what_was_not_measured_gives_way() -> None:
    found = [
        compared(9.0, 5.0, 12.0, 0.001, against="base"),
        compared(1.0, None, None, 1.0, against="best-single"),
    ]
    first, second = verdict(found, "merged:ties", margin=1.0, alpha=0.05)
    assert "best single adapter" in first
    assert "too few rows for an interval" in first
    assert "the base model" in second
    assert verdict(found, "merged:other", margin=1.0, alpha=0.05) == ()
