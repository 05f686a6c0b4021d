"""The parts of the study: what each trains, merges and asks.

A part yields named steps. A step yields commands (trainings, which a time limit may stop), and
does the rest itself between them; whatever is in the raw results already is left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, MissingResultError, Opened
from forms import ADDED, REFERENCES, TEST_RECIPES, WITHHELD, Recipe, auto_names
from raw import Record
from setups import Study

from langmerge import Adapter

Step = Callable[[], Iterator[list[str]]]
Part = Callable[[Study, Bench], Iterator[tuple[str, Step]]]

_UPKEEP = Path(__file__).parents[2] / "benchmarks" / "upkeep.py"


def main_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield every task with shared initialization: train, choose on dev, report on test."""
    for task in study.form.tasks:
        path = study.project(
            task, task, study.form.languages[task], seeds=study.form.seeds, combined=True
        )
        yield f"main/{task}: train", partial(_train, path)
        for seed in study.form.seeds:
            yield f"main/{task}: dev, seed {seed}", partial(_dev, study, bench, path, seed)
        for seed in study.form.seeds:
            yield f"main/{task}: test, seed {seed}", partial(_test, study, bench, path, seed)
        for seed in study.form.seeds:
            yield f"main/{task}: routed, seed {seed}", partial(_routed, study, bench, path, seed)


def inits_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the other initializations, with the first seed: separate, and a common ancestor."""
    seed = study.form.seeds[0]
    for init in study.form.inits:
        for task in study.form.tasks:
            name = f"{task}-{init}"
            path = study.project(name, task, study.form.languages[task], init=init)
            yield f"inits/{name}: train", partial(_train, path)
            for split, measure in (("dev", _dev), ("test", _test)):
                step = partial(measure, study, bench, path, seed, init=init)
                yield f"inits/{name}: {split}", step


def added_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the growing merge: one language more at a time, and what it does to all others."""
    for task in study.form.tasks:
        if added := ADDED.get(task, ())[: study.form.added]:
            languages = (*study.form.languages[task], *added)
            path = study.project(f"{task}-added", task, languages)
            yield f"added/{task}: train", partial(_train, path)
            yield f"added/{task}: test", partial(_added, study, bench, path, added)


def withheld_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the test of the paper's explanation: one label withheld from one language."""
    task, language, label = WITHHELD
    if task in study.form.tasks:
        path = study.project(
            f"{task}-withheld",
            task,
            study.form.languages[task],
            combined=True,
            without=(language, label),
        )
        yield "withheld: train", partial(_train, path)
        yield "withheld: test", partial(_withheld, study, bench, path)


def curves_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield learning curves: one low-resource language with few rows among full ones."""
    if "reasoning" not in study.form.tasks:
        return
    full = study.form.languages["reasoning"]
    for language in study.form.curve_languages:
        for count in study.form.curve:
            path = study.project(
                f"reasoning-{language}-{count}",
                "reasoning",
                (*full, language),
                combined=study.form.combined_curve,
                limits={language: count},
            )
            yield f"curves/{language}/{count}: train", partial(_train, path)
            step = partial(_curve, study, bench, path, language, count)
            yield f"curves/{language}/{count}: test", step


def upkeep_part(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the initial cost and the updates, as benchmarks/upkeep.py goes through them."""
    if "topic" not in study.form.tasks:
        return
    train, new, test = study.form.upkeep
    command = [
        sys.executable, str(_UPKEEP), "--packs", str(study.packs), "--base", str(study.base),
        "--out", str(study.work / "upkeep"), "--json", str(study.raw / "upkeep.json"),
        "--updates", str(study.form.updates), "--train", str(train), "--new", str(new),
        "--test", str(test),
    ]  # fmt: skip
    yield "upkeep", lambda: iter([command])


PARTS: Mapping[str, Part] = {
    "main": main_part,
    "withheld": withheld_part,
    "upkeep": upkeep_part,
    "added": added_part,
    "curves": curves_part,
    "inits": inits_part,
}


def _train(path: Path) -> Iterator[list[str]]:
    """Train a project's adapters; baselines too, though projects of one folder share a lock."""
    program = "from langmerge.cli import main; main()"
    command = [sys.executable, "-c", program, "run", "--only", "train", "--baselines"]
    yield [*command, "--project", str(path)]


