"""ROUGE, chrF and the measures of copying in nine languages, against values made otherwise.

Tokens are cut by hand, ROUGE's values are fractions counted by hand, and chrF comes from a
second implementation that follows its definition and nothing else.
"""

from collections import Counter
from statistics import fmean

import pytest

from langmerge.metrics import generation_metrics
from langmerge.metrics.tokenization import tokenizer_for

# language: reference, prediction, source; their tokens; shared tokens, shared pairs and longest
# common subsequence of reference and prediction.
CASES = {
    "en": (
        ("The cat isn't on the mat.", "A cat sat on the mat", "On the mat sat a cat!"),
        ("the cat isn t on the mat", "a cat sat on the mat", "on the mat sat a cat"),
        (4, 2, 4),
    ),
    "de": (
        ("Die Straße ist gesperrt.", "Die große STRASSE war gesperrt", "Gesperrt war die Straße."),
        ("die strasse ist gesperrt", "die grosse strasse war gesperrt", "gesperrt war die strasse"),
        (3, 0, 3),
    ),
    "fr": (
        ("L’été, c'est fini.", "l'été est fini !", "C'est fini, l'été."),
        ("l été c est fini", "l été est fini", "c est fini l été"),
        (4, 2, 4),
    ),
    "ja": (
        ("東京は雨です。", "東京は晴れです", "今日の東京は晴れです！"),
        ("東 京 は 雨 で す", "東 京 は 晴 れ で す", "今 日 の 東 京 は 晴 れ で す"),
        (5, 3, 5),
    ),
    "zh": (
        ("今天天气很好。", "今天很好", "天气很好，今天。"),
        ("今 天 天 气 很 好", "今 天 很 好", "天 气 很 好 今 天"),
        (4, 2, 4),
    ),
    "th": (
        ("ฝนตกหนัก", "ฝนตก", "วันฝนตก"),
        ("ฝ น ต ก ห นั ก", "ฝ น ต ก", "วั น ฝ น ต ก"),
        (4, 3, 4),
    ),
    "ar": (
        ("الطقس جميل اليوم، شكرا.", "اليوم الطقس جميل", "الطقس اليوم جميل جدا"),
        ("الطقس جميل اليوم شكرا", "اليوم الطقس جميل", "الطقس اليوم جميل جدا"),
        (3, 1, 2),
    ),
    "hi": (
        ("आज मौसम बहुत अच्छा है।", "मौसम आज अच्छा है", "मौसम अच्छा है"),
        ("आज मौसम बहुत अच्छा है", "मौसम आज अच्छा है", "मौसम अच्छा है"),
        (4, 1, 3),
    ),
    "sw": (
        ("Hali ya hewa ni nzuri leo.", "Leo hali ya hewa nzuri", "Hali ya hewa leo: nzuri"),
        ("hali ya hewa ni nzuri leo", "leo hali ya hewa nzuri", "hali ya hewa leo nzuri"),
        (5, 2, 4),
    ),
}


def _values(language: str) -> dict[str, float]:
    (reference, prediction, source), _, _ = CASES[language]
    metrics = generation_metrics([reference], [prediction], [source], language)
    return {metric.name: metric.value for metric in metrics}


def _f(shared: int, reference: int, prediction: int) -> float:
    return 100 * 2 * shared / (reference + prediction)


@pytest.mark.parametrize("language", CASES)
def test_tokens_are_those_cut_by_hand(language: str) -> None:
    texts, cut, _ = CASES[language]
    for text, tokens in zip(texts, cut, strict=True):
        assert tokenizer_for(language).tokens(text) == tokens.split()


@pytest.mark.parametrize("language", CASES)
def test_rouge(language: str) -> None:
    _, cut, (shared, shared_pairs, subsequence) = CASES[language]
    reference, prediction, _ = (len(tokens.split()) for tokens in cut)
    values = _values(language)

    assert values["rouge1"] == pytest.approx(_f(shared, reference, prediction))
    assert values["rouge2"] == pytest.approx(_f(shared_pairs, reference - 1, prediction - 1))
    assert values["rougeL"] == pytest.approx(_f(subsequence, reference, prediction))
    assert values["rougeLsum"] == values["rougeL"]


@pytest.mark.parametrize("language", CASES)
def test_chrf(language: str) -> None:
    (reference, prediction, _), _, _ = CASES[language]
    assert _values(language)["chrf"] == pytest.approx(_chrf2(reference, prediction))


@pytest.mark.parametrize(
    ("language", "new_pairs", "pairs", "copied", "tokens", "length"),
    [
        ("en", 2, 5, 3, 6, 6 / 7),  # New: cat sat, sat on. Copied: on the mat.
        ("de", 4, 4, 0, 5, 5 / 4),
        ("fr", 1, 3, 0, 4, 4 / 5),  # New: été est.
        ("ja", 0, 6, 7, 7, 7 / 6),
        ("zh", 1, 3, 0, 4, 4 / 6),
        ("th", 0, 3, 4, 4, 4 / 7),
        ("ar", 2, 2, 0, 3, 3 / 4),
        ("hi", 2, 3, 0, 4, 4 / 5),
        ("sw", 2, 4, 3, 5, 5 / 6),  # New: leo hali, hewa nzuri. Copied: hali ya hewa.
    ],
)
def test_copying_and_length(language, new_pairs, pairs, copied, tokens, length) -> None:
    values = _values(language)
    assert values["novel_bigrams"] == pytest.approx(100 * new_pairs / pairs)
    assert values["copy_rate"] == pytest.approx(100 * copied / tokens)
    assert values["length_ratio"] == pytest.approx(length)
    assert values["verbatim_share"] == (100 if copied == tokens else 0)


def _chrf2(reference: str, prediction: str) -> float:
    """chrF2 of character 1- to 6-grams without spaces, over the orders both texts have."""
    precisions, recalls = [], []
    for order in range(1, 7):
        grams = [
            Counter(text[i : i + order] for i in range(len(text) - order + 1))
            for text in ("".join(reference.split()), "".join(prediction.split()))
        ]
        if not all(grams):
            continue
        shared = (grams[0] & grams[1]).total()
        precisions.append(shared / grams[1].total())
        recalls.append(shared / grams[0].total())
    precision, recall = fmean(precisions), fmean(recalls)
    return 100 * 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0
