"""Which candidate a written answer names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_WITHOUT_SPACES = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"}


def parse_answer(text: str, candidates: Sequence[str]) -> int | None:
    """Return the index of the candidate that a text begins with, None where it names none.

    Strict on purpose: `B`, `(b)`, `B. Paris` and `"b"` name B; `Bern`, `I think B` and `A or B`
    do not name B, and the last names A. Case, width (NFKC) and leading punctuation do not matter;
    of candidates that begin alike the longest wins. After the candidate a word must be over,
    except in scripts that write no spaces. Candidates that are equal so compared name nothing.
    """
    folded = _folded(text)
    options = [_folded(candidate) for candidate in candidates]
    named = [
        index for index, option in enumerate(options) if option and _begins_with(folded, option)
    ]
    longest = max((len(options[index]) for index in named), default=0)
    found = [index for index in named if len(options[index]) == longest]
    return found[0] if len(found) == 1 else None


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    start = next((i for i, character in enumerate(folded) if _is_of_word(character)), len(folded))
    return " ".join(folded[start:].split())


def _begins_with(text: str, option: str) -> bool:
    rest = text[len(option) :]
    return text.startswith(option) and (
        not rest or not _is_of_word(rest[0]) or not _is_of_word(option[-1]) or _no_spaces(rest[0])
    )


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _no_spaces(character: str) -> bool:
    name = unicodedata.name(character, "").replace("-", " ")
    return name.partition(" ")[0] in _WITHOUT_SPACES
