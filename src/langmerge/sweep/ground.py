"""What a sweep stands on: trained adapters, rows to choose by, and the key of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.canonical import digest_of
from langmerge.choose.candidates import Candidate
from langmerge.choose.objective import UnitName
from langmerge.choose.racing import Racing
from langmerge.data import read_rows
from langmerge.data.config import SplitName
from langmerge.errors import ProjectError, did_you_mean
from langmerge.merging.auto import AUTO
from langmerge.merging.installed import method_packages
from langmerge.plan import plan
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    adapter_of,
    data_id,
    evaluate_id,
    train_id,
)
from langmerge.plan.keys import STEP_VERSIONS, Facts
from langmerge.plan.weighting import complete
from langmerge.workspace import Workspace

if TYPE_CHECKING:
    from langmerge.choose.bench import Bench, Unit

_VERSION = 1
"""Raised when what a journal's answers depend on is written in another way."""


@dataclass(frozen=True)
class Ground:
    """A project whose adapters are trained.

    Attributes:
        workspace: the project, opened.
        tasks: the tasks that are swept.
        seed: of the adapters, the one that is released.
        facts: of all jobs that are done.
    """

    workspace: Workspace
    tasks: tuple[str, ...]
    seed: int
    facts: Mapping[str, Facts]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages, in the order in which weights are given."""
        return tuple(self.workspace.project.languages)

    @property
    def current(self) -> Candidate:
        """The project's released recipe."""
        return self.recipes()[0]

    def recipes(self) -> list[Candidate]:
        """Return the project's own recipes, the released one first."""
        project = self.workspace.project
        names = sorted(project.merge, key=lambda name: name != project.released_recipe)
        return [Candidate(self._settings(name), name) for name in names]

    def _settings(self, recipe: str) -> Mapping[str, Any]:
        """Return a recipe's settings; what it leaves to a rule is as for the first task."""
        project, store = self.workspace.project, self.workspace.store
        settings = project.merge[recipe]
        found = complete(project, self.tasks[0], recipe, self.seed, facts=self.facts, store=store)
        if settings.method == AUTO:
            return {key: value for key, value in found.as_dict().items() if value is not None}
        own = settings.model_dump(
            exclude={"calibration_rows", "calibration_bands"}, exclude_none=True
        )
        if isinstance(settings.weights, str):
            own["weights"] = dict(zip(self.languages, found.weights or (), strict=True))
        if settings.is_calibrated and found.layer_scales:
            own["layer_scales"] = list(found.layer_scales)
        return own

    def adapters(self) -> dict[str, dict[str, str]]:
        """Return the adapters' digests, by task and language."""
        return {
            task: {
                language: self.facts[train_id(task, language, self.seed)]["output"]
                for language in self.languages
            }
            for task in self.tasks
        }

    def ancestors(self) -> dict[str, str]:
        """Return the digests of what the adapters started from, by task; empty without."""
        if not self.workspace.project.has_ancestor:
            return {}
        return {
            task: self.facts[train_id(task, ANCESTOR, self.seed)]["output"] for task in self.tasks
        }

    def data(self, split: SplitName) -> dict[str, dict[str, str]]:
        """Return the digests of a split's rows, by task and language."""
        return {
            task: {
                language: self.facts[data_id(task, language)]["splits"][split]["digest"]
                for language in self.languages
            }
            for task in self.tasks
        }

    def journal(self, split: SplitName, racing: Racing) -> Path:
        """Return the file of the answers to a split: its name is the key of all they depend on."""
        project, base = self.workspace.project, self.workspace.base
        document: dict[str, Any] = {
            "sweep": _VERSION,
            "steps": {kind: STEP_VERSIONS[kind] for kind in ("merge", "evaluate")},
            "base": base.identity(),
            "dtype": project.train.dtype,
            "adapters": self.adapters(),
            "rows": self.data(split),
            "order": racing.seed,
            "tasks": {
                task: {
                    language: project.tasks[task].evaluation_identity(language)
                    for language in self.languages
                }
                for task in self.tasks
            },
            "max_length": {
                language: project.train_for(language).max_length for language in self.languages
            },
        }
        if ancestors := self.ancestors():
            document[ANCESTOR] = ancestors
        if packages := method_packages():  # whose code no step's version speaks of
            document["methods"] = packages
        return self.workspace.store.root / "sweeps" / f"{digest_of(document)}.jsonl"

    def units(self, split: SplitName, racing: Racing) -> list[Unit]:
        """Return the rows of a split, by task and language."""
        from langmerge.choose.bench import Unit

        return [
            Unit.of(
                UnitName(task, language),
                self.workspace.project.tasks[task],
                read_rows(self._object(data_id(task, language)) / f"{split}.jsonl"),
                racing,
            )
            for task in self.tasks
            for language in self.languages
        ]

    def bench(self) -> Bench:
        """Load the base and the adapters."""
        from langmerge.adapter import Adapter
        from langmerge.choose.bench import Bench, resident
        from langmerge.model import load_base

        project, store = self.workspace.project, self.workspace.store
        return Bench(
            load_base(self.workspace.base, dtype=project.train.dtype),
            {
                task: {
                    language: resident(Adapter.load(store.object(digest)))
                    for language, digest in of_task.items()
                }
                for task, of_task in self.adapters().items()
            },
            {language: project.train_for(language).max_length for language in self.languages},
            project.evaluate.batch_tokens,
            {
                task: resident(Adapter.load(store.object(digest)))
                for task, digest in self.ancestors().items()
            },
        )

    def _object(self, job: str) -> Path:
        return self.workspace.store.object(self.facts[job]["output"])


