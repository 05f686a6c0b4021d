"""7. Everything needed to make it again: project file, recipes, digests, versions, commands."""

from __future__ import annotations

import json
from collections.abc import Iterator

from langmerge.report.content import Report
from langmerge.report.document import Block, Cell, Code, Paragraph, Section, Table


def build(report: Report) -> Section:
    """Return the section."""
    return Section("reproduction", "Reproduction", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    file = report.project.path.name
    yield Paragraph(
        "With the project file, the data it names and the base of these digests, the commands make "
        "the same adapters on the same kind of device with the same versions. `langmerge plan` "
        "says whether anything differs: a job whose inputs have the same digests is reused."
    )
    yield Code("Commands", "\n".join(_commands(report, file)))
    yield Code(file, report.provenance.project_text.rstrip())
    yield _recipes(report)
    yield _digests(report)
    yield _versions(report)


def _commands(report: Report, file: str) -> Iterator[str]:
    pinned = [
        f"{name}=={found[0]}"
        for name, found in report.provenance.versions.items()
        if name != "python" and len(found) == 1
    ]
    yield f"pip install {' '.join(pinned or [f'langmerge=={report.results.langmerge}'])}"
    for verb in ("check", "run --baselines", "results", "report"):
        yield f"langmerge {verb} --project {file}"


def _recipes(report: Report) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, settings in report.project.merge.items():
        recipe = settings.checked(list(report.project.languages)).as_dict()
        if settings.seed is None:
            recipe["seed"] = None  # The seed of the training is taken.
        given = {key: value for key, value in recipe.items() if value is not None}
        method = given.pop("method")
        rows.append((name, method, json.dumps(given, ensure_ascii=False) if given else "–"))
    return Table(
        name="recipes",
        title="Merge recipes, defaults included",
        header=("recipe", "method", "parameters"),
        rows=tuple(rows),
        notes=(f"Released: {report.project.released_recipe}.",),
    )


def _digests(report: Report) -> Table:
    rows: list[tuple[Cell, ...]] = [
        *((f"base/{name}", digest) for name, digest in report.provenance.base.items()),
        *report.provenance.outputs.items(),
    ]
    return Table(
        name="digests",
        title="SHA-256 of the base, the data, the adapters and the merges",
        header=("of", "digest"),
        rows=tuple(rows),
        folded=True,
    )


def _versions(report: Report) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, ", ".join(found)) for name, found in report.provenance.versions.items()
    ]
    rows.append(("devices", ", ".join(report.provenance.devices) or "unknown"))
    return Table(
        name="versions",
        title="Versions that made the stored results",
        header=("package", "version"),
        rows=tuple(rows),
    )