def _dev(
    study: Study, bench: Bench, path: Path, seed: int, init: str = "shared"
) -> Iterator[list[str]]:
    """Ask every single adapter and every candidate on dev."""
    project = Opened.of(path)
    record, languages = _record(study, project, init, seed), project.workspace.project.languages
    adapters, ancestor = _adapters(project, seed, init)
    record.note(languages=[*languages])
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, f"adapter:{code}", lambda a=adapter: a, on=([*languages], "dev"))
    candidates = study.form.candidates if init == "shared" else study.form.init_candidates
    for name, recipe in candidates.items():
        record.content["recipes"][name] = dict(recipe)
        make = partial(bench.merged, adapters, recipe, seed, ancestor)
        bench.ask(project, record, f"merged:{name}", make, on=([*languages], "dev"))
    yield from ()


def _test(
    study: Study, bench: Bench, path: Path, seed: int, init: str = "shared"
) -> Iterator[list[str]]:
    """Ask the baselines, what dev chose and the reference recipes on test."""
    project = Opened.of(path)
    record, languages = _record(study, project, init, seed), [*project.workspace.project.languages]
    adapters, ancestor = _adapters(project, seed, init)
    trained = [*languages, *(["combined"] if init == "shared" else [])]
    record.note(
        costs={name: project.cost(name, seed) for name in [*trained, "ancestor"]},
        single=_best(_dev_scores([record], "adapter:"), min_over_languages=False),
        chosen=chosen(study, project.task, init),
    )
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, "individual", lambda a=adapter: a, on=([code], "test"))
    best = dict(zip(languages, adapters, strict=True))[record.content["facts"]["single"]]
    bench.ask(project, record, "best-single", lambda: best, on=(languages, "test"))
    if init == "shared":
        if seed == study.form.seeds[0]:
            bench.ask(project, record, "base", lambda: None, on=(languages, "test"))
        make = partial(project.adapter, "combined", seed)
        bench.ask(project, record, "combined", make, on=(languages, "test"))
    if ancestor is not None:
        bench.ask(project, record, "ancestor", lambda: ancestor, on=(languages, "test"))
    for name in record.content["facts"]["chosen"]["test"]:
        recipe = study.form.candidates[name]
        make = partial(bench.merged, adapters, recipe, seed, ancestor)
        bench.ask(project, record, f"merged:{name}", make, on=(languages, "test"))
    yield from ()