def open_ground(workspace: Workspace, tasks: Iterable[str] = ()) -> Ground:
    """Check that a project has trained adapters, and dev rows to choose by.

    Args:
        workspace: the project, opened.
        tasks: the tasks to sweep; none means all.

    Raises:
        ProjectError: for an unknown task, a language without dev rows, what is not trained yet, or
            weights by gains that are not measured yet.
    """
    project = workspace.project
    chosen = _with_dev(workspace, tasks)
    seed = project.seeds[0]
    facts = _facts(
        workspace,
        [
            make(task, language)
            for task in chosen
            for language in project.languages
            for make in (data_id, lambda t, code: train_id(t, code, seed))
        ],
        "`langmerge run --only train` makes the adapters that a sweep merges",
    )
    _refuse_unmeasured_gains(workspace, chosen[0], seed, facts)
    return Ground(workspace, chosen, seed, facts)


def _refuse_unmeasured_gains(
    workspace: Workspace, task: str, seed: int, facts: Mapping[str, Facts]
) -> None:
    """Refuse a recipe weighted by gains on dev that no run has measured yet."""
    project = workspace.project
    for name, settings in project.merge.items():
        if settings.weights == "gain":
            for language in project.languages:
                for model, of in ((BASE, None), (adapter_of(language), seed)):
                    if "output" not in facts.get(evaluate_id(task, model, language, of, "dev"), {}):
                        raise ProjectError(
                            f"{project.path}: merge.{name}.weights: gain is not measured for "
                            f"{task}/{language} yet; `langmerge run` measures the gains first"
                        )


def open_data(
    workspace: Workspace, tasks: Iterable[str] = ()
) -> tuple[tuple[str, ...], Mapping[str, Facts]]:
    """Check that a project's rows were read, dev rows among them; return tasks and facts.

    Args:
        workspace: the project, opened.
        tasks: the tasks wanted; none means all.

    Raises:
        ProjectError: as `open_ground`.
    """
    chosen = _with_dev(workspace, tasks)
    wanted = [data_id(task, code) for task in chosen for code in workspace.project.languages]
    return chosen, _facts(workspace, wanted, "`langmerge run --only train` reads the rows")


def _with_dev(workspace: Workspace, tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks that are meant, all of which have dev rows in every language."""
    project = workspace.project
    chosen = tuple(tasks) or tuple(project.tasks)
    for task in chosen:
        if task not in project.tasks:
            raise ProjectError(
                f"--task {task}: the project has no such task{did_you_mean(task, project.tasks)} "
                f"(it has {', '.join(project.tasks)})"
            )
        for language in project.languages:
            if not project.has_dev(task, language):
                raise ProjectError(
                    f"tasks.{task}.data: '{language}' has no dev: split, and recipes are chosen on "
                    "dev; add dev:"
                )
    return chosen


def _facts(workspace: Workspace, wanted: Iterable[str], fix: str) -> Mapping[str, Facts]:
    """Return the facts of all jobs that are done, among which those wanted have to be."""
    planner = workspace.planner()
    plan(planner)
    for job in wanted:
        if "output" not in planner.facts.get(job, {}):
            raise ProjectError(f"{workspace.project.path}: {job} has no result yet; {fix}")
    return planner.facts
