"""Words of languages that write no spaces between them, by dictionary segmenters.

An option (`pip install 'langmerge[segmenters]'`): the default unit of these languages is the
character, which needs no dictionary and cannot disagree with itself between versions.

- Japanese: MeCab through fugashi, with the dictionary unidic-lite.
- Chinese: jieba, through its Rust form rjieba.
- Thai: maximal matching over a dictionary (`newmm` of PyThaiNLP).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from langmerge.errors import MissingExtraError

_EXTRA = "segmenters"


@dataclass(frozen=True)
class Segmenter:
    """Cuts text into words.

    Attributes:
        name: program and dictionary with their versions, as signatures have it.
        cut: text to its parts, in order; punctuation is a part too.
    """

    name: str
    cut: Callable[[str], Iterable[str]]

    def words(self, text: str) -> list[str]:
        """Return the words, normalized (NFKC) and case folded, without punctuation and symbols."""
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        # Half a surrogate pair, which no segmenter takes, ends a word.
        sound = folded.encode("utf-8", "replace").decode()
        return [word for part in self.cut(sound) if _has_letter(word := part.strip())]


@cache
def segmenter(language: str) -> Segmenter | None:
    """Return the segmenter of a language (`ja`, `zh`, `th`), None where there is none.

    Raises:
        MissingExtraError: if it is not installed.
    """
    build = _BUILDERS.get(language)
    return None if build is None else build()


def _japanese() -> Segmenter:
    try:
        import fugashi
        import unidic_lite
    except ImportError:
        raise _missing("fugashi", "Japanese") from None
    # Named, so that another dictionary on the machine is not taken instead.
    folder = unidic_lite.DICDIR
    tagger = fugashi.Tagger(f'-r "{folder}/dicrc" -d "{folder}"')
    name = f"fugashi-{version('fugashi')}-unidic-lite-{version('unidic-lite')}"
    return Segmenter(name, lambda text: [word.surface for word in tagger(text)])


def _chinese() -> Segmenter:
    try:
        import rjieba
    except ImportError:
        raise _missing("rjieba", "Chinese") from None
    return Segmenter(f"rjieba-{version('rjieba')}", rjieba.cut)


def _thai() -> Segmenter:
    # Its import would make a folder for downloads in the home directory; it needs none.
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")
    try:
        from pythainlp.tokenize import word_tokenize
    except ImportError:
        raise _missing("pythainlp", "Thai") from None
    name = f"pythainlp-{version('pythainlp')}-newmm"
    return Segmenter(name, lambda text: word_tokenize(text, engine="newmm"))


_BUILDERS: Mapping[str, Callable[[], Segmenter]] = {
    "ja": _japanese,
    "zh": _chinese,
    "th": _thai,
}


def _missing(package: str, language: str) -> MissingExtraError:
    return MissingExtraError(package, _EXTRA, f"cutting {language} into words")


def _has_letter(word: str) -> bool:
    return any(unicodedata.category(character)[0] in "LN" for character in word)
