"""2 and 3. Every model on every language: the table, dots with intervals, density curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from langmerge.plan.graph import BASE, COMBINED, INDIVIDUAL, merged
from langmerge.report.content import Report
from langmerge.report.document import (
    MARKS,
    Block,
    Cell,
    Estimate,
    Figure,
    Figures,
    Heading,
    Mark,
    Paragraph,
    Quantity,
    Section,
    Table,
)
from langmerge.report.figures.density import curve
from langmerge.report.figures.intervals import panels
from langmerge.report.sections.sweep import curves as curves_of_sweep
from langmerge.report.verdict import p_value
from langmerge.results import Average, Difference
from langmerge.tables import METRIC_NAMES, routing_notes

MEAN = "mean"


def build(report: Report) -> Section:
    """Return the section."""
    blocks = [block for task in report.results.primary_metrics for block in _task(report, task)]
    return Section("scores", "Scores", tuple(blocks))


def _task(report: Report, task: str) -> Iterator[Block]:
    metric = report.results.primary_metrics[task]
    shown = METRIC_NAMES.get(metric, metric)
    models = report.models(task)
    yield Heading(f"{task}: {shown}")
    if not models:
        yield Paragraph("Nothing was measured on this task's test rows.")
        return
    yield _table(report, task, models, shown)
    columns = {
        language: {
            model: report.cells[task, model, language]
            for model in models
            if (task, model, language) in report.cells
        }
        for language in report.project.languages
    }
    means = {
        model: mean for model in models if (mean := mean_of(report, task, model)).value is not None
    }
    if len(columns) > 1:
        columns[MEAN] = means
    yield Figures(
        "By language",
        f"Dots are scores, lines their {100 * report.results.confidence:g}% intervals; the dashed "
        f"line is {report.subject}. Overlapping intervals do not mean equal: the paired tests do.",
        panels(task, columns, models, report.subject, shown),
    )
    if curves := tuple(_densities(report, task, means)):
        yield Figures(
            "By density",
            "Recipes that differ in density only: the mean over languages.",
            curves,
        )
    if swept := tuple(curves_of_sweep(report, task)):
        yield Figures(
            "By density, on dev",
            "What the last sweep measured before it chose: the mean over languages on dev rows.",
            swept,
        )
    yield from _seeds(report, task)


def mean_of(report: Report, task: str, model: str) -> Estimate:
    """Return a model's mean over languages and seeds; of no value if it is not complete."""
    found = _average(report, task, model)
    if found is None:
        return Estimate(None)
    return Estimate(found.average.value, found.average.low, found.average.high)


def _average(report: Report, task: str, model: str) -> Average | None:
    averages = report.results.averages
    of_test = (a for a in averages if (a.task, a.model, a.split) == (task, model, "test"))
    return next(of_test, None)


def _table(report: Report, task: str, models: list[str], metric: str) -> Table:
    languages = list(report.project.languages)
    rows = []
    for model in models:
        compared = _against(report, task, model)
        cells: list[Cell] = [_name(report, task, model)]
        for language in languages:
            found = report.cells.get((task, model, language), Estimate(None))
            cells.append(_marked(found, compared.get(language), report))
        cells.append(_marked(mean_of(report, task, model), compared.get(MEAN), report))
        rows.append(tuple(cells))
    return Table(
        name=f"scores-{task}",
        title=f"{metric} on test, 0 to 100, with intervals",
        header=("model", *languages, MEAN),
        rows=tuple(rows),
        notes=tuple(_notes(report, task, models)),
        emphasized=tuple(row for row, model in enumerate(models) if model == report.subject),
    )


def _against(report: Report, task: str, model: str) -> Mapping[str, Difference]:
    """Return the subject's comparisons with a model: by language, and of the mean."""
    for found in report.results.comparisons:
        if (found.task, found.model, found.against) == (task, report.subject, model):
            return {**found.languages, MEAN: found}
    return {}


def _marked(found: Estimate, compared: Difference | None, report: Report) -> Estimate:
    """Return a cell with what the comparison says of it: its own side, not the subject's."""
    if compared is None:
        return found
    p = p_value(compared)
    mark: Mark = ""
    if p < 1 - report.results.confidence:
        mark = "worse" if compared.difference > 0 else "better"
    return Estimate(found.value, found.low, found.high, mark, p)


