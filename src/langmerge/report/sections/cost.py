"""3, continued. Cost against quality: the first training, and the update of one language."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from langmerge.durations import time_text
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    BASELINES,
    BEST_SINGLE,
    COMBINED,
    COMBINED_CONTINUED,
    INDIVIDUAL,
    ROUTED,
    merge_id,
    merged,
    train_id,
)
from langmerge.report.content import Report
from langmerge.report.document import Block, Cell, Figures, Paragraph, Quantity, Section, Table
from langmerge.report.figures.cost import Priced, cost_quality
from langmerge.report.sections.scores import mean_of


def build(report: Report) -> Section:
    """Return the section."""
    return Section("cost", "Cost against quality", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    figures = []
    for task in report.results.primary_metrics:
        initial, update = _priced(report, task)
        for model, each in update.items():
            first = initial.get(model)
            rows.append(
                (task, model, each.quality, _time(first and first.seconds), _time(each.seconds))
            )
        for name, told, priced in (
            ("first", "first training", initial),
            ("update", "update of one language", update),
        ):
            if len(priced) > 1:
                title = f"{task}: {told}"
                figures.append(cost_quality(f"cost-{task}-{name}", title, priced, report.subject))
    if not rows:
        yield Paragraph("No model was measured in all languages.")
        return
    yield Paragraph(
        "Device time of training and merging as it was when the results were made, per seed; "
        "evaluation is in the bill below. The first training makes all adapters, and what they "
        "start from if they have an ancestor. The update of one language trains one of them "
        "(their mean is shown) and merges again; the combined model is trained anew. The dashed "
        "steps join the models that none beats in both."
    )
    if figures:
        yield Figures(
            "Quality over cost",
            "Mean over languages, with its interval; names in the order of the scores.",
            tuple(figures),
        )
    yield Table(
        name="cost-quality",
        title="What each model's training takes",
        header=("task", "model", "mean on test", "first training", "update of one language"),
        rows=tuple(rows),
    )


def _priced(report: Report, task: str) -> tuple[dict[str, Priced], dict[str, Priced]]:
    """Return every complete model with the price of its first training, and of an update.

    Of a model whose ancestor was adopted, the first price is not known.
    """
    seconds = {job.id: job.seconds for job in report.results.jobs if job.seconds is not None}
    seeds = report.project.seeds_for(task)
    initial: dict[str, Priced] = {}
    update: dict[str, Priced] = {}
    for model in report.models(task):
        quality = mean_of(report, task, model)
        prices = [_price(report, task, model, seed, seconds) for seed in seeds]
        known = [price for price in prices if price is not None]
        firsts = [first for first, _ in known if first is not None]
        if quality.value is not None and firsts:
            initial[model] = Priced(quality, fmean(firsts))
        if quality.value is not None and known:
            update[model] = Priced(quality, fmean(again for _, again in known))
    return initial, update


def _price(
    report: Report, task: str, model: str, seed: int, seconds: dict[str, float]
) -> tuple[float | None, float] | None:
    """Return device-seconds of making a model, and of its update.

    The first is None where an ancestor's are not known; None in all where others are not.
    """
    if model == BASE:
        return 0.0, 0.0
    if model == ANCESTOR:
        # An update leaves it as it is.
        return seconds.get(train_id(task, ANCESTOR, seed)), 0.0
    if model in BASELINES:
        again = seconds.get(train_id(task, model, seed))
        # What is continued was trained before.
        before = seconds.get(train_id(task, COMBINED, seed)) if model == COMBINED_CONTINUED else 0.0
        return None if again is None or before is None else (before + again, again)
    trained = [seconds.get(train_id(task, code, seed)) for code in report.project.languages]
    known = [each for each in trained if each is not None]
    if len(known) < len(trained):
        return None
    start: float | None = 0.0
    if report.project.has_ancestor:
        start = seconds.get(train_id(task, ANCESTOR, seed))
    merging: float | None = 0.0
    if model not in (INDIVIDUAL, ROUTED, BEST_SINGLE):
        merging = seconds.get(merge_id(task, model.removeprefix(merged("")), seed))
    if merging is None:
        return None
    first = None if start is None else start + sum(known) + merging
    return first, fmean(known) + merging


def _time(seconds: float | None) -> Quantity:
    return Quantity(seconds, "–" if seconds is None else time_text(seconds))
