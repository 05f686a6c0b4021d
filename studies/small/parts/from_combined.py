"""The searched combined model, and what goes on gently from it, on the widest test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, Opened
from choice import best_of, dev_scores, heldout_choices, record_of
from forms import FROM_COMBINED, FROM_FURTHER, auto_names
from setups import Study

from langmerge import Adapter
from parts.heldout import ask_heldout
from parts.steps import Step, adapters_of, ask_merges, train
from parts.tuned import ask_individual, ask_merge, best_setting, further_setting, gently


def from_combined(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the merge of adapters that started from the combined model, and its alternatives.

    What was spent on the adapters could have trained the combined model longer, at the same gentle
    rate, on the same rows: that is `combined-longer`.
    """
    form = study.form
    measures = {
        "merge": _merge,
        "held-out languages": _heldout,
        "longer": _longer,
        "searched further": _further,
        "best single": _best_single,
        "individual": _individual,
    }
    for told, measure in measures.items():
        for seed in form.seeds:
            for task in form.tasks:
                if measure is _merge:
                    step = partial(_train, study, task, seed)
                    yield f"{FROM_COMBINED}/{task}: train, seed {seed}", step
                step = partial(measure, study, bench, task, seed)
                yield f"{FROM_COMBINED}/{task}: {told}, seed {seed}", step


def _project(study: Study, task: str, seed: int, further: Mapping[str, Any] | None = None) -> Path:
    """Write the project of a seed; its ancestor is the searched combined model.

    Args:
        study: the study.
        task: the task.
        seed: the seed.
        further: the ancestor's setting where another one; what it does not name is the form's.
    """
    form, training = study.form, gently(study, best_setting(study, task), share=1.0)
    if further is not None:
        named = ("learning_rate", "num_train_epochs", "per_device_train_batch_size")
        own = {key: form.training[key] for key in named} | dict(further)
        training |= {"ancestor": {"share": 1.0, "train": own}}
    return study.project(
        f"{task}-{FROM_COMBINED if further is None else FROM_FURTHER}-{seed}",
        task,
        form.languages[task],
        seeds=(seed,),
        init="ancestor",
        training=training,
        sizes={"test": form.wide[task]},
    )


def _train(study: Study, task: str, seed: int) -> Iterator[list[str]]:
    yield from train(_project(study, task, seed))


def _merge(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask the combined model and the merge."""
    project = Opened.of(_project(study, task, seed))
    record = record_of(study, task, FROM_COMBINED, seed)
    make = partial(project.adapter, "ancestor", seed)
    bench.ask(project, record, "combined", make, on=(project.languages, "test"))
    ask_merge(study, bench, project, FROM_COMBINED, seed)
    yield from ()


def _heldout(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask what `merge: auto` chooses without a language, and plain TIES."""
    first = record_of(study, task, FROM_COMBINED, study.form.seeds[0])
    picked = heldout_choices([first], auto_names(study.form))
    record_of(study, task, FROM_COMBINED, seed).note(heldout=picked)
    project = Opened.of(_project(study, task, seed))
    ask_heldout(study, bench, project, FROM_COMBINED, seed)
    yield from ()


def _longer(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask the combined model trained on as the adapters were, but on all languages at once."""
    project = Opened.of(_project(study, task, seed))
    record = record_of(study, task, FROM_COMBINED, seed)

    def make() -> Adapter:
        start = project.adapter("ancestor", seed)
        folder = study.work / "longer" / f"{task}-{seed}"
        return bench.trained(
            project, "train", study.form.adapter, {}, seed, start=start, checkpoint_dir=folder
        )

    bench.ask(project, record, "combined-longer", make, on=(project.languages, "test"))
    yield from ()


def _further(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask the combined model that was found later, and the merge by the same recipe from it."""
    setting = further_setting(study, task)
    if setting is None:
        return
    path = _project(study, task, seed, further=setting)
    yield from train(path)
    project, record = Opened.of(path), record_of(study, task, FROM_FURTHER, seed)
    first = record_of(study, task, FROM_COMBINED, study.form.seeds[0])
    recipe = first.content["facts"]["chosen"]
    costs = {of: project.cost(of, seed) for of in (*project.languages, "ancestor")}
    record.note(languages=project.languages, chosen=recipe, setting=dict(setting), costs=costs)
    recipes = {recipe: study.form.candidates[recipe]}
    ask_merges(bench, project, record, recipes, seed=seed, split="test")
    make = partial(project.adapter, "ancestor", seed)
    bench.ask(project, record, "combined", make, on=(project.languages, "test"))


def _best_single(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask the adapter that dev prefers for all languages."""
    project = Opened.of(_project(study, task, seed))
    record, languages = record_of(study, task, FROM_COMBINED, seed), project.languages
    adapters = dict(zip(languages, adapters_of(project, seed)[0], strict=True))
    for code, adapter in adapters.items():
        bench.ask(project, record, f"adapter:{code}", lambda a=adapter: a, on=(languages, "dev"))
    single = best_of(dev_scores([record], "adapter:"))
    record.note(single=single)
    bench.ask(project, record, "best-single", lambda: adapters[single], on=(languages, "test"))
    yield from ()


def _individual(study: Study, bench: Bench, task: str, seed: int) -> Iterator[list[str]]:
    """Ask every language's own adapter."""
    ask_individual(study, bench, Opened.of(_project(study, task, seed)), FROM_COMBINED, seed)
    yield from ()
