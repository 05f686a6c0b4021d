"""The combined model, searched; and adapters trained by what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, MissingResultError, Opened
from choice import best_of, dev_scores, record_of
from forms import GENTLE, HALF, HALF_SHARE, auto_names
from setups import Study

from langmerge import Adapter
from parts.steps import Step, ask_merges, first_projects, train


def tuned(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the combined model with other settings, and adapters trained by the best of them.

    Settings and the merge are chosen on dev with the first seed, and go to test with all.
    """
    for task, path in first_projects(study).items():
        if study.form.combined_trials:
            yield f"tuned/{task}: train", partial(train, path)
            yield f"tuned/{task}: dev", partial(_tuned, study, bench, path)
            for seed in study.form.seeds:
                step = partial(_with_the_best, study, bench, path, seed)
                yield f"tuned/{task}: test, seed {seed}", step
            for name in ("tuned", HALF):
                yield f"tuned/{task}: train {name}", partial(_train_by_the_best, study, path, name)
                for seed in study.form.seeds:
                    step = partial(_merged_by_the_best, study, bench, path, name, seed)
                    yield f"tuned/{task}: merge {name}, seed {seed}", step


def _tuned(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    """Ask the combined model of the first seed on dev, trained by every setting."""
    project, seed = Opened.of(path), study.form.seeds[0]
    record, languages = record_of(study, project.task, project.init, seed), project.languages
    for name, changes in {**_trials(study), **study.form.further_trials}.items():
        model = f"combined:{name}"
        record.content["recipes"][model] = dict(changes)
        make = partial(_combined, study, bench, project, changes, seed)
        bench.ask(project, record, model, make, on=(languages, "dev"))
    scores = dev_scores([record], "combined:")
    record.note(tuned=best_of({name: scores[name] for name in _trials(study)}))
    yield from ()


def _with_the_best(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask the combined model of a seed on test, trained by the setting that dev chose."""
    project = Opened.of(path)
    record = record_of(study, project.task, project.init, seed)
    setting = best_setting(study, project.task)
    if not setting and (answers := record.content["test"].get("combined")):
        # As it is: the part `main` has asked it.
        record.content["test"]["combined-tuned"] = answers
        record.write()
    make = partial(_combined, study, bench, project, setting, seed)
    bench.ask(project, record, "combined-tuned", make, on=(project.languages, "test"))
    yield from ()


def _train_by_the_best(study: Study, path: Path, name: str) -> Iterator[list[str]]:
    yield from train(_tuned_project(study, path, name))


def _merged_by_the_best(
    study: Study, bench: Bench, path: Path, name: str, seed: int
) -> Iterator[list[str]]:
    """Ask merges of adapters that were trained by the setting that dev chose."""
    project = Opened.of(_tuned_project(study, path, name))
    ask_merge(study, bench, project, name, seed)
    ask_individual(study, bench, project, name, seed)
    if name == HALF:
        record, languages = record_of(study, project.task, name, seed), project.languages
        make = partial(project.adapter, "ancestor", seed)
        bench.ask(project, record, "ancestor", make, on=(languages, "test"))
    yield from ()


def ask_merge(study: Study, bench: Bench, project: Opened, name: str, seed: int) -> None:
    """Ask the merge that dev prefers with the first seed.

    Args:
        study: the study.
        bench: asks them.
        project: has the adapters and the rows.
        name: by which the raw results have them.
        seed: of the adapters.
    """
    task, languages, first = project.task, project.languages, study.form.seeds[0]
    record = record_of(study, task, name, seed)
    candidates = study.form.candidates
    if seed == first:
        recipes = {of: dict(candidates[of]) for of in auto_names(study.form)}
        record.content["recipes"].update(recipes)
        ask_merges(bench, project, record, recipes, seed=seed, split="dev")
    best = best_of(dev_scores([record_of(study, task, name, first)], "merged:"))
    trained = [*languages, *(["ancestor"] if project.has_ancestor else [])]
    costs = {of: project.cost(of, seed) for of in trained}
    record.note(languages=languages, chosen=best, costs=costs)
    ask_merges(bench, project, record, {best: candidates[best]}, seed=seed, split="test")


def ask_individual(study: Study, bench: Bench, project: Opened, name: str, seed: int) -> None:
    """Ask every language's own adapter; arguments as for `ask_merge`."""
    record = record_of(study, project.task, name, seed)
    for code in project.languages:
        make = partial(project.adapter, code, seed)
        bench.ask(project, record, "individual", make, on=([code], "test"))


def _tuned_project(study: Study, path: Path, name: str) -> Path:
    """Write the project whose adapters are trained by the setting that dev chose."""
    project, form = Opened.of(path), study.form
    setting = best_setting(study, project.task)
    return study.project(
        f"{project.task}-{name}",
        project.task,
        form.languages[project.task],
        seeds=form.seeds,
        init="ancestor" if name == HALF else project.init,
        training=gently(study, setting, HALF_SHARE) if name == HALF else setting,
    )


def gently(study: Study, setting: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Return a setting for adapters that go on gently from an ancestor of a share of all rows."""
    rate = setting.get("learning_rate", study.form.training["learning_rate"])
    ancestor = {"share": share, "train": {"learning_rate": rate}}
    return {**setting, "learning_rate": GENTLE * rate, "ancestor": ancestor}


def best_setting(study: Study, task: str) -> Mapping[str, Any]:
    """Return the combined model's training setting that dev chose with the first seed.

    Raises:
        MissingResultError: if dev has not been asked to the end.
    """
    form = study.form
    best: str | None = (
        record_of(study, task, form.inits[0], form.seeds[0]).content["facts"].get("tuned")
    )
    if best is None:
        raise MissingResultError(f"the combined model's settings for {task}; run the part tuned")
    return _trials(study)[best]


def further_setting(study: Study, task: str) -> Mapping[str, Any] | None:
    """Return the further trial that dev prefers to the best setting; None if it prefers none."""
    form = study.form
    record = record_of(study, task, form.inits[0], form.seeds[0])
    return form.further_trials.get(best_of(dev_scores([record], "combined:")))


def _trials(study: Study) -> Mapping[str, Mapping[str, Any]]:
    return {"as it is": {}, **study.form.combined_trials}


def _combined(
    study: Study, bench: Bench, project: Opened, changes: Mapping[str, Any], seed: int
) -> Adapter:
    """Return the combined model of a seed with some settings changed."""
    if not changes:
        return project.adapter("combined", seed)
    parts = (project.task, *map(str, changes.values()), str(seed))
    folder = study.work / "tuned" / "-".join(parts)
    return bench.trained(project, "train", study.form.adapter, changes, seed, checkpoint_dir=folder)
