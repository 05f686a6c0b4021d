"""Learning curves: one low-resource language with few rows among full ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, Opened
from choice import chosen_recipe, record_of
from raw import Record
from setups import Study

from langmerge import Adapter
from langmerge.analysis.donors import donors
from langmerge.analysis.engine import analyze
from langmerge.plan.weighting import normalized
from parts.steps import Step, adapters_of, train

TASK = "reasoning"


def curves(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield, for every low-resource language and number of rows, the training and the merges.

    The language is added to what the full ones have: where adapters have an ancestor, to theirs.
    """
    form = study.form
    if TASK not in form.tasks:
        return
    for language in form.curve_languages:
        for count in form.curve:
            path = study.project(
                f"{TASK}-{language}-{count}",
                TASK,
                (*form.languages[TASK], language),
                init=form.inits[0],
                combined=form.combined_curve,
                limits={language: count},
            )
            released = study.path(f"{TASK}-{form.inits[0]}")
            yield f"curves/{language}/{count}: train", partial(train, path, released)
            step = partial(_test, study, bench, path, language, count)
            yield f"curves/{language}/{count}: test", step


def _test(study: Study, bench: Bench, path: Path, language: str, count: int) -> Iterator[list[str]]:
    """Ask merges in which the low-resource language counts alike, by a rule, or is protected."""
    project, seed = Opened.of(path), study.form.seeds[0]
    record = record_of(study, TASK, f"curve-{language}-{count}", seed)
    adapters, ancestor = adapters_of(project, seed)
    languages = project.languages
    rows = [project.cost(code, seed).get("rows", 1) for code in languages]
    record.note(language=language, count=rows[-1], rows=rows)
    protected = [*[0.0] * (len(adapters) - 1), 0.1]
    rules = {"size": rows, "norm": [1 / adapter.distance(ancestor) for adapter in adapters]}
    rules["gain"] = _gains(bench, project, record, adapters)
    recipes: dict[str, dict[str, Any]] = {
        "equal": {"method": "ties"},
        **{f"by {n}": {"method": "ties", "weights": normalized(of)} for n, of in rules.items()},
        "protected": {"method": "ties", "protect": protected, "slack": 0.2},
        "chosen": dict(chosen_recipe(study, TASK, project.init)),
    }
    bench.ask(project, record, "individual", lambda: adapters[-1], on=([language], "test"))
    if study.form.combined_curve:
        make = partial(project.adapter, "combined", seed)
        bench.ask(project, record, "combined", make, on=(languages, "test"))
    make = partial(bench.merged, adapters[:-1], {"method": "ties"}, seed, ancestor)
    bench.ask(project, record, "merged without it", make, on=(languages, "test"))
    for name, recipe in recipes.items():
        record.content["recipes"][name] = recipe
        make = partial(bench.merged, adapters, recipe, seed, ancestor)
        bench.ask(project, record, f"merged:{name}", make, on=(languages, "test"))
    likest = _donors(languages, adapters, language, ancestor)
    record.note(donors=likest)
    near = [adapters[languages.index(code)] for code in (*likest, language)]
    make = partial(bench.merged, near, {"method": "ties"}, seed, ancestor)
    bench.ask(project, record, "merged:donors", make, on=([language], "test"))
    yield from ()


def _gains(
    bench: Bench, project: Opened, record: Record, adapters: Sequence[Adapter]
) -> list[float]:
    """Return by how much each language's adapter beats the base on its dev rows, in points."""
    languages = project.languages
    bench.ask(project, record, "base", lambda: None, on=(languages, "dev"))
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, "individual", lambda a=adapter: a, on=([code], "dev"))
    dev = record.content["dev"]
    return [dev["individual"][code] - dev["base"][code] for code in languages]


def _donors(
    languages: Sequence[str], adapters: Sequence[Adapter], language: str, ancestor: Adapter | None
) -> list[str]:
    """Return the two languages whose adapters are most like a language's."""
    known = dict(zip(languages, adapters, strict=True))
    found = donors(analyze(known, density=None, ancestor=ancestor), language)
    return [donor.name for donor in found[:2]]
