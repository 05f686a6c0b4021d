"""The study file: what is varied, over one project file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from langmerge.choose.objective import ObjectiveName
from langmerge.errors import ProjectError
from langmerge.project import HubBase, Name
from langmerge.settings import Seeds, Settings, explain, load_yaml

STUDY_SUFFIX = "-study"
CROSS = "cross"
"""What the files of crossings begin with, where those of groups have a model."""


class SweepChoice(Settings):
    """A recipe that every cell's languages and task choose on dev, as `langmerge sweep` does."""

    methods: tuple[str, ...] = ()
    """All where none is given."""
    densities: tuple[float, ...] = ()
    """The grid's where none is given."""
    lambdas: tuple[float, ...] = ()
    """Each method's own, and others around the best, where none is given."""
    spaces: tuple[str, ...] = ()
    """Each method's own, and the others for the best, where none is given."""
    trials: int | None = Field(default=None, ge=1)
    """A search of so many trials in place of the grid."""
    objective: ObjectiveName = "mean"
    """What is to be largest."""

    @model_validator(mode="after")
    def _takes_what_it_is_given(self) -> SweepChoice:
        for name in ("densities", "lambdas", "spaces"):
            if self.trials is not None and getattr(self, name):
                raise ValueError(
                    f"{name} has no effect with trials (a search takes its values within bounds of "
                    "its own); leave one out"
                )
        return self


class Study(Settings):
    """A validated study file: every combination of models, variants, languages, tasks and seeds."""

    version: Literal[1] = 1
    """Of the form of this file."""
    project: str
    """The project file from which every cell is made."""
    out: str | None = None
    """The folder of store, cells and report; beside the study file, named after it."""
    models: Mapping[Name, str | HubBase] = {}
    """Base models by name; the project's own where none is given."""
    languages: Mapping[Name, tuple[Name, ...]] = {}
    """Sets of languages by name; all of the project's where none is given."""
    tasks: tuple[Name, ...] = ()
    """All of the project's where none is given."""
    seeds: Seeds | None = None
    """The project's where none is given."""
    variants: Mapping[Name, Mapping[str, Any]] = {}
    """Sections put over the project's, by name: other settings of training, other adapters."""
    sweep: SweepChoice | None = None
    """A recipe chosen on dev with the first seed, beside those of the project."""
    cross: Mapping[str, Any] | None = None
    """A recipe by which adapters are also merged over tasks, and over both."""

    @field_validator("models", "languages", "variants")
    @classmethod
    def _makes_one_name_of_each_cell(cls, named: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse names that, joined by `--`, could be those of another cell."""
        for name in named:
            if "--" in name or name.startswith("-") or name.endswith("-"):
                raise ValueError(
                    f"'{name}': cells are named by these joined by --; leave out -- and a - at "
                    "either end"
                )
        return named

    @field_validator("models")
    @classmethod
    def _leaves_crossings_their_name(cls, models: Mapping[str, Any]) -> Mapping[str, Any]:
        if CROSS in models:
            raise ValueError(f"'{CROSS}' names what is merged over tasks; take another name")
        return models

    _path: Path = PrivateAttr(default=Path("study.yaml"))

    @property
    def path(self) -> Path:
        """The study file."""
        return self._path

    @property
    def folder(self) -> Path:
        """Where everything the study makes is kept."""
        name = self.out or f"{self._path.stem}{STUDY_SUFFIX}"
        return self._path.parent / name

    @property
    def project_path(self) -> Path:
        """The project file from which every cell is made."""
        return (self._path.parent / self.project).resolve()


def load_study(path: Path) -> Study:
    """Read and validate a study file.

    Raises:
        ProjectError: one line per problem, with file, line, key and the nearest right key.
    """
    content, lines = load_yaml(path)
    if not isinstance(content, dict):
        raise ProjectError(f"{path}: expected keys such as project:, seeds: and variants:")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ProjectError(explain(error, path, lines)) from None
    study._path = path.resolve()
    return study
