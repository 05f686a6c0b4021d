"""Answers to new texts by a model the project has made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langmerge.data import Row
from langmerge.errors import ProjectError, did_you_mean
from langmerge.plan import plan
from langmerge.plan.graph import BASE, COMBINED, INDIVIDUAL, merge_id, merged, train_id
from langmerge.plan.keys import Facts
from langmerge.project import Project
from langmerge.tasks import Prediction, Task
from langmerge.tasks.templates import template_fields
from langmerge.workspace import open_workspace


@dataclass(frozen=True)
class Answer:
    """What a model says to a text.

    Attributes:
        text: the input.
        answer: the generated text, or the candidate of highest log-likelihood.
        probabilities: of each candidate, normalized over the candidates; empty for generated text.
    """

    text: str
    answer: str
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return asdict(self)

    def line(self) -> str:
        """Return the answer as a line for people."""
        if not self.probabilities:
            return self.answer
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self.probabilities.items())
        return f"{self.answer}  ({shares})"


def answer(
    project_file: Path,
    texts: Sequence[str],
    *,
    language: str | None = None,
    task_name: str | None = None,
    model: str | None = None,
    choices: tuple[str, ...] = (),
) -> list[Answer]:
    """Return a project's model's answers to texts.

    Args:
        project_file: the project.
        texts: the inputs; each fills the prompt template's one field.
        language: the texts' language; may be left out where the project has one only.
        task_name: the task; may be left out where the project has one only.
        model: `base`, `individual`, `combined` or `merged:RECIPE`; the first recipe by default.
        choices: the candidate answers, for multiple choice.

    Raises:
        ProjectError: for an unknown name, or a model that was not made yet.
    """
    workspace = open_workspace(project_file)
    project = workspace.project
    task_name = _one_of(task_name, project.tasks, "task")
    language = _one_of(language, project.languages, "language")
    model = _known_model(model, project)
    task = project.tasks[task_name]
    rows = [_row(task, language, text, choices) for text in texts]
    planner = workspace.planner()
    plan(planner)
    digest = _adapter_digest(planner.facts, project, task_name, language, model)

    from langmerge.adapter import Adapter
    from langmerge.encoding import Encoder
    from langmerge.evaluate.predict import predict_rows
    from langmerge.examples import Presenter
    from langmerge.model import folded, load_base

    base = load_base(workspace.base, dtype=project.train.dtype)
    adapter = None if digest is None else Adapter.load(workspace.store.object(digest))
    encoder = Encoder(base.tokenizer, project.train_for(language).max_length)
    with folded(base, adapter):
        predictions, _ = predict_rows(
            base, Presenter(task, language, encoder), rows, project.evaluate.batch_tokens
        )
    return [_answer(text, found) for text, found in zip(texts, predictions, strict=True)]


def _one_of(name: str | None, known: Iterable[str], what: str) -> str:
    names = list(known)
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ProjectError(f"--{what} is missing: the project has {', '.join(names)}")
    if name not in names:
        raise ProjectError(
            f"--{what} {name}: the project has no such {what}{did_you_mean(name, names)}"
            f" (it has {', '.join(names)})"
        )
    return name


def _known_model(model: str | None, project: Project) -> str:
    recipes = [merged(recipe) for recipe in project.merge]
    return _one_of(model or recipes[0], [*recipes, BASE, INDIVIDUAL, COMBINED], "model")


def _row(task: Task, language: str, text: str, choices: tuple[str, ...]) -> Row:
    if task.type == "multiple_choice" and len(choices) < 2:
        raise ProjectError("--choice: give it at least twice, once for each candidate answer")
    names = template_fields(task.template(language))
    if len(names) != 1:
        raise ProjectError(
            f"the prompt of '{language}' has the fields {', '.join(names) or '(none)'}; "
            "predict takes one text, so it needs a prompt with one field"
        )
    target = (choices or task.declared_labels() or ("",))[0]
    return Row("text", "text", {names[0]: text}, target, choices)


def _adapter_digest(
    facts: dict[str, Facts], project: Project, task: str, language: str, model: str
) -> str | None:
    seed = project.seeds[0]
    source = {
        BASE: None,
        INDIVIDUAL: train_id(task, language, seed),
        COMBINED: train_id(task, None, seed),
    }.get(model, merge_id(task, model.partition(":")[2], seed))
    if source is None:
        return None
    if source not in facts or "output" not in facts[source]:
        raise ProjectError(f"{model} is not up to date; `langmerge run` makes it")
    digest: str = facts[source]["output"]
    return digest


def _answer(text: str, found: Prediction) -> Answer:
    if not found.candidates:
        return Answer(text, (found.text or "").strip(), {})
    highest = max(found.scores)
    weights = [math.exp(score - highest) for score in found.scores]
    shares = {
        name: weight / sum(weights) for name, weight in zip(found.candidates, weights, strict=True)
    }
    return Answer(text, max(shares, key=shares.__getitem__), shares)
