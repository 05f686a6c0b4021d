"""Donors: which adapters to add for a small language, the likeliest to help first.

A language with few rows can borrow from others that change the model alike. The likeness of
adapters is a guess of what a merge with them brings; where dev says what it brings, dev decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langmerge.analysis.matrices import Matrix, Number
from langmerge.analysis.record import Analysis
from langmerge.errors import AdapterError, did_you_mean


@dataclass(frozen=True)
class Donor:
    """An adapter that a small language could be merged with.

    Attributes:
        name: the adapter's name.
        cosine: of its change and the small language's; None where one makes no change.
        agreement: share of equal signs among the entries both keep; None if signs were left out.
        overlap: of the spaces they write to, less what chance would give; None without a common
            module.
        size: its norm over the small language's; far above 1 it drowns that in an average. None
            where the small language makes no change.
        gain: what adding it brought on dev, in points; None where that is not known.
        place: mean of its ranks by cosine, agreement and overlap, 1 for the most alike.
    """

    name: str
    cosine: Number
    agreement: Number
    overlap: Number
    size: Number
    gain: Number
    place: float


def donors(
    analysis: Analysis, language: str, gains: Mapping[str, float] | None = None
) -> tuple[Donor, ...]:
    """Return the other adapters, the likeliest to help a language first.

    Those with a known gain come first, by it; the others by their place. Ranks are averaged, not
    numbers: a cosine and a share of equal signs have no common scale. Equal numbers share their
    mean rank, an undefined one counts as the last.

    Args:
        analysis: of the adapters, the small language's among them.
        language: its name there.
        gains: by adapter, the points that adding it brought on dev.

    Raises:
        AdapterError: if the language, or an adapter with a gain, is not in the analysis.
    """
    gains = gains or {}
    for name in (language, *gains):
        if name not in analysis.names:
            raise AdapterError(
                f"'{name}' is none of the adapters{did_you_mean(name, analysis.names)} "
                f"(they are {', '.join(analysis.names)})"
            )
    at = analysis.names.index(language)
    others = [i for i in range(len(analysis.names)) if i != at]
    column = analysis.column_overlap
    cosine = _row(analysis.whole.cosines, at, others)
    agreement = [None] * len(others) if analysis.signs is None else (
        _row(analysis.signs.agreement, at, others)
    )  # fmt: skip
    overlap = [
        None if found is None or chance is None else found - chance
        for found, chance in zip(
            _row(column.mean_squared_cosine, at, others),
            _row(column.by_chance, at, others),
            strict=True,
        )
    ]
    ranked = [_ranks(numbers) for numbers in (cosine, agreement, overlap) if _any(numbers)]
    norm = analysis.whole.norms[at]
    found = [
        Donor(
            name=analysis.names[i],
            cosine=cosine[k],
            agreement=agreement[k],
            overlap=overlap[k],
            size=analysis.whole.norms[i] / norm if norm else None,
            gain=gains.get(analysis.names[i]),
            place=sum(ranks[k] for ranks in ranked) / len(ranked) if ranked else 1.0,
        )
        for k, i in enumerate(others)
    ]
    return tuple(sorted(found, key=lambda d: (d.gain is None, -(d.gain or 0.0), d.place, d.name)))


def _row(matrix: Matrix, at: int, others: Sequence[int]) -> list[Number]:
    return [matrix[at][i] for i in others]


def _any(numbers: Sequence[Number]) -> bool:
    return any(number is not None for number in numbers)


def _ranks(numbers: Sequence[Number]) -> list[float]:
    """Return the rank of each number, 1 for the largest; equal ones share their mean rank."""
    known = [float("-inf") if number is None else number for number in numbers]
    return [
        1 + sum(other > own for other in known) + (sum(other == own for other in known) - 1) / 2
        for own in known
    ]