def _routed(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask the languages' own adapters on test, the language of a row being unknown."""
    project = Opened.of(path)
    adapters, _ = _adapters(project, seed, "shared")
    languages = project.workspace.project.languages
    record = _record(study, project, "shared", seed)
    bench.route(project, record, dict(zip(languages, adapters, strict=True)))
    yield from ()


def _added(study: Study, bench: Bench, path: Path, added: Sequence[str]) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record, recipe = _record(study, project, "added", seed), _chosen_recipe(study, project.task)
    before = study.form.languages[project.task]
    record.note(before=list(before), added=list(added))
    record.content["recipes"]["chosen"] = dict(recipe)
    everyone = [*before, *added]
    for count in range(len(added) + 1):
        merged = everyone[: len(before) + count]
        adapters = [project.adapter(code, seed) for code in merged]
        make = partial(bench.merged, adapters, recipe, seed)
        bench.ask(project, record, f"merged+{count}", make, on=(everyone, "test"))
    for code in added:
        make = partial(project.adapter, code, seed)
        bench.ask(project, record, "individual", make, on=([code], "test"))
    yield from ()


def _withheld(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record = _record(study, project, "withheld", seed)
    languages = [*project.workspace.project.languages]
    record.note(withheld=list(WITHHELD))
    adapters = [project.adapter(code, seed) for code in languages]
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, "individual", lambda a=adapter: a, on=([code], "test"))
    make = partial(project.adapter, "combined", seed)
    bench.ask(project, record, "combined", make, on=(languages, "test"))
    recipes = {"ties-1": REFERENCES["ties-1"], "chosen": _chosen_recipe(study, project.task)}
    for name, recipe in recipes.items():
        record.content["recipes"][name] = dict(recipe)
        make = partial(bench.merged, adapters, recipe, seed)
        bench.ask(project, record, f"merged:{name}", make, on=(languages, "test"))
    yield from ()


def _curve(
    study: Study, bench: Bench, path: Path, language: str, count: int
) -> Iterator[list[str]]:
    """Ask merges in which the low-resource language counts alike, by its rows, or is protected."""
    project, seed = Opened.of(path), study.form.seeds[0]
    record = _record(study, project, f"curve-{language}-{count}", seed)
    languages = [*project.workspace.project.languages]
    own = project.adapter(language, seed)
    adapters = [project.adapter(code, seed) for code in languages]
    rows = [project.cost(code, seed).get("rows", 1) for code in languages]
    record.note(language=language, count=rows[-1], rows=rows)
    shares = [*[0.0] * (len(languages) - 1), 0.1]
    recipes: dict[str, dict[str, Any]] = {
        "equal": {"method": "ties"},
        "by size": {"method": "ties", "weights": rows},
        "protected": {"method": "ties", "protect": shares, "slack": 0.2},
        "chosen": dict(_chosen_recipe(study, project.task)),
    }
    bench.ask(project, record, "individual", lambda: own, on=([language], "test"))
    if study.form.combined_curve:
        make = partial(project.adapter, "combined", seed)
        bench.ask(project, record, "combined", make, on=(languages, "test"))
    make = partial(bench.merged, adapters[:-1], {"method": "ties"}, seed)
    bench.ask(project, record, "merged without it", make, on=(languages, "test"))
    for name, recipe in recipes.items():
        record.content["recipes"][name] = recipe
        make = partial(bench.merged, adapters, recipe, seed)
        bench.ask(project, record, f"merged:{name}", make, on=(languages, "test"))
    yield from ()


def chosen(study: Study, task: str, init: str) -> dict[str, Any]:
    """Return what dev prefers, over all seeds, and the recipes that go to test.

    The winners by mean and by worst language; what `merge: auto` would take if a language were
    left out; the references; the best of each of the next methods; at most `TEST_RECIPES`.
    """
    seeds = study.form.seeds if init == "shared" else study.form.seeds[:1]
    records = [Record(_path(study, task, init, seed)) for seed in seeds]
    scores = _dev_scores(records, "merged:")
    if not scores:
        raise MissingResultError(f"dev scores of {task} ({init}); run the part main first")
    by_mean = _best(scores, min_over_languages=False)
    by_worst = _best(scores, min_over_languages=True)
    heldout = heldout_choices(records, auto_names(study.form)) if init == "shared" else {}
    first = [by_mean, by_worst, *heldout.values(), *study.form.references]
    names = list(dict.fromkeys(first))[:TEST_RECIPES]
    methods = {_family(study.form.candidates[name]) for name in names}
    for name in sorted(scores, key=lambda name: -_mean(scores[name])):
        if len(names) < TEST_RECIPES and _family(study.form.candidates[name]) not in methods:
            names.append(name)
            methods.add(_family(study.form.candidates[name]))
    return {"mean": by_mean, "worst-language": by_worst, "heldout": heldout, "test": names}


def heldout_choices(records: Sequence[Record], names: Sequence[str]) -> dict[str, str]:
    """Return what `merge: auto` would choose for each language without its own dev rows.

    The rule is `langmerge.choose.auto.choose`'s: the highest mean of the other languages' scores,
    of equals the first.

    Args:
        records: of all seeds, over which scores are averaged.
        names: auto's candidates, in its order.
    """
    dev = [record.content["dev"] for record in records]
    languages = [*dev[0].get(f"merged:{names[0]}", {})] if names else []
    found = {}
    for left_out in languages if len(languages) > 1 else ():
        others = [code for code in languages if code != left_out]
        found[left_out] = max(
            names, key=lambda n: sum(of[f"merged:{n}"][code] for of in dev for code in others)
        )
    return found


def _chosen_recipe(study: Study, task: str) -> Recipe:
    return study.form.candidates[chosen(study, task, "shared")["mean"]]


def _family(recipe: Recipe) -> tuple[str, str]:
    return recipe["method"], recipe.get("space", "")


def _dev_scores(records: Sequence[Record], prefix: str) -> dict[str, list[float]]:
    """Return each model's dev scores, averaged over the records, one per language."""
    found = {}
    for model in records[0].content["dev"]:
        if model.startswith(prefix) and all(model in r.content["dev"] for r in records):
            of_records = [list(r.content["dev"][model].values()) for r in records]
            found[model.removeprefix(prefix)] = [
                sum(values) / len(values) for values in zip(*of_records, strict=True)
            ]
    return found


def _best(scores: Mapping[str, Sequence[float]], *, min_over_languages: bool) -> str:
    value = min if min_over_languages else _mean
    return max(scores, key=lambda name: (value(scores[name]), _mean(scores[name])))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _adapters(project: Opened, seed: int, init: str) -> tuple[list[Adapter], Adapter | None]:
    adapters = [project.adapter(code, seed) for code in project.workspace.project.languages]
    return adapters, project.adapter("ancestor", seed) if init == "ancestor" else None


def _record(study: Study, project: Opened, init: str, seed: int) -> Record:
    return Record(_path(study, project.task, init, seed))


def _path(study: Study, task: str, init: str, seed: int) -> Path:
    return study.raw / task / f"{init}-{seed}.json"
