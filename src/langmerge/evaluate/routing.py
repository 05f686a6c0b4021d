"""Routing: which language's own adapter answers a text whose language is not given.

The alternative to merging that a user has: keep every adapter in memory, identify the language of
each text, and put the adapter of that language on the base.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from statistics import median
from typing import Any

from langmerge.adapter import Adapter
from langmerge.data import Row
from langmerge.errors import MissingExtraError, UserError
from langmerge.evaluate.predict import predict_rows, source
from langmerge.examples import Presenter
from langmerge.metrics.tokenization import primary_code
from langmerge.model import BaseModel, folded
from langmerge.tasks import Prediction
from langmerge.tensors import size_of


@dataclass(frozen=True)
class Routed:
    """Answers by routed adapters, and what routing took.

    Attributes:
        predictions: one for each row, in order.
        tokens: as of `predict_rows`.
        languages: how many rows were taken for which language.
        adapter_bytes: memory of all adapters' factors.
        switch_seconds: putting another adapter on the base, the median.
        identify_seconds: identifying the language of one text, the mean.
        identifier: name and version of what did.
    """

    predictions: list[Prediction]
    tokens: int
    languages: dict[str, int]
    adapter_bytes: int
    switch_seconds: float
    identify_seconds: float
    identifier: str


def predict_routed(
    base: BaseModel,
    presenters: Mapping[str, Presenter],
    adapters: Mapping[str, Adapter],
    rows: Sequence[Row],
    batch_tokens: int,
) -> Routed:
    """Answer every row by the adapter, and with the prompt, of the language its text looks like.

    Args:
        base: the base model, without an adapter.
        presenters: how rows are put before the model, by language.
        adapters: the languages' own adapters.
        rows: rows whose language is taken as unknown.
        batch_tokens: tokens in one forward pass at most.

    Raises:
        MissingExtraError: if the identifier is not installed.
        UserError: if it does not know one of the languages.
    """
    identify = identifier(tuple(adapters))
    start = time.monotonic()
    taken_for = [identify(source(row)) for row in rows]
    identifying = time.monotonic() - start
    found: list[Prediction | None] = [None] * len(rows)
    tokens, switches = 0, []
    for language in dict.fromkeys(taken_for):
        places = [place for place, code in enumerate(taken_for) if code == language]
        start = time.monotonic()
        with folded(base, adapters[language]):
            switches.append(time.monotonic() - start)
            answers, used = predict_rows(
                base, presenters[language], [rows[place] for place in places], batch_tokens
            )
        tokens += used
        for place, answer in zip(places, answers, strict=True):
            found[place] = answer
    return Routed(
        predictions=[answer for answer in found if answer is not None],
        tokens=tokens,
        languages=dict(Counter(taken_for)),
        adapter_bytes=sum(map(_bytes_of, adapters.values())),
        switch_seconds=round(median(switches), 4),
        identify_seconds=round(identifying / len(rows), 6),
        identifier=f"lingua {version('lingua-language-detector')}",
    )


@cache
def identifier(languages: tuple[str, ...]) -> Callable[[str], str]:
    """Return the function that says which of some languages a text is in; ties go to the first.

    Raises:
        MissingExtraError: if lingua is not installed.
        UserError: if it does not know one of the languages.
    """
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError:
        raise MissingExtraError(
            "lingua-language-detector", "language-id", "compare: routed"
        ) from None

    codes: dict[str, str] = {}
    for language in languages:
        code = primary_code(language).upper()
        if not hasattr(IsoCode639_1, code):
            raise UserError(
                f"compare: routed: the identifier (lingua) does not know '{language}'; "
                "take routed out of compare:"
            )
        codes.setdefault(code, language)
    if len(codes) == 1:
        return lambda _: languages[0]
    detector: Any = LanguageDetectorBuilder.from_iso_codes_639_1(
        *(getattr(IsoCode639_1, code) for code in codes)
    ).build()

    def identify(text: str) -> str:
        language = detector.detect_language_of(text)
        return languages[0] if language is None else codes[language.iso_code_639_1.name]

    return identify


def _bytes_of(adapter: Adapter) -> int:
    return sum(size_of(header) for header in adapter.headers.values())
