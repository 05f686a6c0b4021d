"""What tables are made of: cells, comparisons, and what the raw results have of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from intervals import Drawn, Value, draw
from results import Raw

from langmerge.statistics import Interval, Samples

MARGIN = -1.5
"""Points that a merge may be below the combined model and still count as not inferior."""
LEAST_RETENTION = 97.0
"""Per cent of the combined model's score under which a language is said to have lost."""


def first_facts(raw: Raw, task: str, part: str | None = None) -> Mapping[str, Any]:
    """Return the facts of a part's first seed, by default of the first initialization's."""
    part = part or raw.first
    seeds = raw.seeds(task, part)
    facts: Mapping[str, Any] = raw.record(task, part, seeds[0])["facts"] if seeds else {}
    return facts


def languages_of(raw: Raw, task: str) -> list[str]:
    """Return a task's languages in alphabetical order, as tables have them."""
    return sorted(first_facts(raw, task).get("languages", ()))


def models_of(raw: Raw, task: str, part: str | None = None) -> dict[str, Any]:
    """Return every model that answered all languages of a task, by name and seed."""
    languages = languages_of(raw, task)
    return raw.models(task, part or raw.first, languages) if languages else {}


def chosen_of(raw: Raw, task: str) -> Mapping[str, Any]:
    """Return what dev chose; empty where it has not been asked to the end."""
    chosen: Mapping[str, Any] = first_facts(raw, task).get("chosen", {})
    return chosen


def tested_tasks(raw: Raw) -> list[str]:
    """Return the tasks whose chosen merge and combined model are done with the same seeds."""
    found = []
    for task in raw.tasks:
        models = models_of(raw, task)
        ours = models.get(f"merged:{chosen_of(raw, task).get('mean')}", {})
        if ours and ours.keys() == models.get("combined", {}).keys():
            found.append(task)
    return found


def with_left_out(text: str, raw: Raw, shown: Sequence[str]) -> str:
    """Add which tasks a table lacks, since they have only begun."""
    missing = [task for task in raw.tasks if task not in shown]
    note = f"*Left out, not complete yet: {', '.join(missing)}.*" if missing else ""
    return "\n\n".join(part for part in (text, note) if part)


def dev_mean(raw: Raw, task: str, model: str, beside: str | None = None) -> float:
    """Return a model's mean on dev over the seeds with which it, and another one, were asked."""
    asked = [raw.record(task, raw.first, seed)["dev"] for seed in raw.seeds(task)]
    both = [dev for dev in asked if model in dev and (beside or model) in dev]
    return float(np.mean([np.mean([*dev[model].values()]) for dev in both]))


def of_seed(models: Mapping[str, Mapping[int, Samples]], seed: int) -> dict[str, Any]:
    """Return the models that were asked with a seed, with that seed alone."""
    return {name: {seed: runs[seed]} for name, runs in models.items() if seed in runs}


def drawn_alike(models: Mapping[str, Mapping[int, Samples]]) -> dict[str, Drawn]:
    """Draw models over the seeds that all of them have; empty where they have none in common."""
    common = sorted(set.intersection(*(set(runs) for runs in models.values())))
    alike = {name: {seed: runs[seed] for seed in common} for name, runs in models.items()}
    return draw(alike) if common else {}


def minus(raw: Raw, task: str, ours: str, other: str) -> Value | None:
    """Return one model's mean minus another's over the seeds that both have; None without any."""
    models = models_of(raw, task)
    if other == "ancestor":
        models = {**models, other: models_of(raw, task, "ancestor").get(other, {})}
    return between(models, ours, other)


def against(raw: Raw, task: str, ours: str, other: str) -> str:
    """Compare with a model that may have been asked with some of the seeds only."""
    difference = minus(raw, task, ours, other)
    return "" if difference is None else points(difference)


def beside(models: Mapping[str, Mapping[int, Samples]], ours: str, other: str) -> str:
    """Compare two models over the seeds that both have; empty without any."""
    difference = between(models, ours, other)
    return "" if difference is None else points(difference)


def between(models: Mapping[str, Mapping[int, Samples]], ours: str, other: str) -> Value | None:
    """Return one of these models' mean minus another's, likewise; None without any."""
    drawn = drawn_alike({name: models.get(name, {}) for name in (ours, other)})
    return drawn[ours].mean.minus(drawn[other].mean) if drawn else None


def difference_of(drawn: Mapping[str, Drawn], one: str, two: str) -> str:
    """Compare two models that were drawn together; empty where one of them was not."""
    if one not in drawn or two not in drawn:
        return ""
    return points(drawn[one].mean.minus(drawn[two].mean))


def points(difference: Value) -> str:
    """Return a difference with its interval: `+0.4 (-3.0 to +3.7)`."""
    return f"{difference.observed:+.1f} ({bounds(difference.interval(), ' to ', '+.1f')})"


def verdict_on(difference: Value | None) -> str:
    """Return the lower bound of the two-sided 90% interval, and whether it is above the margin."""
    lower = None if difference is None else difference.interval(0.90).low
    return "?" if lower is None else f"{lower:+.1f}: {'yes' if lower > MARGIN else 'no'}"


def lost_languages(one: Drawn, two: Drawn) -> str:
    """Return the languages that are significantly under the least retention (Bonferroni)."""
    found = []
    for code, value in one.by_language.items():
        kept = value.per_cent_of(two.by_language[code])
        # The upper bound of a two-sided interval that has the risk above it.
        high = kept.interval(1 - 2 * 0.05 / len(one.by_language)).high
        if high is not None and high < LEAST_RETENTION:
            found.append(f"{code} {kept.observed:.0f}%")
    return ", ".join(found) or "none"


def bounds(interval: Interval, between: str = "–", form: str = ".1f") -> str:
    """Return an interval's bounds: `66.7–77.6`."""
    ends = (interval.low, interval.high)
    return between.join("?" if end is None else format(end, form) for end in ends)


def table(head: Sequence[str], lines: Iterable[Sequence[str]], right: bool = False) -> str:
    """Return a table in Markdown; `right` sets all but the first column to the right."""
    rule = ["---", *(["---:"] if right else ["---"]) * (len(head) - 1)]
    rows = [head, rule, *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
