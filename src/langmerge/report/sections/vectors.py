"""5. Language vectors: how alike they are, what the merge keeps, and whether that tells losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from langmerge.plan.graph import INDIVIDUAL
from langmerge.report.content import Report
from langmerge.report.document import (
    Block,
    Cell,
    Figures,
    Heading,
    Notice,
    Paragraph,
    Quantity,
    Section,
    Table,
)
from langmerge.report.figures.vectors import dendrogram, heat_map, layers
from langmerge.report.words import limited, p_text
from langmerge.statistics import holm

if TYPE_CHECKING:
    from langmerge.analysis import Analysis

_FEWEST = 3
"""Languages for a rank correlation."""


def build(report: Report) -> Section:
    """Return the section."""
    return Section("vectors", "Language vectors", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    if report.vectors:
        what = (
            "A task vector is how far an adapter has come from the ancestor that all languages "
            "start from"
            if report.project.has_ancestor
            else "A task vector is the change that an adapter makes to the base"
        )
        yield Paragraph(
            f"{what}. Near 0, cosines say that languages changed the model in unrelated "
            "directions. Closeness of weights is not closeness of behaviour: whether the merge "
            "works, only the scores say. First seed; adapters trained from one initialization have "
            "larger cosines, whatever they learned."
        )
    if gaps := report.gaps.get("vectors"):
        yield Notice(f"Not compared, for want of: {limited(list(gaps))}")
    for task, analysis in report.vectors.items():
        yield Heading(task)
        figures = (heat_map(task, analysis), dendrogram(task, analysis), layers(task, analysis))
        yield Figures(
            "Language vectors",
            "Left: cosines of whole vectors. Clusters join at their mean cosine; nearly equal "
            "heights mean that there are none. Layers: mean over pairs, lines from least to "
            "greatest.",
            tuple(figure for figure in figures if figure is not None),
        )
        yield _cosines(task, analysis)
        yield _adapters(task, analysis)
        yield from _relations(report, task, analysis)


def _cosines(task: str, analysis: Analysis) -> Table:
    return Table(
        name=f"cosines-{task}",
        title="Cosines of the task vectors",
        header=("adapter", *analysis.names),
        rows=tuple(
            (name, *(_number(value, 3) for value in row))
            for name, row in zip(analysis.names, analysis.whole.cosines, strict=True)
        ),
        folded=True,
    )


def _adapters(task: str, analysis: Analysis) -> Table:
    """Return norms, ranks, and what the merge keeps of every adapter."""
    kept = analysis.kept or ()
    header = ["adapter", "norm", "effective rank", "stable rank"]
    header += ["kept: cosine", "kept: amount"] if kept else []
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(analysis.names):
        spectrum = analysis.spectra[i]
        row: list[Cell] = [
            name,
            _number(analysis.whole.norms[i], 2),
            _number(spectrum.effective_rank, 1),
            _number(spectrum.stable_rank, 1),
        ]
        if kept:
            row += [_number(kept[i].cosine, 2), _number(kept[i].amount, 2)]
        rows.append(tuple(row))
    notes = (
        "Kept: the merge's direction against the adapter's, and how much of the adapter's change "
        "is in the merge by its own measure.",
    )
    return Table(
        name=f"adapters-{task}",
        title="The adapters, and what the merge keeps of them",
        header=tuple(header),
        rows=tuple(rows),
        notes=notes if kept else (),
    )


def _relations(report: Report, task: str, analysis: Analysis) -> Iterator[Table]:
    """Yield whether a number of the vectors goes with what a language loses in the merge."""
    from langmerge.analysis import relate

    losses = {}
    for language in analysis.names:
        own = report.cells.get((task, INDIVIDUAL, language))
        ours = report.cells.get((task, report.subject, language))
        if own is not None and ours is not None and None not in (own.value, ours.value):
            losses[language] = (own.value or 0.0) - (ours.value or 0.0)
    if len(losses) < max(_FEWEST, len(analysis.names)):
        return
    found = {}
    for measure, values in analysis.measures().items():
        try:
            found[measure] = relate(values, losses)
        except ValueError:  # a measure without an order, or of some languages only
            continue
    if not found:
        return
    adjusted = holm([relation.p_value for relation in found.values()])
    rows: list[tuple[Cell, ...]] = [
        (
            measure.replace("_", " "),
            _number(relation.rho, 2),
            _number(relation.low, 2),
            _number(relation.high, 2),
            Quantity(relation.p_value, p_text(relation.p_value)),
            Quantity(p, p_text(p)),
        )
        for (measure, relation), p in zip(found.items(), adjusted, strict=True)
    ]
    caution = next(iter(found.values())).caution
    yield Table(
        name=f"relations-{task}",
        title="Rank correlation with the points a language loses in the merge",
        header=("measure", "rho", "low", "high", "p", "p adjusted"),
        rows=tuple(rows),
        notes=tuple(
            note
            for note in (
                "Lost: individual minus merged, over all seeds. Permutation p-values, adjusted "
                "(Holm) over the measures.",
                f"{caution[:1].upper()}{caution[1:]}." if caution else "",
            )
            if note
        ),
    )


def _number(value: float | None, decimals: int) -> Quantity:
    return Quantity(
        value, "–" if value is None else f"{value + 0.0:.{decimals}f}".replace("-", "−")
    )
