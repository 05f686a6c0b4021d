"""Words of Japanese, Chinese and Thai: only where asked for, and named in the signature."""

import os
import subprocess
import sys

import pytest

from langmerge.errors import MissingExtraError
from langmerge.metrics import generation_metrics, segmentation
from langmerge.metrics.tokenization import tokenizer_for


@pytest.mark.parametrize(
    ("language", "text", "words", "program"),
    [
        ("ja", "今日の天気は、とても良い。", "今日 の 天気 は とても 良い", "fugashi-"),
        ("zh-Hans", "今天的天气非常好！", "今天 的 天气 非常 好", "rjieba-"),
        ("th", "วันนี้อากาศดี (มาก)", "วันนี้ อากาศ ดี มาก", "pythainlp-"),
    ],
)
def test_words(language: str, text: str, words: str, program: str) -> None:
    tokenizer = tokenizer_for(language, segmented=True)

    assert tokenizer.tokens(text) == words.split()
    assert tokenizer.unit.startswith(program)
    assert tokenizer_for(language).unit == "char"


def test_rouge_by_words_by_hand() -> None:
    # 今日 の 天気 は とても 良い / 今日 の 天気 は 悪い: 4 words of 6 and of 5, in order.
    metrics = generation_metrics(
        ["今日の天気はとても良い"], ["今日の天気は悪い"], None, "ja", segmented=True
    )
    values = {metric.name: metric.value for metric in metrics}

    assert values["rouge1"] == pytest.approx(100 * 2 * 4 / (6 + 5))
    assert values["rouge2"] == pytest.approx(100 * 2 * 3 / (5 + 4))
    assert values["length_ratio"] == pytest.approx(5 / 6)
    assert "|tok:fugashi-" in metrics[0].signature


def test_width_and_case_are_folded_before_cutting() -> None:
    tokenizer = tokenizer_for("ja", segmented=True)
    assert tokenizer.tokens("ＰＤＦの表示") == tokenizer.tokens("pdf の表示")


def test_other_languages_are_not_segmented() -> None:
    assert tokenizer_for("de", segmented=True).unit == "word"
    assert tokenizer_for("km", segmented=True).unit == "char"


def test_half_a_surrogate_pair_is_no_obstacle() -> None:
    for language in ("ja", "zh", "th"):
        assert tokenizer_for(language, segmented=True).tokens("a \ud800 b") == ["a", "b"]


def test_a_missing_segmenter_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    segmentation.segmenter.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(MissingExtraError, match=r"'rjieba'.*pip install 'langmerge\[segmenters\]'"):
        tokenizer_for("zh", segmented=True)


def test_thai_words_make_no_folder_in_the_home_directory(tmp_path) -> None:
    code = (
        "from langmerge.metrics.tokenization import tokenizer_for\n"
        "assert tokenizer_for('th', segmented=True).tokens('วันนี้ดี')"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
