"""The model card that lies beside every released model: `README.md` in the Hub's format.

It says what the release's manifest knows, so that it is the same whenever it is written. The
metadata block has `model-index` results, which the Hub shows on the model's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from langmerge.markdown import Alignment, code, code_block, escape, table
from langmerge.merging.auto import AUTO
from langmerge.project import Project
from langmerge.tables import METRIC_NAMES
from langmerge.tasks import Task
from langmerge.upkeep.releases import Release

CARD_FILE = "README.md"

_HUB_NAME = re.compile(r"(?P<model>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_].+)?")
"""What a name must look like to be given to the Hub as a language's code."""

_HUB_TASKS = {
    "classification": "text-classification",
    "multiple_choice": "multiple-choice",
    "generation": "text-generation",
}
_HUB_METRICS = {"macro_f1": "f1", "accuracy_norm": "accuracy", "rougeL": "rouge"}


class BaseName(NamedTuple):
    """The base model as others may call it: never a path of the machine it was used on."""

    name: str
    revision: str | None


def model_card(release: Release, task_name: str, project: Project) -> str:
    """Return the card of one task's released model.

    Args:
        release: the release.
        task_name: which of its models.
        project: for the prompts; a task that it no longer has is described without them.
    """
    task = project.tasks.get(task_name)
    body = (part for part in _body(release, task_name, task) if part)
    return f"---\n{_metadata(release, task_name, task)}\n---\n\n" + "\n\n".join(body) + "\n"


def _metadata(release: Release, task_name: str, task: Task | None) -> str:
    """Return the metadata block's YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    metric = None if task is None else task.primary_metric
    results = [
        EvalResult(
            task_type="text-generation" if task is None else _HUB_TASKS[task.type],
            dataset_type=task_name,
            dataset_name=f"{task_name} ({language}), the project's own rows",
            dataset_config=language,
            dataset_split="test",
            metric_type=_HUB_METRICS.get(metric or "", metric or "score"),
            metric_name=METRIC_NAMES.get(metric or "", metric or "primary metric"),
            metric_value=round(scores["test"], 2),
        )
        for language, scores in release.scores[task_name].items()
    ]
    data = ModelCardData(
        base_model=_base(release).name,
        language=[code for code in release.adapters[task_name] if _LANGUAGE.fullmatch(code)]
        or None,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["lora", "model-merging", "multilingual", "langmerge"],
        model_name=f"{task_name} {release.name}",
        eval_results=results,
    )
    return data.to_yaml().strip()


def _body(release: Release, task_name: str, task: Task | None) -> Iterator[str]:
    languages = list(release.adapters[task_name])
    method = _recipe_of(release, task_name)["method"]
    yield f"# {escape(task_name)}, release {release.name}"
    yield (
        f"A LoRA adapter for {code(_base(release).name)} that serves {_listed(languages)}: "
        f"{len(languages)} adapters, each trained on one language, merged by {code(method)}. "
        f"Made by langmerge {release.langmerge} on {release.created[:10]}."
    )
    if task_name in release.ancestors:
        yield (
            "All of them were trained on from one adapter, their ancestor; merged is what each "
            "has learned since, and the ancestor is part of this adapter."
        )
    if release.message:
        yield f"> {escape(release.message)}"
    yield "## Results"
    yield _scores(release, task_name, task)
    yield _gate(release)
    yield "## Use"
    yield code_block(loading_code(_base(release)), "python")
    yield from prompt_blocks(task, languages)
    yield "## Recipe"
    yield _recipe(release, task_name)
    yield "## Digests"
    yield "SHA-256 of what this model is made of; equal digests are equal bytes."
    yield _digests(release, task_name)


def _scores(release: Release, task_name: str, task: Task | None) -> str:
    metric = "the primary metric"
    if task is not None:
        metric = METRIC_NAMES.get(task.primary_metric, task.primary_metric)
    scores = release.scores[task_name]
    # Test, and what releases were compared on: gate or dev, which may differ between languages.
    splits = sorted({split for each in scores.values() for split in each}, reverse=True)
    rows = [_score_row(escape(language), [each], splits) for language, each in scores.items()]
    if len(rows) > 1:
        rows.append(_score_row("mean", list(scores.values()), splits))
    right: Alignment = "right"
    alignment = ("left", *(right for _ in splits))
    shown = table(("language", *splits), rows, alignment)
    intro = f"In points of {metric} (0 to 100), on the project's own rows, seed {release.seed}."
    return f"{intro}\n\n{shown}"


def _score_row(
    name: str, scores: Sequence[Mapping[str, float]], splits: Sequence[str]
) -> tuple[str, ...]:
    """Return the means over the languages, a dash where one has no such split."""
    found = ([by_split.get(split) for by_split in scores] for split in splits)
    known = ([score for score in of_split if score is not None] for of_split in found)
    return name, *(f"{fmean(s):.1f}" if len(s) == len(scores) else "-" for s in known)


def _gate(release: Release) -> str:
    """Return how the release compared with the one before it."""
    gate = release.gate
    if gate.against is None:
        return "The first release: there was none to compare it with."
    worse = [
        f"{found.task} {found.language}" for found in gate.compared if found.outcome == "worse"
    ]
    splits = " and ".join(sorted({found.split for found in gate.compared}))
    verdict = f"worse on {_listed(worse)}" if worse else "no language significantly worse"
    overruled = " It was released although the gate refused it." if release.forced else ""
    return (
        f"Compared with release {gate.against} on the same {splits} rows: {escape(verdict)} "
        f"(paired tests at {100 * gate.confidence:g}%, Holm-adjusted).{overruled}"
    )


def loading_code(base: BaseName) -> str:
    """Return the Python that loads an adapter on its base."""
    revision = f', revision="{base.revision}"' if base.revision else ""
    return f"""\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = "{base.name}"  # or the folder it is in
