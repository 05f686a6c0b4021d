"""Everything a report says, gathered from a project as one value; nothing is run.

Scores and tests are those of `results.json`. What else is there is used: predictions for examples,
adapters for language vectors, the ledger for the bill, releases. What is not there is left out, and
the report says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.errors import LangmergeError, StorageError
from langmerge.metrics import Metric
from langmerge.plan.graph import (
    ANCESTOR,
    BASELINES,
    COMBINED,
    INDIVIDUAL,
    evaluate_id,
    merge_id,
    merged,
    train_id,
)
from langmerge.plan.lock import Lock
from langmerge.project import Project, load_project
from langmerge.report.document import Estimate
from langmerge.results import Results, load_results
from langmerge.statistics import bootstrap_mean
from langmerge.store import Action, Store
from langmerge.sweep.evidence import last_sweep
from langmerge.sweep.record import Sweep
from langmerge.tasks import Prediction
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.train.record import TrainingRecord, read_record
from langmerge.upkeep.bill import Bill, make_bill, read_ledger
from langmerge.upkeep.releases import Release, Releases
from langmerge.workspace import open_store

if TYPE_CHECKING:
    from langmerge.analysis import Analysis

CellKey = tuple[str, str, str]
"""Task, model, language."""

Progress = Callable[[str], None]
"""Told what is being done, before it is done."""


@dataclass(frozen=True)
class Provenance:
    """What is needed to make the results again.

    Attributes:
        project_text: the project file as it is.
        base: the base model's digests, by part; empty if no action records them.
        outputs: the output digest of every data, train and merge job, by job id.
        versions: of the packages that made the stored results, every one that occurs, by package.
        devices: what they were made on.
    """

    project_text: str
    base: Mapping[str, str]
    outputs: Mapping[str, str]
    versions: Mapping[str, tuple[str, ...]]
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a report is made of.

    Attributes:
        project: the project.
        results: its last run's results.
        cells: primary metric on test by task, model and language, over all seeds.
        bill: what the runs cost.
        releases: all releases, oldest first.
        current: the release that is served.
        trainings: what is kept of trainings with the first seed, by task, then language or model.
        vectors: language vectors compared, by task; only of tasks whose adapters are there.
        predictions: on test, with the first seed, of the models shown in examples, by cell.
        provenance: what is needed to make it again.
        gaps: what is missing, by section, in words.
        made: when the report was made, UTC.
        sweep: the last sweep of the adapters that the project has.
    """

    project: Project
    results: Results
    cells: Mapping[CellKey, Estimate]
    bill: Bill
    releases: tuple[Release, ...]
    current: Release | None
    trainings: Mapping[str, Mapping[str, TrainingRecord]]
    vectors: Mapping[str, Analysis]
    predictions: Mapping[CellKey, tuple[Prediction, ...]]
    provenance: Provenance
    gaps: Mapping[str, tuple[str, ...]]
    made: datetime
    sweep: Sweep | None = None

    @property
    def subject(self) -> str:
        """The model that the report is about: the merge that is released."""
        return merged(self.project.released_recipe)

    def models(self, task: str) -> list[str]:
        """Return the models measured on a task's test rows: what is compared with, then merges."""
        measured = dict.fromkeys(model for of_task, model, _ in self.cells if of_task == task)
        merges = [model for model in measured if model.startswith(merged(""))]
        return [model for model in measured if model not in merges] + sorted(
            merges, key=lambda model: model != self.subject
        )


def gather(
    project_file: Path, on_progress: Progress = lambda _: None, *, texts: bool = True
) -> Report:
    """Return all that a report of a project's last run says.

    Args:
        project_file: the project.
        texts: whether it may hold texts of the data, as examples.
        on_progress: told what is being done.

    Raises:
        ProjectError: if the project file is wrong, or it has no results yet.
        StorageError: if a release's manifest is damaged.
    """
    results = load_results(project_file)
    project = load_project(project_file)
    store, lock = open_store(project), Lock.load(project.folder)
    stored = _Stored(project, store, lock)
    on_progress("reading predictions")
    cells = dict(_cells(results, project, stored))
    releases = Releases(store)
    vectors = _vectors(project, stored, on_progress)
    return Report(
        project=project,
        results=results,
        cells=cells,
        bill=make_bill(read_ledger(project.store_folder)),
        releases=tuple(releases.all()),
        current=releases.current(),
        trainings={task: _trainings(task, project, stored) for task in project.tasks},
        vectors=vectors,
        predictions={
            (task, model, language): tuple(found)
            for task, model, language in cells
            if texts
            and model in (INDIVIDUAL, COMBINED, merged(project.released_recipe))
            and (found := stored.predictions(task, model, language)) is not None
        },
        provenance=_provenance(project, store, lock),
        gaps=stored.gaps(),
        made=datetime.now(timezone.utc),
        sweep=last_sweep(store, lock),
    )


