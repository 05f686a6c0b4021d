"""Classification metrics against hand-computed values and scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from langmerge.metrics import classification_metrics, confusion_matrix

LABELS = ("negative", "neutral", "positive", "mixed")


def _values(gold, predicted, labels=LABELS) -> dict[str, float]:
    return {metric.name: metric.value for metric in classification_metrics(gold, predicted, labels)}


def test_golden_values_by_hand() -> None:
    # negative: 2 gold, 2 predicted, 1 hit; neutral: 1 gold, 2 predicted, 1 hit;
    # positive: 2 gold, none predicted; mixed: nowhere. One answer is unparseable.
    values = _values([0, 0, 1, 2, 2], [0, 1, 1, 0, None])

    assert values["f1:negative"] == pytest.approx(50)
    assert values["precision:neutral"] == pytest.approx(50)
    assert values["recall:neutral"] == pytest.approx(100)
    assert values["f1:neutral"] == pytest.approx(200 / 3)
    assert values["f1:positive"] == 0
    assert values["macro_f1"] == pytest.approx((50 + 200 / 3 + 0) / 3)
    assert values["weighted_f1"] == pytest.approx((2 * 50 + 200 / 3 + 0) / 5)
    assert values["accuracy"] == pytest.approx(40)
    assert values["unparseable"] == pytest.approx(20)
    assert "f1:mixed" not in values


def test_macro_f1_comes_first() -> None:
    assert classification_metrics([0], [0], LABELS)[0].name == "macro_f1"


def test_a_label_that_is_neither_gold_nor_predicted_costs_nothing() -> None:
    assert _values([0, 2], [0, 2])["macro_f1"] == 100


def test_a_label_that_is_predicted_and_never_gold_counts_as_zero() -> None:
    assert _values([0, 0, 2], [0, 1, 2])["macro_f1"] == pytest.approx((200 / 3 + 0 + 100) / 3)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3))),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn(rows: list[tuple[int, int | None]]) -> None:
    gold = [row[0] for row in rows]
    predicted = [row[1] for row in rows]
    codes = [-1 if label is None else label for label in predicted]
    occurring = sorted({*gold, *codes} - {-1})
    values = _values(gold, predicted)

    def sklearn_f1(average):
        return 100 * sklearn_metrics.f1_score(
            gold, codes, labels=occurring, average=average, zero_division=0
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
            gold, codes, labels=occurring, zero_division=0
        )
        assert values["macro_f1"] == pytest.approx(sklearn_f1("macro"))
        assert values["weighted_f1"] == pytest.approx(sklearn_f1("weighted"))
    assert values["accuracy"] == pytest.approx(100 * sklearn_metrics.accuracy_score(gold, codes))
    for index, label in enumerate(occurring):
        assert values[f"precision:{LABELS[label]}"] == pytest.approx(100 * precision[index])
        assert values[f"recall:{LABELS[label]}"] == pytest.approx(100 * recall[index])
        assert values[f"f1:{LABELS[label]}"] == pytest.approx(100 * f1[index])


def test_the_confusion_matrix_has_a_column_for_unparseable_answers() -> None:
    matrix = confusion_matrix([0, 0, 1, 2, 2], [0, 1, 1, 0, None], 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]])


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([0, 1], [0], "2 gold labels and 1 predictions"),
        ([4], [0], "row 0: gold label 4 is not in 0..3"),
        ([0, 1], [0, -1], "row 1: predicted label -1"),
        ([None], [0], "row 0: gold label None"),
    ],
)
def test_indices_that_name_no_label_are_refused(gold, predicted, message) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(gold, predicted, LABELS)


def test_a_resample_is_scored_over_the_labels_that_occur_in_it() -> None:
    gold, predicted, labels = [0, 1, 2, 2], [0, 1, 2, 1], ("a", "b", "rare")
    macro = classification_metrics(gold, predicted, labels)[0]
    counts = np.array([2.0, 1.0, 0.0, 0.0])  # no row of the third label is drawn

    resampled = macro.finish(counts @ macro.row_statistics)

    assert float(resampled) == 100.0
