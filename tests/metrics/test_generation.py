"""ROUGE, chrF and descriptive measures, in nine languages and scripts."""

import unicodedata

import pytest

from langmerge.metrics import generation_metrics
from langmerge.metrics.tokenization import tokenizer_for

SIMILARITIES = ("rougeL", "rouge1", "rouge2", "rougeLsum", "chrf", "exact_match")

TEXTS = {
    "en": ("The weather isn't good today.", "Our neighbours bought three boats."),
    "de": ("Die Straße ist heute gesperrt.", "Fünf Köche übten gemütlich Flöte."),
    "fr": ("L’été arrive, c'est sûr.", "Douze garçons mangeaient du gâteau."),
    "ja": ("今日の天気はとても良いです。", "ロボットが図書館で歌った！"),
    "zh": ("今天的天气非常好。", "他们昨晚去了图书馆。"),
    "th": ("วันนี้อากาศดีมาก", "หมู่เกาะแห่งนั้นใหญ่"),
    "ar": ("الطقس جميل اليوم.", "اشترى جارنا ثلاثة قوارب"),
    "hi": ("आज मौसम बहुत अच्छा है।", "पड़ोसियों ने तीन नावें खरीदीं"),
    "sw": ("Hali ya hewa ni nzuri leo.", "Jirani walinunua mashua tatu."),
}


def _values(reference, prediction, language="en", source="") -> dict[str, float]:
    metrics = generation_metrics([reference], [prediction], [source], language)
    return {metric.name: metric.value for metric in metrics}


@pytest.mark.parametrize("language", TEXTS)
def test_identical_text_scores_100(language: str) -> None:
    text, _ = TEXTS[language]
    values = _values(text, text, language)

    assert [values[name] for name in SIMILARITIES] == pytest.approx([100] * len(SIMILARITIES))
    assert values["length_ratio"] == 1


@pytest.mark.parametrize("language", TEXTS)
def test_different_text_scores_low(language: str) -> None:
    values = _values(*TEXTS[language], language)

    assert all(values[name] < 35 for name in SIMILARITIES)
    assert values["rouge2"] < 15
    assert values["exact_match"] == 0


@pytest.mark.parametrize("language", TEXTS)
def test_the_unicode_form_of_a_text_does_not_matter(language: str) -> None:
    text, _ = TEXTS[language]
    values = _values(text, unicodedata.normalize("NFD", text), language)

    assert all(values[name] == pytest.approx(100) for name in SIMILARITIES)


def test_rouge_by_hand() -> None:
    # Tokens: the cat sat on the mat / the cat lay on a mat. 4 of 6 words match, in order.
    values = _values("The cat sat on the mat.", "the cat lay on a mat")

    assert values["rouge1"] == pytest.approx(100 * 4 / 6)
    assert values["rouge2"] == pytest.approx(100 * 1 / 5)
    assert values["rougeL"] == pytest.approx(100 * 4 / 6)


def test_rouge_l_respects_order_and_lsum_unites_lines() -> None:
    values = _values("a b\nc d", "c d\na b")

    assert values["rouge1"] == pytest.approx(100)
    assert values["rougeL"] == pytest.approx(50)
    assert values["rougeLsum"] == pytest.approx(100)


def test_characters_are_compared_where_spaces_separate_no_words() -> None:
    # 3 of 4 characters match, and 2 of 3 pairs.
    values = _values("天气很好", "天气很坏。", "zh-Hans")

    assert values["rouge1"] == pytest.approx(75)
    assert values["rouge2"] == pytest.approx(100 * 2 / 3)


def test_rouge_averages_rows() -> None:
    metrics = generation_metrics(["a", "b c"], ["a", "d e"], ["", ""], "en")
    assert metrics[0].name == "rougeL"
    assert metrics[0].value == pytest.approx(50)


def test_chrf_is_sacrebleus_sentence_score() -> None:
    from sacrebleu import sentence_chrf

    expected = sentence_chrf("the cat lay on a mat", ["The cat sat on the mat."]).score
    values = _values("The cat sat on the mat.", "the cat lay on a mat")
    assert values["chrf"] == pytest.approx(expected)


def test_signatures_name_tokenizer_and_versions() -> None:
    signatures = {
        metric.name: metric.signature for metric in generation_metrics(["a"], ["a"], [""], "ja")
    }
    assert signatures["rougeL"].startswith("rougeL|score:f|tok:char|case:fold|norm:nfkc|")
    assert "|rouge-score-rs:" in signatures["rougeL"]
    assert "|average:rows|sacrebleu:" in signatures["chrf"]
    assert all(text.endswith("|langmerge:1") for text in signatures.values())


def test_an_empty_prediction_scores_zero_and_is_counted() -> None:
    values = _values("a reference", " \n")

    assert values["empty_share"] == 100
    assert values["length_ratio"] == 0
    assert values["verbatim_share"] == 0
    assert [values[name] for name in SIMILARITIES] == [0] * len(SIMILARITIES)


