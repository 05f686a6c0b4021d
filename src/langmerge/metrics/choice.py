"""Multiple-choice metrics, from the log-likelihood of every choice of every row.

Two rules pick an answer; the first of equal choices wins:

- raw: the choice of highest log-likelihood. Prefers short choices.
- per byte (`_norm`): of highest log-likelihood per UTF-8 byte of the choice's text, as lm-eval's
  `acc_norm`, but in bytes, which depend on no tokenizer and no script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from langmerge.metrics.base import Finish, Floats, Metric, ratio, signature
from langmerge.metrics.classification import (
    accuracy,
    label_statistics,
    macro_f1,
    unparseable_share,
)

CALIBRATION_BINS = 10


def choice_metrics(
    answers: Sequence[int], scores: Sequence[Sequence[float]], choices: Sequence[Sequence[str]]
) -> tuple[Metric, ...]:
    """Return accuracy and macro-F1 under both rules, `accuracy_norm` first, and calibration error.

    Macro-F1 takes the positions of the choices as labels, so that always answering "the first"
    is seen to be worth little.

    Args:
        answers: position of every row's right choice.
        scores: log-likelihood of every row's choices, in nats.
        choices: the choices' texts; rows may have different numbers of them.

    Returns:
        Metrics on a scale of 0 to 100. Of `calibration_error`, less is better.

    Raises:
        ValueError: if a row's parts do not fit together, or a score is NaN.
    """
    _check_rows(answers, scores, choices)
    n_positions = max(map(len, choices), default=0)
    raw = [_argmax(row) for row in scores]
    per_byte = [_argmax(_per_byte(*row)) for row in zip(scores, choices, strict=True)]
    return (
        *_answer_metrics(answers, per_byte, n_positions, "_norm", "log-likelihood-per-byte"),
        *_answer_metrics(answers, raw, n_positions, "", "log-likelihood"),
        calibration_error(answers, scores),
    )


def written_choice_metrics(
    answers: Sequence[int], chosen: Sequence[int | None], n_positions: int
) -> tuple[Metric, ...]:
    """Return accuracy, macro-F1 over positions and the unparseable share of written answers.

    Args:
        answers: position of every row's right choice.
        chosen: position of the choice each answer names; None where it names none.
        n_positions: the largest number of choices of a row.

    Returns:
        Metrics on a scale of 0 to 100; an unparseable answer is wrong, and counted.
    """
    statistics = label_statistics(answers, chosen, n_positions)
    settings = {"by": "generation"}
    return (
        *_answer_metrics(answers, chosen, n_positions, "", "generation"),
        Metric("unparseable", signature("unparseable", settings), statistics, unparseable_share),
    )


def calibration_error(answers: Sequence[int], scores: Sequence[Sequence[float]]) -> Metric:
    """Return the expected calibration error (ECE) of the raw rule.

    A row's confidence is the highest probability after a softmax over its choices. Rows fall into
    ten equal bins of confidence; the error is the bins' gaps |mean confidence - accuracy|,
    averaged with the bins' sizes as weights (Guo et al. 2017):

        ECE = sum over bins |sum over the bin's rows (confidence - correct)| / rows

    The row statistics [rows, 11] are that difference in the column of the row's bin, and a 1.
    """
    statistics = np.zeros((len(scores), CALIBRATION_BINS + 1))
    statistics[:, -1] = 1
    for row, (answer, row_scores) in enumerate(zip(answers, scores, strict=True)):
        confidence = _top_probability(row_scores)
        bin_ = min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        statistics[row, bin_] = confidence - (_argmax(row_scores) == answer)
    name = "calibration_error"
    settings = {"bins": CALIBRATION_BINS, "confidence": "softmax-over-choices"}
    return Metric(name, signature(name, settings), statistics, _expected_gap)


def _expected_gap(totals: Floats) -> Floats:
    return 100 * ratio(np.abs(totals[..., :-1]).sum(axis=-1), totals[..., -1])


def _answer_metrics(
    answers: Sequence[int], chosen: Sequence[int | None], n_positions: int, suffix: str, rule: str
) -> list[Metric]:
    """Return accuracy and macro-F1 of one rule, their names ending in `suffix`."""
    statistics = label_statistics(answers, chosen, n_positions)
    finishes: dict[str, Finish] = {
        f"accuracy{suffix}": accuracy,
        f"macro_f1{suffix}": macro_f1,
    }
    return [
        Metric(name, signature(name, {"by": rule}), statistics, finish)
        for name, finish in finishes.items()
    ]


def _check_rows(
    answers: Sequence[int], scores: Sequence[Sequence[float]], choices: Sequence[Sequence[str]]
) -> None:
    for row, parts in enumerate(zip(answers, scores, choices, strict=True)):
        answer, row_scores, row_choices = parts
        if len(row_scores) != len(row_choices):
            raise ValueError(f"row {row}: {len(row_scores)} scores, {len(row_choices)} choices")
        if not 0 <= answer < len(row_choices):
            raise ValueError(f"row {row}: answer {answer} is not in 0..{len(row_choices) - 1}")
        if any(math.isnan(score) for score in row_scores):
            raise ValueError(f"row {row}: a log-likelihood is NaN")


def _per_byte(scores: Sequence[float], choices: Sequence[str]) -> list[float]:
    return [
        score / max(len(choice.encode("utf-8", "surrogatepass")), 1)
        for score, choice in zip(scores, choices, strict=True)
    ]


def _argmax(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _top_probability(scores: Sequence[float]) -> float:
    """Return the largest entry of the softmax of `scores`."""
    top = max(scores)
    return 1 / sum(math.exp(score - top) for score in scores)
