"""The sections of a report, one per file, in the order in which they are read."""

from __future__ import annotations

from langmerge.report.content import Report
from langmerge.report.document import Document
from langmerge.report.sections import (
    cost,
    examples,
    reproduction,
    scores,
    training,
    upkeep,
    vectors,
    verdict,
)
from langmerge.report.words import listed, moment_text

_SECTIONS = (verdict, scores, cost, upkeep, training, vectors, examples, reproduction)


def document(report: Report) -> Document:
    """Return a report as a document."""
    project, results = report.project, report.results
    return Document(
        title=f"{project.folder.name}: {report.subject}",
        facts=(
            ("Base", results.base.rstrip("/").rpartition("/")[2]),
            ("Languages", ", ".join(project.languages)),
            ("Tasks", ", ".join(f"{name} ({task.type})" for name, task in project.tasks.items())),
            ("Seeds", "; ".join(_seeds(report))),
            ("Release", "none yet" if report.current is None else report.current.name),
            ("Made", f"{moment_text(report.made)} UTC by langmerge {results.langmerge}"),
        ),
        sections=tuple(section.build(report) for section in _SECTIONS),
    )


def _seeds(report: Report) -> list[str]:
    seeds: dict[tuple[int, ...], list[str]] = {}
    for task in report.project.tasks:
        seeds.setdefault(report.project.seeds_for(task), []).append(task)
    if len(seeds) == 1:
        return [listed([str(seed) for seed in next(iter(seeds))])]
    return [
        f"{listed([str(seed) for seed in each])} for {listed(of)}" for each, of in seeds.items()
    ]
