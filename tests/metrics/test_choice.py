"""Multiple-choice metrics against hand-computed values and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from langmerge.metrics import choice_metrics
from langmerge.metrics.choice import calibration_error


def _values(answers, scores, choices) -> dict[str, float]:
    return {metric.name: metric.value for metric in choice_metrics(answers, scores, choices)}


def test_the_normalized_rule_divides_by_bytes() -> None:
    # Raw prefers the short choice; per byte, -4/8 = -0.5 beats -3/3 = -1.
    values = _values([1], [[-3.0, -4.0]], [["yes", "no, not."]])

    assert values["accuracy"] == 0
    assert values["accuracy_norm"] == 100


def test_a_character_of_three_bytes_counts_three() -> None:
    # 猫 is 3 bytes: -3/3 = -1 beats -2.2/2; counted in characters, "ab" would win.
    assert _values([0], [[-3.0, -2.2]], [["猫", "ab"]])["accuracy_norm"] == 100


def test_rows_may_have_different_numbers_of_choices() -> None:
    scores = [[-1.0, -2.0], [-5.0, -4.0, -3.0], [-1.0, -9.0]]
    values = _values([0, 2, 1], scores, [["a", "b"], ["a", "b", "c"], ["a", "b"]])

    assert values["accuracy"] == pytest.approx(200 / 3)
    assert values["macro_f1"] == pytest.approx(
        100 * f1_score([0, 2, 1], [0, 2, 0], average="macro", zero_division=0)
    )


def test_the_names_and_their_order() -> None:
    names = [metric.name for metric in choice_metrics([0], [[0.0]], [["a"]])]
    assert names == ["accuracy_norm", "macro_f1_norm", "accuracy", "macro_f1", "calibration_error"]


def test_always_answering_first_scores_low_in_macro_f1() -> None:
    values = _values([0, 1, 2, 3], [[-1, -2, -2, -2]] * 4, ["abcd"] * 4)

    assert values["accuracy"] == 25
    assert values["macro_f1"] == pytest.approx(100 * (2 / 5) / 4)


def test_the_first_of_equal_choices_wins() -> None:
    assert _values([0], [[-1.0, -1.0]], [["a", "b"]])["accuracy"] == 100


def test_an_empty_choice_has_one_byte() -> None:
    assert _values([1], [[-3.0, -2.0]], [["", "b"]])["accuracy_norm"] == 100


def test_calibration_error_by_hand() -> None:
    # Confidence 0.8 three times, right twice: gap |2.4 - 2|. Confidence 0.6 once, wrong: 0.6.
    sure, unsure = [math.log(0.8), math.log(0.2)], [math.log(0.6), math.log(0.4)]

    error = calibration_error([0, 0, 1, 1], [sure, sure, sure, unsure])

    assert error.value == pytest.approx(100 * (0.4 + 0.6) / 4)


def test_calibration_error_agrees_with_the_textbook_form() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(scale=2, size=(200, 4))
    answers = rng.integers(0, 4, size=200)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == answers
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1)
        if inside.any():
            gap = abs(confidence[inside].mean() - correct[inside].mean())
            expected += inside.mean() * gap

    error = calibration_error(answers.tolist(), scores.tolist())

    assert error.value == pytest.approx(100 * expected)


def test_certainty_falls_in_the_last_bin() -> None:
    assert calibration_error([0], [[0.0, -1000.0]]).value == 0


@pytest.mark.parametrize(
    ("answers", "scores", "choices", "message"),
    [
        ([0], [[-1.0]], [["a", "b"]], "row 0: 1 scores, 2 choices"),
        ([0, 2], [[-1.0, -2.0]] * 2, [["a", "b"]] * 2, "row 1: answer 2 is not in 0..1"),
        ([0], [[-1.0, math.nan]], [["a", "b"]], "row 0: a log-likelihood is NaN"),
    ],
)
def test_rows_whose_parts_do_not_fit_are_refused(answers, scores, choices, message) -> None:
    with pytest.raises(ValueError, match=message):
        choice_metrics(answers, scores, choices)
