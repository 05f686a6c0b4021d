"""Whether a text is in the language it was to be in: by its script, else by an identifier.

A model that was merged or trained on several languages may answer in the wrong one, and ROUGE
shows that only as a low score. Three outcomes per text: right, wrong, and too short to tell.

1. Script. If less than a fifth of a text's letters are of the language's script, it is wrong.
   Japanese needs kana, and Chinese has none. For a language that is alone in its script, as Thai,
   this decides.
2. Identifier. The others are told apart by lingua, an n-gram model that is part of its package
   (`pip install 'langmerge[language-id]'`): wrong where another of the candidates is `ODDS` times
   as likely. Candidates are widely written languages, so that a slip into English or Spanish is
   seen, and a package's name is not taken for Latin or Esperanto.

Where the identifier is needed and not installed, or does not know the language, nothing is said.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, TypeAlias

from langmerge.metrics.base import Metric, quotient_metric
from langmerge.metrics.tokenization import primary_code

MIN_SCRIPT_LETTERS = 10
"""The fewest letters by which a script is judged: shorter answers may be a name."""

MIN_LETTERS = 20
"""The fewest letters by which the identifier judges."""

ODDS = 3
"""How many times likelier than the right language another must be."""

CANDIDATES = (
    "ar", "de", "en", "es", "fa", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv",
    "sw", "tr", "ur", "vi", "zh",
)  # fmt: skip

_SHARE_IN_SCRIPT = 0.2
_SHARE_OF_KANA = 0.1

_KANA = frozenset({"HIRAGANA", "KATAKANA"})
_HAN = frozenset({"CJK", "IDEOGRAPHIC"})

_ALONE: Mapping[str, frozenset[str]] = {
    "ja": _HAN | _KANA,
    "zh": _HAN | _KANA,
    **{
        code: frozenset({script})
        for code, script in {
            "am": "ETHIOPIC",
            "bn": "BENGALI",
            "el": "GREEK",
            "gu": "GUJARATI",
            "he": "HEBREW",
            "hy": "ARMENIAN",
            "ka": "GEORGIAN",
            "km": "KHMER",
            "kn": "KANNADA",
            "ko": "HANGUL",
            "lo": "LAO",
            "ml": "MALAYALAM",
            "my": "MYANMAR",
            "pa": "GURMUKHI",
            "si": "SINHALA",
            "ta": "TAMIL",
            "te": "TELUGU",
            "th": "THAI",
        }.items()
    },
}
"""Languages that the script decides, with the first words of its letters' Unicode names."""

_Judge: TypeAlias = Callable[[str], bool | None]
"""Text to whether it is in the wrong language; None where it is too short to tell."""


def wrong_language(predictions: Sequence[str], language: str) -> Metric | None:
    """Return the share of predictions in another language, of those long enough to tell.

    Args:
        predictions: the texts; each has `language`'s words if all is well.
        language: a code such as `ja`, `zh-Hans` or `pt_BR`.

    Returns:
        The metric; None where nothing can be said: the identifier is not installed, does not know
        the language, or no text is long enough.
    """
    found = _judge_for(primary_code(language))
    if found is None:
        return None
    means, judge = found
    verdicts = [judge(unicodedata.normalize("NFKC", text)) for text in predictions]
    if all(verdict is None for verdict in verdicts):
        return None
    return quotient_metric(
        "wrong_language",
        {"by": means, "min": MIN_LETTERS if "lingua" in means else MIN_SCRIPT_LETTERS},
        [100.0 * bool(verdict) for verdict in verdicts],
        [float(verdict is not None) for verdict in verdicts],
    )


def scripts(text: str) -> Counter[str]:
    """Return how many letters of each script a text has; combining marks count as letters.

    A script is named by the first word of its letters' Unicode names: `LATIN`, `CJK`, `THAI`.
    """
    names = (
        unicodedata.name(character, "").replace("-", " ").partition(" ")[0]
        for character in text
        if unicodedata.category(character)[0] in "LM"
    )
    return Counter(name for name in names if name != "COMBINING")


def _judge_for(code: str) -> tuple[str, _Judge] | None:
    """Return by what a language's texts are judged, and the judge."""
    if code in _ALONE:
        return "script", lambda text: _by_script(text, code)
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder  # noqa: F401
    except ImportError:
        return None
    detector = _detector(code)
    if detector is None:
        return None
    means = f"lingua-{version('lingua-language-detector')}-of-{len({*CANDIDATES, code})}"
    return means, lambda text: _by_identifier(text, code, detector)


def _by_script(text: str, code: str) -> bool | None:
    counts = scripts(text)
    letters = counts.total()
    if letters < MIN_SCRIPT_LETTERS:
        return None
    if sum(counts[script] for script in _ALONE[code]) < _SHARE_IN_SCRIPT * letters:
        return True
    kana = sum(counts[script] for script in _KANA)
    if code == "ja":
        return kana == 0
    return code == "zh" and kana > _SHARE_OF_KANA * letters


def _by_identifier(text: str, code: str, detector: Any) -> bool | None:
    if scripts(text).total() < MIN_LETTERS:
        return None
    confidences: dict[str, float] = {
        found.language.iso_code_639_1.name.lower(): found.value
        for found in detector.compute_language_confidence_values(text)
    }
    # All are 0 where no candidate is written so: then it is not the language either.
    return max(confidences.values()) >= ODDS * confidences[code]


@cache
def _detector(code: str) -> Any:
    """Return lingua's detector of a language among the candidates; None where it knows it not."""
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if not hasattr(IsoCode639_1, code.upper()):
        return None
    codes = [getattr(IsoCode639_1, each.upper()) for each in sorted({*CANDIDATES, code})]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()
