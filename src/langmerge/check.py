"""Everything that can be wrong with a project, found before anything expensive starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langmerge.data import Finding, Split, check_language_splits, compare_labels
from langmerge.encoding import CutCounts, Encoder, Example
from langmerge.errors import DataError
from langmerge.examples import Presenter
from langmerge.plan import Decision, Planner, plan
from langmerge.plan.data import read_splits
from langmerge.plan.graph import job_graph
from langmerge.project import Project
from langmerge.workspace import Workspace

if TYPE_CHECKING:
    from langmerge.model import BaseModel

MAX_SHARE_CUT_AWAY = 0.05
"""Training is refused if more of a language's examples than this have nothing to learn from."""


@dataclass(frozen=True)
class TrainingSet:
    """A language's training examples as the model sees them."""

    task: str
    language: str
    examples: tuple[Example, ...]

    @property
    def cut(self) -> CutCounts:
        """How many examples are cut, or have nothing left to learn from."""
        return CutCounts.of(self.examples)

    @property
    def tokens(self) -> int:
        """Tokens of one epoch."""
        return sum(e.length for e in self.examples)


@dataclass
class DataReport:
    """What reading a project's data showed."""

    splits: dict[tuple[str, str], dict[str, Split]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def without_errors(self) -> DataReport:
        """Return the report itself.

        Raises:
            DataError: if it has errors, one line each.
        """
        if self.errors:
            raise DataError("\n".join(self.errors))
        return self


def checked_plan(workspace: Workspace, planner: Planner) -> list[Decision]:
    """Return the plan of a project, made by a fresh planner of its workspace.

    Raises:
        DataError: naming everything wrong with the data, where that keeps it from being planned.
    """
    try:
        return plan(planner)
    except DataError:
        check_data(workspace.project).without_errors()
        raise


def check_data(project: Project) -> DataReport:
    """Read all data of a project and report everything wrong with it, not only the first."""
    report = DataReport()
    for job in job_graph(project):
        if job.kind != "data" or job.language is None:
            continue
        try:
            report.splits[job.task, job.language] = read_splits(project, job)
        except DataError as error:
            report.errors.append(str(error))
    for place, finding in _findings(project, report):
        kind = report.errors if finding.severity == "error" else report.warnings
        kind.append(f"{place}: {finding.message}")
    return report


def check_before_training(workspace: Workspace, report: DataReport) -> list[str]:
    """Check target modules, and what `train.max_length` cuts; return what to warn of.

    Raises:
        AdapterError: if a target matches no module of the base.
        DataError: if too many examples of a language lose their whole completion.
    """
    from langmerge.model import load_skeleton

    project, skeleton = workspace.project, load_skeleton(workspace.base)
    return [
        *check_modules(project, skeleton),
        *check_lengths(project, report.splits, skeleton.tokenizer),
    ]


def check_modules(project: Project, skeleton: BaseModel) -> list[str]:
    """Check that a base has the modules that every language's adapter is for; return warnings.

    Raises:
        AdapterError: if a target matches no module of the base.
    """
    from langmerge.train.lora import target_modules

    for language in (None, *project.languages):
        target_modules(skeleton, project.adapter_for(language).target_modules)
    return list(_unreached(skeleton))


def _unreached(skeleton: BaseModel) -> Iterator[str]:
    """Yield a warning if much of a base cannot carry an adapter."""
    from langmerge.model import held_together

    held = held_together(skeleton)
    if held:
        share = sum(held.values()) / sum(p.numel() for p in skeleton.model.parameters())
        yield (
            f"base {skeleton.resolved.name}: {share:.0%} of its weights are experts, held in one "
            f"block a layer ({next(iter(held))}); adapters leave them as they are and change the "
            "rest"
        )


def training_set(
    project: Project, task: str, language: str, split: Split, encoder: Encoder
) -> TrainingSet:
    """Return a language's training examples.

    Raises:
        DataError: if too many of them lose their whole completion to `train.max_length`.
    """
    presenter = Presenter(project.tasks[task], language, encoder)
    examples = TrainingSet(
        task, language, tuple(presenter.training_example(row) for row in split.rows)
    )
    wholly = examples.cut.cut_wholly
    if wholly > MAX_SHARE_CUT_AWAY * len(split):
        raise DataError(
            f"{task}/{language}: {wholly} of {len(split)} training examples lose their whole "
            f"completion to train.max_length: {encoder.max_length}; raise it, or shorten the texts"
        )
    return examples


def check_lengths(
    project: Project, splits: Mapping[tuple[str, str], Mapping[str, Split]], tokenizer: Any
) -> list[str]:
    """Return a warning for every language with examples that `train.max_length` cuts.

    Raises:
        DataError: if too many examples of a language lose their whole completion.
    """
    warnings = []
    for (task, language), of_language in splits.items():
        encoder = Encoder(tokenizer, project.train_for(language).max_length)
        cut = training_set(project, task, language, of_language["train"], encoder).cut
        if cut.cut:
            warnings.append(
                f"{task}/{language}: {cut.cut} of {cut.examples} training examples are cut to "
                f"train.max_length: {encoder.max_length}, {cut.cut_wholly} of them lose their "
                "whole completion and are left out"
            )
    return warnings


def _findings(project: Project, report: DataReport) -> Iterator[tuple[str, Finding]]:
    for (task, language), splits in report.splits.items():
        for finding in check_language_splits(splits):
            yield f"{task}/{language}", finding
    for task, options in project.tasks.items():
        if labels := options.declared_labels():
            train = {
                language: splits["train"]
                for (of_task, language), splits in report.splits.items()
                if of_task == task
            }
            for finding in compare_labels(train, labels):
                yield task, finding
