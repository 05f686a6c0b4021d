"""Classification metrics: F1, precision, recall and accuracy from label indices.

The statistics of a row are three one-hot vectors over the L declared labels, side by side: its
gold label, its predicted label, and the label if both agree. Their sums are the counts that
every classification metric is made of:

    precision = hits / predicted    recall = hits / gold    F1 = 2 hits / (gold + predicted)

An unparseable prediction is `None`: it predicts no label, so it is wrong and lowers the recall of
its gold label, without being a label of its own. Where a denominator is 0 the score is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from langmerge.metrics.base import Finish, Floats, Metric, ratio, signature

Integers: TypeAlias = npt.NDArray[np.int64]


def classification_metrics(
    gold: Sequence[int],
    predicted: Sequence[int | None],
    labels: Sequence[str],
    *,
    by: str | None = None,
) -> tuple[Metric, ...]:
    """Return macro-F1 first, then weighted-F1, accuracy, the unparseable share and label scores.

    Macro-F1 is the mean F1 of the labels that occur in `gold` or `predicted`, which is what
    scikit-learn averages over by default: a label that the language does not have costs nothing,
    one that is there and never predicted counts as 0, and so does one that is predicted and
    not there. A resample is scored as the sample is, over the labels that occur in it: a rare
    label that a resample misses would else count as 0 and pull the interval down.

    Args:
        gold: index in `labels` of every row's right label.
        predicted: index of every row's predicted label; None where the answer named no label.
        labels: the declared labels, in order.
        by: how predictions were made, for the signature, where that is not the usual way.

    Returns:
        Metrics on a scale of 0 to 100. Those of a label are named `f1:<label>` and the like,
        for every label that occurs.
    """
    statistics = label_statistics(gold, predicted, len(labels))
    occurring = occurring_labels(statistics)
    finishes: dict[str, Finish] = {
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "accuracy": accuracy,
        "unparseable": unparseable_share,
    }
    for label in occurring:
        for name, score in (("f1", f1), ("precision", precision), ("recall", recall)):
            finishes[f"{name}:{labels[label]}"] = partial(_of_label, score=score, label=label)

    settings = {"labels": "occurring", "unparseable": "wrong", **({"by": by} if by else {})}
    return tuple(
        Metric(name, signature(name, settings), statistics, finish)
        for name, finish in finishes.items()
    )


def confusion_matrix(
    gold: Sequence[int], predicted: Sequence[int | None], n_labels: int
) -> Integers:
    """Return how often each gold label (row) was answered by each label (column).

    Returns:
        Counts [n_labels, n_labels + 1]; the last column counts unparseable answers.
    """
    gold_codes, predicted_codes = _label_codes(gold, predicted, n_labels)
    matrix = np.zeros((n_labels, n_labels + 1), dtype=np.int64)
    np.add.at(matrix, (gold_codes, predicted_codes), 1)
    return matrix


def label_statistics(gold: Sequence[int], predicted: Sequence[int | None], n_labels: int) -> Floats:
    """Return the row statistics [rows, 3 n_labels] of all metrics in this module."""
    gold_codes, predicted_codes = _label_codes(gold, predicted, n_labels)
    columns = np.arange(n_labels)
    is_gold = gold_codes[:, None] == columns
    is_predicted = predicted_codes[:, None] == columns
    return np.hstack([is_gold, is_predicted, is_gold & is_predicted]).astype(np.float64)


def occurring_labels(statistics: Floats) -> Integers:
    """Return the indices of the labels that are gold or predicted in any row."""
    counts = _counts(statistics.sum(axis=0))
    return np.flatnonzero(counts.gold + counts.predicted)


def precision(totals: Floats) -> Floats:
    """Return every label's precision [..., L], 0 to 100."""
    counts = _counts(totals)
    return 100 * ratio(counts.hits, counts.predicted)


def recall(totals: Floats) -> Floats:
    """Return every label's recall [..., L], 0 to 100."""
    counts = _counts(totals)
    return 100 * ratio(counts.hits, counts.gold)


def f1(totals: Floats) -> Floats:
    """Return every label's F1 [..., L], 0 to 100."""
    counts = _counts(totals)
    return 100 * ratio(2 * counts.hits, counts.gold + counts.predicted)


def macro_f1(totals: Floats) -> Floats:
    """Return the mean F1 of the labels that are gold or predicted [...], 0 to 100."""
    counts = _counts(totals)
    occurs = counts.gold + counts.predicted > 0
    # A label that does not occur has an F1 of 0 and adds nothing to the sum.
    return ratio(f1(totals).sum(axis=-1), occurs.sum(axis=-1).astype(np.float64))


def weighted_f1(totals: Floats) -> Floats:
    """Return the mean F1 weighted by how often each label is the gold one [...], 0 to 100."""
    gold = _counts(totals).gold
    return ratio((f1(totals) * gold).sum(axis=-1), gold.sum(axis=-1))


def accuracy(totals: Floats) -> Floats:
    """Return the share of rows answered rightly [...], 0 to 100."""
    counts = _counts(totals)
    return 100 * ratio(counts.hits.sum(axis=-1), counts.gold.sum(axis=-1))


def unparseable_share(totals: Floats) -> Floats:
    """Return the share of rows whose answer names no label [...], 0 to 100."""
    counts = _counts(totals)
    rows = counts.gold.sum(axis=-1)
    return 100 * ratio(rows - counts.predicted.sum(axis=-1), rows)


class _Counts(NamedTuple):
    """How often each label [..., L] is gold, is predicted, and is both."""

    gold: Floats
    predicted: Floats
    hits: Floats


def _counts(totals: Floats) -> _Counts:
    return _Counts(*np.split(totals, 3, axis=-1))


def _of_label(totals: Floats, *, score: Finish, label: int) -> Floats:
    values: Floats = score(totals)[..., label]
    return values


def _label_codes(
    gold: Sequence[int], predicted: Sequence[int | None], n_labels: int
) -> tuple[Integers, Integers]:
    """Return both sides as indices [rows], with `n_labels` standing for unparseable."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold labels and {len(predicted)} predictions")
    for side, indices in (("gold", gold), ("predicted", predicted)):
        for row, index in enumerate(indices):
            unparseable = index is None and side == "predicted"
            if not unparseable and (index is None or not 0 <= index < n_labels):
                raise ValueError(f"row {row}: {side} label {index} is not in 0..{n_labels - 1}")
    codes = [n_labels if index is None else index for index in predicted]
    return np.array(gold, dtype=np.int64), np.array(codes, dtype=np.int64)