def _name(report: Report, task: str, model: str) -> str:
    of_model = [s for s in report.results.scores if (s.task, s.model) == (task, model)]
    chosen = sorted({score.chosen for score in of_model if score.chosen})
    name = f"{model} ({', '.join(chosen)})" if chosen else model
    return f"{name} (stale)" if any(score.stale for score in of_model) else name


def _notes(report: Report, task: str, models: list[str]) -> Iterator[str]:
    scores = [s for s in report.results.scores if s.task == task and s.split == "test"]
    sizes = {score.language: score.n for score in scores}
    rows = ", ".join(f"{code} {n}" for code, n in sizes.items())
    confidence = f"{100 * report.results.confidence:g}%"
    yield (
        f"Test rows: {rows}. Below each score stands its {confidence} interval, by resampling "
        "groups of rows."
    )
    if any(_against(report, task, model) for model in models):
        yield (
            f"{MARKS['better']} significantly better, {MARKS['worse']} significantly worse than "
            f"{report.subject} on the same rows: paired bootstrap at {confidence}, adjusted (Holm) "
            "over the languages of a row; the mean is adjusted over recipes."
        )
    missing = [
        f"{model} {language}"
        for model in models
        for language in report.project.languages
        if (task, model, language) not in report.cells
    ]
    if missing:
        yield f"Not measured: {', '.join(missing)}."
    yield from routing_notes(report.results, task)
    metric = report.results.primary_metrics[task]
    signatures: dict[str, dict[str, None]] = defaultdict(dict)
    for score in scores:
        if metric in score.metrics:
            signatures[score.metrics[metric].signature][score.language] = None
    for signature, languages in signatures.items():
        of = f" ({', '.join(languages)})" if len(signatures) > 1 else ""
        yield f"Signature{of}: {signature}"


def _densities(report: Report, task: str, means: Mapping[str, Estimate]) -> Iterator[Figure]:
    """Yield a curve for every method of which recipes differ in density only."""
    sweeps: dict[str, dict[float, str]] = defaultdict(dict)
    for name, settings in report.project.merge.items():
        recipe = settings.checked(list(report.project.languages)).as_dict()
        density = recipe.pop("density", None)
        if isinstance(density, int | float) and merged(name) in means:
            sweeps[repr(sorted(recipe.items(), key=str))][float(density)] = name
    shown: set[str] = set()
    for sweep in sweeps.values():
        if len(sweep) < 2:
            continue
        method = report.project.merge[next(iter(sweep.values()))].method
        count = sum(name.startswith(method) for name in shown)
        shown.add(title := method if not count else f"{method} ({count + 1})")
        points = {d: (merged(name), means[merged(name)]) for d, name in sweep.items()}
        references = {m: means[m] for m in (BASE, INDIVIDUAL, COMBINED) if m in means and m != BASE}
        name = f"density-{task}-{title.replace(' ', '-').strip('()')}"
        yield curve(name, f"{task}: {title}", points, references, subject=report.subject)


def _seeds(report: Report, task: str) -> Iterator[Table]:
    """Yield the means by seed, where there are several."""
    averages = [a for a in report.results.averages if a.task == task and a.split == "test"]
    repeated = [a for a in averages if a.seed_spread is not None]
    if not repeated:
        return
    seeds = list(dict.fromkeys(s for a in repeated if a.seed_spread for s in a.seed_spread.values))
    rows: list[tuple[Cell, ...]] = []
    for average in sorted(repeated, key=lambda a: report.models(task).index(a.model)):
        spread = average.seed_spread
        assert spread is not None
        of_seeds = [spread.values.get(seed) for seed in seeds]
        numbers = [*of_seeds, spread.deviation, spread.effect]
        rows.append((average.model, *(_number(value) for value in numbers)))
    yield Table(
        name=f"seeds-{task}",
        title="Mean over languages by seed",
        header=("model", *(f"seed {seed}" for seed in seeds), "deviation", "seed effect"),
        rows=tuple(rows),
        notes=(
            "Deviation is the standard deviation over seeds on the same rows; seed effect is what "
            "of it is beyond the sampling of rows.",
        ),
    )


def _number(value: float | None) -> Quantity:
    return Quantity(value, "–" if value is None else f"{value:.1f}")
