"""The wrong language: decided by script, or by an identifier, or not at all."""

import builtins

import pytest

from langmerge.metrics import generation_metrics, language
from langmerge.metrics.language import scripts, wrong_language

TEXTS = {
    "en": "The committee will publish its report on the harvest next week.",
    "de": "Der Ausschuss wird seinen Bericht über die Ernte nächste Woche veröffentlichen.",
    "fr": "La commission publiera son rapport sur la récolte la semaine prochaine.",
    "ja": "委員会は来週、収穫に関する報告書を発表する予定です。",
    "zh": "委员会将于下周发布关于收成情况的报告，并公开全部数据。",
    "th": "คณะกรรมการจะเผยแพร่รายงานเกี่ยวกับการเก็บเกี่ยวในสัปดาห์หน้า",
    "ar": "ستنشر اللجنة تقريرها عن موسم الحصاد في الأسبوع المقبل.",
    "hi": "समिति अगले सप्ताह फसल पर अपनी रिपोर्ट प्रकाशित करेगी।",
    "sw": "Kamati itachapisha ripoti yake kuhusu mavuno wiki ijayo.",
}


@pytest.mark.parametrize("expected", TEXTS)
def test_every_text_is_right_in_its_language_and_wrong_in_all_others(expected: str) -> None:
    codes = list(TEXTS)
    metric = wrong_language([TEXTS[code] for code in codes], expected)

    assert metric is not None
    judged = dict(zip(codes, metric.row_statistics[:, 0], strict=True))
    assert judged == {code: 0 if code == expected else 100 for code in codes}


def test_the_share_is_of_the_texts_that_are_long_enough() -> None:
    metric = wrong_language([TEXTS["th"], TEXTS["en"], "", "PDF", "ok"], "th")

    assert metric is not None
    assert metric.value == 50
    assert metric.signature == "wrong_language|by:script|min:10|langmerge:1"


def test_foreign_names_in_a_text_do_not_make_it_foreign() -> None:
    mixed = ["LibreOffice Writer のための日本語の文書テンプレート集です"]
    assert wrong_language(mixed, "ja").value == 0


def test_japanese_without_kana_is_chinese_and_chinese_with_kana_japanese() -> None:
    assert wrong_language([TEXTS["zh"]], "ja").value == 100
    assert wrong_language([TEXTS["ja"]], "zh-Hans").value == 100


def test_nothing_is_said_of_short_texts_and_unknown_languages() -> None:
    assert wrong_language(["short"], "de") is None
    assert wrong_language([TEXTS["de"]], "ha") is None
    assert wrong_language([], "th") is None


def test_without_the_identifier_only_the_script_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_lingua(name: str, *args, **kwargs):
        if name == "lingua":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_lingua)

    assert wrong_language([TEXTS["de"]], "de") is None
    assert wrong_language([TEXTS["ja"]], "ja").value == 0
    names = [m.name for m in generation_metrics([TEXTS["de"]], [TEXTS["de"]], None, "de")]
    assert "wrong_language" not in names


def test_the_signature_names_the_identifier_and_its_candidates() -> None:
    signature = wrong_language([TEXTS["sw"]], "sw").signature
    assert signature.startswith("wrong_language|by:lingua-")
    assert f"-of-{len(language.CANDIDATES)}|min:20|" in signature
    assert f"-of-{len(language.CANDIDATES) + 1}|" in wrong_language([TEXTS["sw"]], "yo").signature


def test_scripts_count_letters_and_marks() -> None:
    assert scripts("né 東京 ひ กิ, 12!") == {"LATIN": 2, "CJK": 2, "HIRAGANA": 1, "THAI": 2}
    assert scripts("12 … ?") == {}