def test_the_length_ratio_is_of_sums() -> None:
    metrics = generation_metrics(["a", "a b c"], ["a b", "a b"], ["", ""], "en")
    values = {metric.name: metric.value for metric in metrics}
    assert values["length_ratio"] == 1


def test_novel_bigrams_and_verbatim_copies() -> None:
    source = "The old cat sat on the mat, and the dog slept."

    copied = _values("x", "The cat sat... on the mat", "en", source)
    assert copied["novel_bigrams"] == pytest.approx(100 / 5)  # "the cat" is new
    assert copied["verbatim_share"] == 0

    verbatim = _values("x", "sat on the mat and the DOG", "en", source)
    assert verbatim["novel_bigrams"] == 0
    assert verbatim["verbatim_share"] == 100


def test_the_copy_rate_counts_tokens_in_runs_of_three() -> None:
    source = "The old cat sat on the mat, and the dog slept."

    # "cat sat on the mat" is copied; "the" before it and "a dog" are not: 5 of 8 tokens.
    assert _values("x", "the cat sat on the mat a dog", "en", source)["copy_rate"] == (
        pytest.approx(100 * 5 / 8)
    )
    assert _values("x", "old mat slept", "en", source)["copy_rate"] == 0
    assert _values("x", "天気が良い", "ja", "今日は天気が悪い")["copy_rate"] == pytest.approx(60)


def test_the_copy_rate_is_of_sums() -> None:
    metrics = generation_metrics(["x"] * 2, ["a b c", "d"], ["a b c"] * 2, "en")
    assert {m.name: m.value for m in metrics}["copy_rate"] == 75


def test_truncated_texts_are_counted_where_it_is_known() -> None:
    texts = ["a", "b", "c", "d"]
    cut = [True, False, False, False]
    known = generation_metrics(texts, texts, texts, "en", truncated=cut)
    unknown = generation_metrics(texts, texts, texts, "en")

    assert {m.name: m.value for m in known}["truncated_share"] == 25
    assert "truncated_share" not in {m.name for m in unknown}


def test_without_sources_nothing_is_said_of_copying() -> None:
    names = {m.name for m in generation_metrics(["a"], ["a"], None, "en")}
    assert not names & {"novel_bigrams", "copy_rate", "verbatim_share"}
    assert names >= {"rougeL", "chrf", "length_ratio", "empty_share"}


def test_a_part_of_a_word_is_not_a_verbatim_copy() -> None:
    assert _values("x", "cat", "en", "the cats sat")["verbatim_share"] == 0


def test_exact_match_ignores_outer_space_and_keeps_case() -> None:
    assert _values("Yes", " Yes\n")["exact_match"] == 100
    assert _values("Yes", "yes")["exact_match"] == 0


def test_lone_surrogates_do_not_break_anything() -> None:
    assert _values("a \ud800 b", "a \ud800 b")["rougeL"] == pytest.approx(100)


def test_unequal_numbers_of_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 references, 1 predictions, 1 sources"):
        generation_metrics(["a", "b"], ["a"], [""], "en")


@pytest.mark.parametrize(
    ("language", "unit"),
    [
        ("ja", "char"),
        ("JA", "char"),
        ("zh-Hans", "char"),
        ("zh_TW", "char"),
        ("zho_Hant", "char"),
        ("yue", "char"),
        ("th", "char"),
        ("lo", "char"),
        ("km", "char"),
        ("my", "char"),
        ("pt_BR", "word"),
        ("ko", "word"),
        ("en", "word"),
        ("jav", "word"),
        ("unknown", "word"),
    ],
)
def test_the_language_decides_the_unit(language: str, unit: str) -> None:
    assert tokenizer_for(language).unit == unit


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        ("en", "Don't stop: 3,500.5!", ["don", "t", "stop", "3,500.5"]),
        ("fr", "L’été, c'est aujourd'hui", ["l", "été", "c", "est", "aujourd", "hui"]),
        ("de", "GROSSE Straße, Über-Mut", ["grosse", "strasse", "über", "mut"]),
        ("hi", "नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("ar", "مرحبا، يا عالم", ["مرحبا", "يا", "عالم"]),
        ("ja", "「ＡＢ」ｶﾞ、東京。", ["a", "b", "ガ", "東", "京"]),
        ("th", "น้ำ ดี", ["น\u0e49\u0e4d", "\u0e32", "ดี"]),
        ("sw", "Habari, dunia?", ["habari", "dunia"]),
        ("ko", "조사는 어렵다.", ["조사는", "어렵다"]),
    ],
)
def test_tokens(language: str, text: str, tokens: list[str]) -> None:
    assert tokenizer_for(language).tokens(text) == tokens