class _Stored:
    """The results of the project's jobs that the store still has, by the lock."""

    def __init__(self, project: Project, store: Store, lock: Lock) -> None:
        self._project = project
        self._store = store
        self._lock = lock
        self._missing: dict[str, list[str]] = {}

    def folder(self, job: str, section: str) -> Path | None:
        """Return the folder of what a job made; None, and a gap in a section, without one."""
        entry = self._lock.jobs.get(job)
        if entry is not None:
            try:
                return self._store.object(entry["output"])
            except StorageError:
                pass
        self._missing.setdefault(section, []).append(job)
        return None

    def predictions(
        self, task: str, model: str, language: str, seed: int | None = None
    ) -> list[Prediction] | None:
        """Return a model's answers to the test rows; with the first seed where none is given."""
        first = self._project.seeds_for(task)[0] if seed is None else seed
        for run in (first, None):  # the base has no seed
            job = evaluate_id(task, model, language, run, "test")
            if job in self._lock.jobs and (folder := self.folder(job, "examples")) is not None:
                return read_predictions(folder / PREDICTIONS_FILE)
        return None

    def note(self, section: str, text: str) -> None:
        """Take note of something else that is missing."""
        self._missing.setdefault(section, []).append(text)

    def gaps(self) -> dict[str, tuple[str, ...]]:
        """Return what was asked for and is not there, by section."""
        return {
            section: tuple(dict.fromkeys(missing)) for section, missing in self._missing.items()
        }


def _cells(results: Results, project: Project, stored: _Stored) -> list[tuple[CellKey, Estimate]]:
    """Return the primary metric of every model and language on test, over its seeds.

    One seed's interval is that of the results; several seeds are resampled jointly here, as the
    results do for averages, from the stored predictions.
    """
    runs: dict[CellKey, dict[int | None, Estimate]] = {}
    for score in results.scores:
        metric = results.primary_metrics.get(score.task)
        if score.split == "test" and metric in score.metrics and score.task in project.tasks:
            found = score.metrics[metric]
            key = (score.task, score.model, score.language)
            runs.setdefault(key, {})[score.seed] = Estimate(found.value, found.low, found.high)
    return [(key, _joined(key, by_seed, project, stored)) for key, by_seed in runs.items()]


def _joined(
    key: CellKey, by_seed: Mapping[int | None, Estimate], project: Project, stored: _Stored
) -> Estimate:
    if len(by_seed) == 1:
        return next(iter(by_seed.values()))
    values = [found.value for found in by_seed.values() if found.value is not None]
    mean = sum(values) / len(values)
    samples: dict[str, tuple[Metric, list[str]]] = {}
    for seed in by_seed:
        found = stored.predictions(*key, seed)
        if found is None:
            return Estimate(mean)
        metric = project.tasks[key[0]].measure(found, key[2])[0]
        samples[str(seed)] = metric, [prediction.group for prediction in found]
    settings = project.evaluate
    interval = bootstrap_mean(
        samples, seed=0, resamples=settings.resamples, confidence=settings.confidence
    )
    # A store that is newer than the results must not lend them its intervals.
    is_same = abs(interval.value - mean) < 1e-6
    return Estimate(mean, interval.low, interval.high) if is_same else Estimate(mean)


def _trainings(task: str, project: Project, stored: _Stored) -> dict[str, TrainingRecord]:
    """Return what is kept of a task's trainings; adopted adapters have no losses."""
    seed = project.seeds_for(task)[0]
    compared = [model for model in BASELINES if model in project.compare]
    folders = {
        name: stored.folder(train_id(task, name, seed), "training")
        for name in (*project.languages, *compared)
    }
    records = {name: read_record(folder) for name, folder in folders.items() if folder is not None}
    return {name: record for name, record in records.items() if record.losses}


def _vectors(project: Project, stored: _Stored, on_progress: Progress) -> dict[str, Analysis]:
    """Return the language vectors of every task whose adapters are all there."""
    if len(project.languages) < 2:
        stored.note("vectors", "one language has nothing to compare")
        return {}
    found = {}
    for task in project.tasks:
        seed = project.seeds_for(task)[0]
        folders = {
            language: stored.folder(train_id(task, language, seed), "vectors")
            for language in project.languages
        }
        adapters = {language: folder for language, folder in folders.items() if folder is not None}
        if len(adapters) < len(folders):
            continue
        merge = stored.folder(merge_id(task, project.released_recipe, seed), "vectors")
        ancestor = None
        if project.has_ancestor:
            ancestor = stored.folder(train_id(task, ANCESTOR, seed), "vectors")
            if ancestor is None:
                continue
        on_progress(f"comparing the language vectors of {task}")

        from langmerge.analysis import analyze

        try:
            # Signs need every entry of every vector, and a merge of full rank takes long to take
            # apart: `langmerge analyze` has both.
            found[task] = analyze(
                adapters, merged=merge, density=None, decompose_merged=False, ancestor=ancestor
            )
        except LangmergeError as error:
            stored.note("vectors", f"{task}: {error}")
    return found


def _provenance(project: Project, store: Store, lock: Lock) -> Provenance:
    actions = {
        job: action
        for job, entry in lock.jobs.items()
        if (action := store.recorded(entry["key"])) is not None
    }
    versions: dict[str, dict[str, None]] = {}
    for action in actions.values():
        found = {**_mapping(action.ledger.get("versions")), "python": action.ledger.get("python")}
        for name, version in found.items():
            if version:
                versions.setdefault(name, {})[str(version)] = None
    devices = dict.fromkeys(
        str(a.ledger["device"]) for a in actions.values() if a.ledger.get("device")
    )
    return Provenance(
        project_text=project.path.read_text(encoding="utf-8"),
        base=_base(actions),
        outputs={
            job: entry["output"]
            for job, entry in sorted(lock.jobs.items())
            if not job.startswith("evaluate/")
        },
        versions={name: tuple(found) for name, found in sorted(versions.items())},
        devices=tuple(devices),
    )


def _base(actions: Mapping[str, Action]) -> dict[str, str]:
    """Return the digests of the base model that training and evaluation depended on."""
    for action in actions.values():
        if base := _mapping(action.document.get("base")):
            return {name: str(digest) for name, digest in base.items()}
    return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
