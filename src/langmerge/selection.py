"""Which of a project's models is meant: by task, language and name, checked against the project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from langmerge.data import Row, read_rows
from langmerge.errors import ProjectError, did_you_mean
from langmerge.merging.schema import Recipe
from langmerge.plan import plan
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    BASELINES,
    INDIVIDUAL,
    JOINT,
    data_id,
    merge_id,
    merged,
    train_id,
)
from langmerge.plan.weighting import complete
from langmerge.project import Project
from langmerge.tasks import Task
from langmerge.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Selection:
    """A model the project has made, for a task and a language.

    Attributes:
        workspace: the project, opened.
        task_name: the task's name.
        language: the language it is asked in.
        adapter: the folder of the adapter on the base; None for the base alone.
        example: a training row of the language, which shows the form of the data.
        rows_folder: the folder of the language's rows, a file for each split.
        stale: the model was trained on older data than the project has.
    """

    workspace: Workspace
    task_name: str
    language: str
    adapter: Path | None
    example: Row
    rows_folder: Path
    stale: bool = False

    @property
    def task(self) -> Task:
        """The task."""
        return self.workspace.project.tasks[self.task_name]


class Models:
    """The models that a project has made, planned once.

    Args:
        workspace: the project, opened.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        planner = workspace.planner()
        self._actions = {decision.job.id: decision.action for decision in plan(planner)}
        self._facts = planner.facts

    def select(self, task: str, language: str, model: str) -> Selection:
        """Return a model by names that are known to be right.

        Raises:
            ProjectError: if it was not made yet.
        """
        made_by = _made_by(self._workspace.project, task, language, model)
        adapter = None if made_by is None else self._output(made_by, model)
        rows = self._output(data_id(task, language), model)
        stale = made_by is not None and self._actions[made_by] == "stale"
        example = read_rows(rows / "train.jsonl")[0]
        return Selection(self._workspace, task, language, adapter, example, rows, stale)

    def recipe(self, task: str, name: str) -> Recipe:
        """Return the recipe by which a task's adapters are merged, nothing left to a rule.

        Raises:
            ProjectError: if a rule needs a result that is not there yet.
        """
        project, store = self._workspace.project, self._workspace.store
        seed = project.seeds_for(task)[0]
        return complete(project, task, name, seed, facts=self._facts, store=store)

    def _output(self, job_id: str, model: str) -> Path:
        if "output" not in self._facts.get(job_id, {}):
            raise ProjectError(
                f"{model} is not up to date: {job_id} has no result; `langmerge run`"
            )
        return self._workspace.store.object(self._facts[job_id]["output"])


def select(
    project_file: Path,
    *,
    task: str | None = None,
    language: str | None = None,
    model: str | None = None,
    any_language: bool = False,
) -> Selection:
    """Find a model that is up to date.

    Args:
        project_file: the project.
        task: may be left out where the project has one only.
        language: may be left out where the project has one only.
        model: `base`, `individual`, `combined`, `merged:RECIPE`, or `ancestor` where languages
            start from one; the first recipe by default.
        any_language: take the first language where none is given and the model serves them all.

    Raises:
        ProjectError: for an unknown name, or a model that was not made yet.
    """
    workspace = open_workspace(project_file)
    project = workspace.project
    task = one_of(task, project.tasks, "task")
    if language is None and any_language and model != INDIVIDUAL:
        language = next(iter(project.languages))
    language = one_of(language, project.languages, "language")
    recipes = [merged(recipe) for recipe in project.merge]
    ancestor = (ANCESTOR,) if project.has_ancestor else ()
    model = one_of(
        model or recipes[0], [*recipes, BASE, INDIVIDUAL, *BASELINES, *ancestor], "model"
    )
    return Models(workspace).select(task, language, model)


def _made_by(project: Project, task: str, language: str, model: str) -> str | None:
    """Return the id of the job that makes a model's adapter; None for the base."""
    seed = project.seeds_for(task)[0]
    if model == BASE:
        return None
    if model == INDIVIDUAL:
        return train_id(task, language, seed)
    if model in JOINT:
        return train_id(task, model, seed)
    return merge_id(task, model.partition(":")[2], seed)


def one_of(name: str | None, known: Iterable[str], what: str) -> str:
    """Return a name given by an option, or the only one there is.

    Raises:
        ProjectError: if it is not known, or left out where there are several.
    """
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