tokenizer = AutoTokenizer.from_pretrained(base{revision})
model = AutoModelForCausalLM.from_pretrained(base{revision})
model = PeftModel.from_pretrained(model, "THIS FOLDER")"""


def prompt_blocks(task: Task | None, languages: list[str]) -> Iterator[str]:
    """Yield the prompts that are set; where the data's shape decides, there is none to tell."""
    if task is None:
        return
    templates = {language: task.template(language) for language in languages}
    if len(set(templates.values())) == 1:
        templates = {"": next(iter(templates.values()))}
    for language, template in templates.items():
        title = f"Prompt for {escape(language)}" if language else "Prompt"
        yield f"{title}; fields in braces are filled from a row:"
        yield code_block(template if template is not None else task.default_prompt)
    if labels := task.declared_labels():
        yield f"Answers: {', '.join(map(code, labels))}."


def _recipe_of(release: Release, task_name: str) -> dict[str, Any]:
    """Return the recipe of a task's model; where dev decided a part of it, with what it decided."""
    recipe = dict(release.recipe)
    chosen = recipe.pop("chosen", {}).get(task_name)
    if chosen is None:
        return recipe
    by = recipe["method"] if recipe["method"] == AUTO else f"weights: {recipe['weights']}"
    return {**recipe, **chosen, "chosen by": by}


def _recipe(release: Release, task_name: str) -> str:
    recipe = _recipe_of(release, task_name)
    settings = {name: value for name, value in recipe.items() if value is not None}
    rows = [(escape(name), code(_plain(value))) for name, value in settings.items()]
    rows.append(("training seed", code(str(release.seed))))
    return table(("parameter", "value"), rows, ("left", "left"))


def _digests(release: Release, task_name: str) -> str:
    of: dict[str, Any] = {
        **{f"base: {name}": value for name, value in release.base.items() if name != "name"},
        "merged adapter": release.models[task_name],
        **{f"adapter: {code}": each for code, each in release.adapters[task_name].items()},
        "ancestor": release.ancestors.get(task_name),
    }
    rows = [(escape(name), code(str(value))) for name, value in of.items() if value]
    return table(("of", "digest"), rows, ("left", "left"))


def _base(release: Release) -> BaseName:
    return public_name(str(release.base["name"]))


def public_name(name: str) -> BaseName:
    """Return a base as others may call it, from the name that messages use."""
    if (found := _HUB_NAME.fullmatch(name)) is not None:
        return BaseName(found["model"], found["revision"])
    return BaseName(Path(name).name, None)


def _listed(names: list[str]) -> str:
    """Return names as `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {inner}" for key, inner in value.items())
    return str(value)
