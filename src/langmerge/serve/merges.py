"""Merges on demand over a project's adapters: the stored one where there is one, else made now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.canonical import digest_of
from langmerge.errors import ProjectError, did_you_mean
from langmerge.merging import Recipe, check_recipe, merge
from langmerge.merging.schema import method_info
from langmerge.plan.graph import ANCESTOR, INDIVIDUAL, merged
from langmerge.project import Project
from langmerge.selection import Models

Progress = Callable[[int, int], None]

_IN_MEMORY = 4
"""Merges kept: enough to go back and forth between a few, of some hundred megabytes each."""


@dataclass(frozen=True)
class Choice:
    """A recipe as the page chooses it.

    Attributes:
        recipe: one of the project's recipes.
        method: another method than the recipe's; None for its own.
        density: in place of the recipe's; of no effect where the method has none.
        scale: the factor on the merge, in place of the recipe's `lambda`.
    """

    recipe: str
    method: str | None = None
    density: float | None = None
    scale: float | None = None


class Merges:
    """The merges of one project, by recipe.

    Args:
        project: the project.
        models: its models.
    """

    def __init__(self, project: Project, models: Models) -> None:
        self._project = project
        self._models = models
        self._kept: OrderedDict[str, Adapter] = OrderedDict()

    def recipe(self, choice: Choice, task: str) -> Recipe:
        """Return the complete recipe that is chosen for a task.

        Raises:
            ProjectError: if the project has no such recipe, or its rule has nothing to go by yet.
            MergeError: if the method or a parameter is wrong.
        """
        recipes = self._project.merge
        if choice.recipe not in recipes:
            raise ProjectError(
                f"recipe '{choice.recipe}': the project has none of that name"
                f"{did_you_mean(choice.recipe, recipes)}"
            )
        own = self._models.recipe(task, choice.recipe)
        given: dict[str, Any] = own.as_dict()
        method = method_info(choice.method or own.method)
        if method.name != own.method:  # Its parameters have other meanings, or none.
            given = {"weights": given["weights"], "seed": given["seed"]}
        known = {parameter.key for parameter in method.parameters}
        for key, value in (("density", choice.density), ("lambda", choice.scale)):
            if value is not None and key in known:
                given[key] = value
        given.pop("method", None)
        return check_recipe(method.name, given, len(self._project.languages))

    def adapter(self, recipe: Recipe, task: str, on_progress: Progress) -> Adapter:
        """Return a task's adapters merged by a recipe.

        Raises:
            ProjectError: if a language's adapter was not made yet.
            MergeError: if the adapters do not merge.
        """
        folders = [self._individual(task, language) for language in self._project.languages]
        # An object's folder is named by the digest of its content.
        ancestor = self._ancestor(task)
        parts: dict[str, Any] = {
            "adapters": [f.name for f in folders],
            "recipe": recipe.as_dict(),
            "ancestor": None if ancestor is None else ancestor.name,
        }
        key = digest_of(parts)
        if key not in self._kept:
            stored = self._stored(recipe, task)
            self._kept[key] = (
                Adapter.load(stored)
                if stored is not None
                else _merged(folders, recipe, ancestor, on_progress)
            )
        self._kept.move_to_end(key)
        while len(self._kept) > _IN_MEMORY:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _individual(self, task: str, language: str) -> Path:
        folder = self._models.select(task, language, INDIVIDUAL).adapter
        assert folder is not None
        return folder

    def _ancestor(self, task: str) -> Path | None:
        """Return the folder of what the task's adapters started from; None for no ancestor."""
        if not self._project.has_ancestor:
            return None
        return self._models.select(task, next(iter(self._project.languages)), ANCESTOR).adapter

    def _stored(self, recipe: Recipe, task: str) -> Path | None:
        """Return the folder of the same merge made by a run; None where there is none."""
        for name in self._project.merge:
            try:
                if self.recipe(Choice(name), task).as_dict() == recipe.as_dict():
                    return self._models.select(
                        task, next(iter(self._project.languages)), merged(name)
                    ).adapter
            except ProjectError:  # not made yet
                continue
        return None


def _merged(
    folders: Sequence[Path], recipe: Recipe, ancestor: Path | None, on_progress: Progress
) -> Adapter:
    return merge(
        folders,
        recipe.method,
        on_progress=on_progress,
        ancestor=ancestor,
        **recipe.as_options(),
    )
