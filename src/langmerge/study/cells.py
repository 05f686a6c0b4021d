"""A study's cells as projects: one folder each, one store for all.

`OUT/GROUP/langmerge.yaml` is a project like any other (`langmerge report --project` works on it),
with the seeds done so far; its `.langmerge` is a link to `OUT/store`. A group is a model, a
variant, a set of languages and a task.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from langmerge.errors import ProjectError, did_you_mean
from langmerge.files import write_atomically
from langmerge.project import PROJECT_FILE, Project, load_project
from langmerge.settings import load_yaml
from langmerge.sharing import link_store
from langmerge.study.config import Study
from langmerge.sweep.project_file import recipes_of
from langmerge.tasks.base import DEFAULT

_OWN = "own"
_DEFAULT_MERGE = "ties"
"""The name of what a study does not vary."""


@dataclass(frozen=True)
class Group:
    """A model, a variant, a set of languages and a task; a cell is a group with a seed.

    Attributes:
        model: the base model's name in the study.
        variant: the variant's name.
        languages: the name of the set of languages.
        codes: its languages.
        task: the task.
    """

    model: str
    variant: str
    languages: str
    codes: tuple[str, ...]
    task: str

    @property
    def name(self) -> str:
        """Its folder's name."""
        return "--".join((self.model, self.variant, self.languages, self.task))


@dataclass(frozen=True)
class Plan:
    """What a study goes through.

    Attributes:
        study: the study.
        source: the project it starts from.
        content: the source's project file, as plain data.
        groups: all groups, in order.
        seeds: of every group.
    """

    study: Study
    source: Project
    content: Mapping[str, Any]
    groups: tuple[Group, ...]
    seeds: tuple[int, ...]

    def cells(self) -> list[tuple[Group, int]]:
        """Return groups with seeds: the first seed of all groups before the second of any."""
        return [(group, seed) for seed in self.seeds for group in self.groups]

    def folder(self, group: Group) -> Path:
        """Return the folder of a group's project."""
        return self.study.folder / group.name

    def write(
        self, group: Group, seeds: tuple[int, ...], recipes: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a group's project file for some seeds, with recipes beside its own.

        Returns:
            The file.
        """
        folder = self.folder(group)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / PROJECT_FILE
        text = yaml.safe_dump(
            self.project(group, seeds, recipes), sort_keys=False, allow_unicode=True
        )
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)
        link_store(self.study.folder / "store", path)
        return path

    def project(
        self, group: Group, seeds: tuple[int, ...], recipes: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a group's project file as plain data."""
        content: dict[str, Any] = copy.deepcopy(dict(self.content))
        _merge_into(content, self.study.variants.get(group.variant, {}))
        if group.model in self.study.models:
            base = self.study.models[group.model]
            content["base"] = base if isinstance(base, str) else base.model_dump()
            content["base"] = _anchored_base(content["base"], self.study.path.parent)
        else:
            content["base"] = _anchored_base(content["base"], self.source.folder)
        content["seeds"] = list(seeds)
        task = content["tasks"][group.task]
        task.pop("seeds", None)
        task["data"] = _anchored(task["data"], self.source.folder)
        for key in ("prompt", "shots"):
            if isinstance(task.get(key), Mapping):
                known = (*group.codes, DEFAULT)
                task[key] = {code: value for code, value in task[key].items() if code in known}
        content["tasks"] = {group.task: task}
        content["languages"] = self._languages(content["languages"], group)
        merge = recipes_of(content.get("merge", _DEFAULT_MERGE))
        for settings in merge.values():
            for key in ("weights", "protect"):
                if isinstance(settings.get(key), Mapping):
                    settings[key] = {c: v for c, v in settings[key].items() if c in group.codes}
        content["merge"] = {**merge, **(recipes or {})}
        return content

    def _languages(self, given: Any, group: Group) -> dict[str, Any]:
        settings = given if isinstance(given, Mapping) else {}
        found: dict[str, Any] = {}
        for code in group.codes:
            own = dict(settings.get(code) or {})
            data = {
                task: _anchored(where, self.source.folder)
                for task, where in (own.get("data") or {}).items()
                if task == group.task
            }
            found[code] = {**own, "data": data} if data or "data" in own else own
        return found


def plan_study(study: Study) -> Plan:
    """Return what a study goes through, every cell's project checked.

    Raises:
        ProjectError: for a task or language the project has not, or a cell that is no project.
    """
    source = load_project(study.project_path)
    content, _ = load_yaml(study.project_path)
    sets = dict(study.languages) or {_OWN: tuple(source.languages)}
    tasks = study.tasks or tuple(source.tasks)
    for name, codes in sets.items():
        for code in codes:
            _refuse_unknown(code, source.languages, f"{study.path}: languages.{name}", "language")
    for task in tasks:
        _refuse_unknown(task, source.tasks, f"{study.path}: tasks", "task")
    groups = tuple(
        Group(model, variant, languages, sets[languages], task)
        for model, variant, languages, task in product(
            study.models or (_OWN,), study.variants or (_OWN,), sets, tasks
        )
    )
    seeds = study.seeds or source.seeds
    plan = Plan(study, source, content, groups, seeds)
    for group in groups:
        try:
            Project.model_validate(plan.project(group, seeds))
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ProjectError(f"{study.path}: cell {group.name} is no project: {reason}") from None
    return plan


def _refuse_unknown(name: str, known: Any, where: str, what: str) -> None:
    if name not in known:
        raise ProjectError(
            f"{where}: the project has no {what} '{name}'{did_you_mean(name, known)} "
            f"(it has {', '.join(known)})"
        )


def _merge_into(content: dict[str, Any], sections: Mapping[str, Any]) -> None:
    """Put sections over others: mappings key by key, anything else whole."""
    for key, value in sections.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            _merge_into(content[key], value)
        else:
            content[key] = copy.deepcopy(value)


def _anchored(data: Any, folder: Path) -> Any:
    """Return where data is with its relative paths made absolute."""
    if isinstance(data, str):
        return str(folder / data)
    found = dict(data)
    for split in ("train", "dev", "gate", "test"):
        if isinstance(found.get(split), str):
            found[split] = str(folder / found[split])
    if isinstance(found.get("hub"), Mapping) and found["hub"].get("revision") is None:
        found["hub"] = {**found["hub"], "path": str(folder / found["hub"]["path"])}
    return found


def _anchored_base(base: Any, folder: Path) -> Any:
    return str(folder / Path(base).expanduser()) if isinstance(base, str) else base
