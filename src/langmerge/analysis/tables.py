"""An analysis as tables of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from langmerge.analysis.cosines import Similarity
from langmerge.analysis.donors import Donor
from langmerge.analysis.matrices import Matrix, Number, mean, mean_with_others, pairs_of
from langmerge.analysis.record import Analysis
from langmerge.analysis.signs import Signs
from langmerge.analysis.spectra import Spectrum
from langmerge.tables import TextTable


def tables(analysis: Analysis) -> Iterator[TextTable]:
    """Yield the tables of an analysis, the most telling first."""
    yield _adapters(analysis)
    if analysis.kept is not None:
        yield _kept(analysis)
    yield _matrix("cosine of task vectors", analysis.names, analysis.whole.cosines, _decimal)
    if analysis.signs is not None:
        yield _signs(analysis.names, analysis.signs)
    yield _overlap(analysis)
    yield _groups("cosine by module type", "type", analysis.types)
    if analysis.layers:
        yield _groups("cosine by layer", "layer", analysis.layers)


def donor_table(language: str, found: Sequence[Donor]) -> TextTable:
    """Return the donors of a small language, the likeliest to help first."""
    return TextTable(
        title=f"donors for {language}",
        header=("adapter", "cosine", "equal signs", "overlap", "size", "gain on dev", "place"),
        rows=tuple(
            (
                donor.name,
                _decimal(donor.cosine),
                _percent(donor.agreement),
                _decimal(donor.overlap),
                "-" if donor.size is None else f"{donor.size:.2f}",
                "-" if donor.gain is None else f"{donor.gain:+.1f}",
                f"{donor.place:.1f}",
            )
            for donor in found
        ),
        notes=(
            "By gain where it is known, then by place: the mean rank of cosine, equal signs and "
            "overlap. Overlap: of the spaces written to, above chance. Size: norm over "
            f"{language}'s. Likeness is a guess; --gain NAME=POINTS lets dev decide.",
        ),
    )


def _adapters(analysis: Analysis) -> TextTable:
    cosines = mean_with_others(analysis.whole.cosines)
    columns = zip(analysis.names, analysis.whole.norms, analysis.spectra, cosines, strict=True)
    return TextTable(
        title="language vectors",
        header=("adapter", "norm", "rank", "effective", "stable", "mean cosine"),
        rows=tuple(
            (name, _norm(norm), *_ranks(spectrum), _decimal(cosine))
            for name, norm, spectrum, cosine in columns
        )
        + tuple(_merged_row(analysis)),
        notes=("Ranks are means over modules; the mean cosine is that with the other adapters.",),
    )


def _merged_row(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    if analysis.merged_norm is not None and analysis.merged_spectrum is not None:
        yield "(merged)", _norm(analysis.merged_norm), *_ranks(analysis.merged_spectrum), ""


def _norm(norm: float) -> str:
    return f"{norm:#.4g}"


def _ranks(spectrum: Spectrum) -> tuple[str, str, str]:
    numbers = spectrum.rank, spectrum.effective_rank, spectrum.stable_rank
    rank, effective, stable = (f"{number:.1f}" for number in numbers)
    return rank, effective, stable


def _kept(analysis: Analysis) -> TextTable:
    n = len(analysis.names)
    return TextTable(
        title="kept by the merged adapter",
        header=("adapter", "cosine", "amount", "inside", "by chance"),
        rows=tuple(
            (
                name,
                _decimal(x.cosine),
                _decimal(x.amount),
                _percent(x.inside),
                _percent(x.inside_by_chance),
            )
            for name, x in zip(analysis.names, analysis.kept or (), strict=True)
        ),
        notes=(
            f"The mean of {n} orthogonal adapters of equal norm keeps cosine {n**-0.5:.2f} and "
            f"amount {1 / n:.2f} of each. Inside: energy within the merge's column and row spaces; "
            "high for any merge that was not compressed.",
        ),
    )


def _signs(names: tuple[str, ...], signs: Signs) -> TextTable:
    table = _matrix(f"equal signs at density {signs.density:g}", names, signs.agreement, _percent)
    notes = (
        "Of the entries that both keep; 50% is chance.",
        f"In conflict: {_percent(signs.conflict)} of the entries that two or more keep, "
        f"{_percent(signs.conflict_by_chance)} by chance; they are {_percent(signs.contested)} of "
        "all entries.",
    )
    return TextTable(table.title, table.header, table.rows, notes)


def _overlap(analysis: Analysis) -> TextTable:
    columns, rows = analysis.column_overlap, analysis.row_overlap
    mixed: Matrix = tuple(
        tuple(
            columns.mean_squared_cosine[i][j] if i < j else rows.mean_squared_cosine[i][j]
            for j in range(len(analysis.names))
        )
        for i in range(len(analysis.names))
    )
    table = _matrix("overlap of singular subspaces", analysis.names, mixed, _decimal)
    by_chance = [_decimal(mean(pairs_of(x.by_chance))) for x in (columns, rows)]
    notes = (
        "Mean squared cosine of principal angles: column spaces (what is written) above the "
        "diagonal, row spaces (what is read) below.",
        f"By chance: {by_chance[0]} above, {by_chance[1]} below.",
    )
    return TextTable(table.title, table.header, table.rows, notes)


def _groups(title: str, kind: str, groups: Mapping[str, Similarity]) -> TextTable:
    """Return one row for each group of modules: mean and range of cosines, share of energy."""
    energies = {group: sum(norm**2 for norm in found.norms) for group, found in groups.items()}
    everything = sum(energies.values())

    def row(group: str, found: Similarity) -> tuple[str, ...]:
        pairs = pairs_of(found.cosines)
        share = energies[group] / everything if everything else None
        lowest, highest = min(pairs, default=None), max(pairs, default=None)
        return group, *map(_decimal, (mean(pairs), lowest, highest)), _percent(share)

    return TextTable(
        title=title,
        header=(kind, "mean", "lowest", "highest", "energy"),
        rows=tuple(row(group, found) for group, found in groups.items()),
        notes=("Over pairs of adapters. Energy: share of all squared norms in the table.",),
    )


def _matrix(
    title: str, names: tuple[str, ...], matrix: Matrix, show: Callable[[Number], str]
) -> TextTable:
    """Return a square table; the diagonal, which says nothing, is blank."""

    def row(i: int) -> tuple[str, ...]:
        return tuple("" if i == j else show(number) for j, number in enumerate(matrix[i]))

    return TextTable(
        title=title,
        header=("", *names),
        rows=tuple((name, *row(i)) for i, name in enumerate(names)),
        notes=(),
    )


def _decimal(number: Number) -> str:
    # Adding 0 turns a rounded -0 into 0.
    return "-" if number is None else f"{round(number, 3) + 0.0:.3f}"


def _percent(number: Number) -> str:
    return "-" if number is None else f"{number:.1%}"
