"""The part `main`: what was run, merged against combined, all models, choosing and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from forms import METRICS
from intervals import draw
from results import Raw

from tables.calibrated import without_learned
from tables.common import (
    LEAST_RETENTION,
    MARGIN,
    against,
    bounds,
    chosen_of,
    dev_mean,
    difference_of,
    languages_of,
    lost_languages,
    models_of,
    table,
    tested_tasks,
    verdict_on,
    with_left_out,
)

_ORDER = (
    "base", "individual", "routed", "best-single", "ancestor", "combined", "combined-tuned",
)  # fmt: skip


_ALTERNATIVES = {
    "best-single": "best-single",
    "routed": "routed",
    "ancestor": "the ancestor alone",
    "combined-tuned": "combined, tuned",
}

_INITS = {
    "shared": "one A for all languages",
    "separate": "an A of each language's own",
    "ancestor": "a common ancestor, trained for a short while on a share of all languages' rows",
}


def setup(raw: Raw) -> str:
    """Return what was run on what."""
    lines, machine = [], None
    for task in tested_tasks(raw):
        seeds = raw.seeds(task)
        record = raw.record(task, raw.first, seeds[0])
        languages = languages_of(raw, task)
        rows = [len(record["test"]["combined"][code]) for code in languages]
        trained = [record["facts"]["costs"].get(code, {}).get("rows", "?") for code in languages]
        cells = (f"{code} {n} / {m}" for code, n, m in zip(languages, trained, rows, strict=True))
        lines.append([task, METRICS[task], ", ".join(cells), ", ".join(map(str, seeds))])
        machine = record["machine"]
    if machine is None:
        return with_left_out("", raw, tested_tasks(raw))
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    device = machine["gpu"] or f"{machine['cores']} CPU cores"
    head = ["task", "measure", "rows of training / test", "seeds"]
    start = f"Adapters start from: {_INITS[raw.first]}."
    text = f"{table(head, lines)}\n\n{start} Machine: {device}; {versions}; {machine['date']}."
    return with_left_out(text, raw, tested_tasks(raw))


def verdict(raw: Raw) -> str:
    """Return the recipe that dev chose against the combined model and the other alternatives."""
    lines, others = [], []
    for task in tested_tasks(raw):
        drawn, ours = draw(models_of(raw, task)), f"merged:{chosen_of(raw, task)['mean']}"
        merged, combined = drawn[ours], drawn["combined"]
        kept = merged.mean.per_cent_of(combined.mean).interval()
        lines.append(
            [
                task,
                f"`{ours.removeprefix('merged:')}`",
                f"{merged.mean.observed:.1f}",
                f"{combined.mean.observed:.1f}",
                difference_of(drawn, ours, "combined"),
                verdict_on(merged.mean.minus(combined.mean)),
                f"{kept.value:.1f}% ({bounds(kept)})",
                lost_languages(merged, combined),
            ]
        )
        others.append([task, *(against(raw, task, ours, model) for model in _ALTERNATIVES)])
    head = [
        "task", "recipe", "merged", "combined", "difference (95%)",
        f"one-sided bound; above {MARGIN:g}?", "keeps (95%)",
        f"languages under {LEAST_RETENTION:g}%",
    ]  # fmt: skip
    alternatives = table(["task", *_ALTERNATIVES.values()], others)
    text = f"{table(head, lines)}\n\nMinus the alternatives (95%):\n\n{alternatives}"
    return with_left_out(text if lines else "", raw, tested_tasks(raw))


def scores(raw: Raw) -> str:
    """Return every model's score by language, task by task."""
    parts = []
    for task in raw.tasks:
        if not (models := without_learned(models_of(raw, task))):
            continue
        languages, drawn = languages_of(raw, task), draw(models)
        seeds = raw.seeds(task)
        lines = [
            [
                f"`{model}`{_only(models[model], seeds)}",
                *(f"{value.observed:.1f}" for value in drawn[model].by_language.values()),
                f"{drawn[model].mean.observed:.1f}",
                bounds(drawn[model].mean.interval()),
                difference_of(drawn, model, "combined") if model != "combined" else "",
            ]
            for model in sorted(models, key=_rank)
        ]
        head = ["model", *sorted(languages), "mean", "95%", "minus combined (95%)"]
        of_seeds = (
            f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed, whose chance no interval covers"
        )
        parts.append(f"**{task}**: {METRICS[task]}; {of_seeds}\n\n{table(head, lines, right=True)}")
    return with_left_out("\n\n".join(parts), raw, [t for t in raw.tasks if models_of(raw, t)])


def choosing(raw: Raw) -> str:
    """Return what choosing on dev was worth: dev and test scores of what it chose."""
    lines = []
    for task in tested_tasks(raw):
        chosen, models = f"merged:{chosen_of(raw, task)['mean']}", models_of(raw, task)
        alike = {
            name: runs
            for name, runs in without_learned(models).items()
            if name.startswith("merged:") and runs.keys() == models[chosen].keys()
        }
        test = {name: drawn.mean.observed for name, drawn in draw(alike).items()}
        dev = {name: dev_mean(raw, task, name) for name in alike}
        gaps = {name: test[name] - dev[name] for name in alike}
        usual = float(np.mean([*gaps.values()]))
        best = max(alike, key=test.__getitem__)
        lines.append(
            [
                task,
                f"`{chosen.removeprefix('merged:')}`",
                f"{dev[chosen]:.1f}",
                f"{test[chosen]:.1f}",
                f"{gaps[chosen]:+.1f}",
                f"{usual:+.1f}",
                f"{gaps[chosen] - usual:+.1f}",
                f"`{best.removeprefix('merged:')}` {test[best]:.1f}",
            ]
        )
    head = [
        "task", "chosen on dev", "dev", "test", "its gap", "gap of all tested",
        "price of choosing", "best of test",
    ]  # fmt: skip
    return with_left_out(table(head, lines) if lines else "", raw, tested_tasks(raw))


def _rank(model: str) -> tuple[int, str]:
    return (_ORDER.index(model) if model in _ORDER else len(_ORDER), model)


def _only(runs: Mapping[int, Any], seeds: Sequence[int]) -> str:
    """Say with which seeds a model was asked where these are not all."""
    some = ", ".join(map(str, sorted(runs)))
    return "" if len(runs) == len(seeds) else f" (seed{'s' if len(runs) > 1 else ''} {some})"
