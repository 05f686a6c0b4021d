"""Into which units ROUGE cuts a language's text: words, or characters where spaces separate none.

rouge-score-rs does the cutting, for both kinds after NFKC normalization and full case folding, and
drops punctuation and symbols:

- word: words by the Unicode boundary rules (UAX #29), for every script that writes spaces. Marks
  stay with their letters (Hindi, Arabic), German ß equals ss, full-width letters equal ASCII.
- char: user-perceived characters (grapheme clusters).

One rule is added: an apostrophe separates, as in the original rouge-score. Without it French
`l'été` and `été` would be different words, and so would `it's` with either form of apostrophe.

Japanese, Chinese and Thai can be cut into words by a segmenter instead, if asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from langmerge.metrics.segmentation import Segmenter, segmenter

_CHINESE = {"zh", "zho", "chi", "cmn", "yue", "wuu", "gan", "hsn", "lzh"}
_JAPANESE = {"ja", "jpn"}
_THAI = {"th", "tha"}
_SOUTHEAST_ASIAN = {"lo", "lao", "my", "mya", "bur", "km", "khm", "shn"}

CHARACTER_LANGUAGES = frozenset(_CHINESE | _JAPANESE | _THAI | _SOUTHEAST_ASIAN)
"""Languages written without spaces between words, by ISO 639 code: Chinese, Japanese, Thai, Lao,
Burmese, Khmer and Shan."""

_SEGMENTED = {
    **dict.fromkeys(_JAPANESE, "ja"),
    **dict.fromkeys({"zh", "zho", "chi", "cmn"}, "zh"),
    **dict.fromkeys(_THAI, "th"),
}

_APOSTROPHES = dict.fromkeys(map(ord, "'’‘＇ʼ"), " ")


@dataclass(frozen=True)
class Tokenizer:
    """Cuts one language's text.

    Attributes:
        unit: `word`, `char` or a segmenter's name, as signatures have it.
        native: the tokenizer of `rouge_score_rs` behind it.
    """

    unit: str
    native: Any

    def prepare(self, text: str) -> str:
        """Return the text as `native` is to see it."""
        return text.translate(_APOSTROPHES)

    def tokens(self, text: str) -> list[str]:
        """Return the text's tokens, in order."""
        tokens: list[str] = self.native.tokenize(self.prepare(text))
        return tokens


def tokenizer_for(language: str, *, segmented: bool = False) -> Tokenizer:
    """Return the tokenizer of a language code: `ja`, `zh-Hans`, `pt_BR`, `zho_Hans`.

    Args:
        language: the code.
        segmented: cut Japanese, Chinese and Thai into words; no difference to other languages.

    Raises:
        MissingExtraError: if the segmenter asked for is not installed.
    """
    from rouge_score_rs.tokenizers import CharacterTokenizer, UnicodeTokenizer

    primary = primary_code(language)
    if segmented and (cutter := segmenter(_SEGMENTED.get(primary, ""))) is not None:
        return Tokenizer(cutter.name, _native(cutter))
    if primary in CHARACTER_LANGUAGES:
        return Tokenizer("char", CharacterTokenizer())
    return Tokenizer("word", UnicodeTokenizer())


def primary_code(language: str) -> str:
    """Return the first part of a language code, in small letters: `zh` of `zh-Hans`."""
    return re.split("[-_]", language.lower(), maxsplit=1)[0]


def _native(cutter: Segmenter) -> Any:
    """Return a segmenter in the form that rouge-score-rs takes."""
    from rouge_score_rs import tokenizers

    class Words(tokenizers.Tokenizer):  # type: ignore[misc]
        def tokenize(self, text: str) -> list[str]:
            return cutter.words(text)

    return Words()
