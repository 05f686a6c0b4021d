"""`results.json`: every score with its interval, every job with its cost; and its schema.

Scores are measured here from the stored predictions, so a new metric or another confidence level
needs no model. All intervals come from resampling groups of rows (`langmerge.statistics`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from langmerge import __version__
from langmerge.engine import JobResult, Run
from langmerge.errors import ProjectError
from langmerge.metrics import Metric
from langmerge.plan import Job
from langmerge.plan.graph import BASE, BEST_SINGLE, COMBINED, INDIVIDUAL, merged, train_id
from langmerge.plan.keys import best_single
from langmerge.project import Project, load_project
from langmerge.statistics import Sample, Samples, bootstrap_mean, paired_bootstrap
from langmerge.store import Store, write_atomically
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.workspace import Workspace

RESULTS_FILE = "results.json"
_BOOTSTRAP_SEED = 0
_COMPARED_WITH = (BASE, INDIVIDUAL, BEST_SINGLE, COMBINED)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Measured(_Part):
    """A metric's value with its confidence interval; bounds are null where n does not allow any."""

    value: float
    low: float | None
    high: float | None
    signature: str


class Score(_Part):
    """One model on one language's split, with one seed."""

    task: str
    model: str
    language: str
    seed: int | None
    split: str
    n: int
    model_digest: str | None
    """Digest of the adapter that was on the base; null for the base alone."""
    chosen: str | None = None
    """For `best-single`: the language whose adapter dev preferred."""
    stale: bool = False
    """The model was trained on older data than the project has now."""
    metrics: dict[str, Measured]


class Average(_Part):
    """A model's primary metric, averaged over all languages and seeds, resampled jointly."""

    task: str
    model: str
    split: str
    metric: str
    languages: list[str]
    seeds: list[int]
    stale: bool = False
    average: Measured


class Comparison(_Part):
    """A merged model minus another, on the same test rows: mean over languages and seeds.

    The interval and the two-sided p-value are of a paired bootstrap over groups of rows.
    """

    task: str
    model: str
    against: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p_value: float


class JobCost(_Part):
    """What became of a job in the last run, and what its result cost when it was made."""

    id: str
    kind: str
    outcome: Literal["ran", "reused", "stale", "failed", "skipped"]
    reason: str
    problem: str | None = None
    seconds: float | None = None
    tokens: int | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None


class Results(_Part):
    """The content of `results.json`."""

    schema_version: Literal[1] = 1
    langmerge: str = __version__
    base: str
    primary_metrics: dict[str, str]
    languages: list[str]
    confidence: float
    scores: list[Score]
    averages: list[Average]
    comparisons: list[Comparison]
    jobs: list[JobCost]


def write_results(workspace: Workspace, run: Run) -> Results:
    """Collect the results of a run and write them to `results.json` beside the project file."""
    results = collect(workspace, run)
    write_atomically(
        workspace.project.folder / RESULTS_FILE,
        json.dumps(results.model_dump(), indent=1, ensure_ascii=False) + "\n",
    )
    return results


def load_results(project_file: Path) -> Results:
    """Read a project's results.

    Raises:
        ProjectError: if there are none yet, or the file is not readable.
    """
    path = load_project(project_file).folder / RESULTS_FILE
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path}: no results yet; `langmerge run` makes them") from None
    except ValidationError:
        raise ProjectError(
            f"{path}: not a results file of this version; `langmerge run` writes it again"
        ) from None


def collect(workspace: Workspace, run: Run) -> Results:
    """Return scores, averages and costs of a run; jobs that failed are named in `jobs` only."""
    project = workspace.project
    measured = _Measurements(project, workspace.store, run)
    return Results(
        base=workspace.base.name,
        primary_metrics={name: task.primary_metric for name, task in project.tasks.items()},
        languages=list(project.languages),
        confidence=project.evaluate.confidence,
        scores=list(measured.scores()),
        averages=list(measured.averages()),
        comparisons=list(measured.comparisons()),
        jobs=[_cost(result) for result in run.results.values()],
    )


class _Measurements:
    """The metrics of every evaluation of a run, measured once from the stored predictions."""

    def __init__(self, project: Project, store: Store, run: Run) -> None:
        self._project = project
        self._run = run
        self._evaluations = [
            result
            for result in run.results.values()
            if result.decision.job.kind == "evaluate" and result.action is not None
        ]
        self._metrics: dict[str, tuple[Metric, ...]] = {}
        self._groups: dict[str, list[str]] = {}
        for result in self._evaluations:
            self._measure(result, store)

    def scores(self) -> Iterator[Score]:
        for result in self._evaluations:
            job = result.decision.job
            assert job.language is not None
            assert job.split is not None
            assert result.action is not None
            groups = self._groups[job.id]
            yield Score(
                task=job.task,
                model=job.model or "",
                language=job.language,
                seed=job.seed,
                split=job.split,
                n=len(groups),
                model_digest=result.action.facts["adapter"],
                chosen=self._chosen(job.task, job.seed) if job.model == BEST_SINGLE else None,
                stale=self._is_stale(job.task, job.model, job.seed),
                metrics={m.name: self._interval({"": (m, groups)}) for m in self._metrics[job.id]},
            )

    def averages(self) -> Iterator[Average]:
        for (task, model, split), jobs in self._complete().items():
            seeds = sorted({job.seed for job in jobs if job.seed is not None})
            yield Average(
                task=task,
                model=model,
                split=split,
                metric=self._project.tasks[task].primary_metric,
                languages=list(self._project.languages),
                seeds=seeds,
                stale=any(self._is_stale(task, model, seed) for seed in seeds),
                average=self._interval({job.id: self._primary(job) for job in jobs}),
            )

    def comparisons(self) -> Iterator[Comparison]:
        """Yield every merged model against every other kind of model."""
        complete = self._complete()
        for (task, model, split), jobs in complete.items():
            if split != "test" or not model.startswith(merged("")):
                continue
            for against in _COMPARED_WITH:
                if (others := complete.get((task, against, split))) is not None:
                    yield self._compare(task, model, jobs, against, others)

    def _compare(
        self, task: str, model: str, jobs: list[Job], against: str, others: list[Job]
    ) -> Comparison:
        ours = {f"{job.language}/{job.seed}": self._primary(job) for job in jobs}
        # The base has no seed: it meets the model of every seed.
        theirs = {
            f"{other.language}/{seed}": self._primary(other)
            for other in others
            for seed in (self._project.seeds_for(task) if other.seed is None else (other.seed,))
        }
        settings = self._project.evaluate
        found = paired_bootstrap(
            ours,
            theirs,
            seed=_BOOTSTRAP_SEED,
            resamples=settings.resamples,
            confidence=settings.confidence,
        )
        return Comparison(
            task=task,
            model=model,
            against=against,
            metric=self._project.tasks[task].primary_metric,
            difference=found.difference,
            low=found.low,
            high=found.high,
            p_value=found.p_value,
        )

    def _complete(self) -> dict[tuple[str, str, str], list[Job]]:
        """Return the evaluations of every model that was evaluated on every language and seed.

        A mean over some languages only would not compare with the others.
        """
        found: dict[tuple[str, str, str], list[Job]] = defaultdict(list)
        for result in self._evaluations:
            job = result.decision.job
            found[job.task, job.model or "", job.split or ""].append(job)
        languages = len(self._project.languages)

        def runs(task: str, jobs: list[Job]) -> int:
            return 1 if jobs[0].seed is None else len(self._project.seeds_for(task))

        return {
            key: jobs for key, jobs in found.items() if len(jobs) == languages * runs(key[0], jobs)
        }

    def _primary(self, job: Job) -> Sample:
        return self._metrics[job.id][0], self._groups[job.id]

    def _measure(self, result: JobResult, store: Store) -> None:
        job, action = result.decision.job, result.action
        assert job.language is not None
        assert action is not None
        predictions = read_predictions(store.object(action.output) / PREDICTIONS_FILE)
        metrics = self._project.tasks[job.task].measure(predictions, job.language)
        self._metrics[job.id] = metrics
        self._groups[job.id] = [prediction.group for prediction in predictions]

    def _interval(self, samples: Samples) -> Measured:
        settings = self._project.evaluate
        interval = bootstrap_mean(
            samples,
            seed=_BOOTSTRAP_SEED,
            resamples=settings.resamples,
            confidence=settings.confidence,
        )
        signature = next(iter(samples.values()))[0].signature
        return Measured(
            value=interval.value, low=interval.low, high=interval.high, signature=signature
        )

    def _chosen(self, task: str, seed: int | None) -> str | None:
        return best_single(self._project, task, seed or 0, self._run.facts())

    def _is_stale(self, task: str, model: str | None, seed: int | None) -> bool:
        if model != COMBINED:
            return False
        training = self._run.results.get(train_id(task, None, seed or 0))
        return training is not None and training.outcome == "stale"


def _cost(result: JobResult) -> JobCost:
    ledger: Mapping[str, object] = result.action.ledger if result.action else {}
    job = result.decision.job
    known = {name: ledger.get(name) for name in _LEDGER_FIELDS}
    # A training that was killed and resumed took longer than its last process.
    known["seconds"] = ledger.get("training_seconds", known["seconds"])
    return JobCost(
        id=job.id,
        kind=job.kind,
        outcome=result.outcome,
        reason=result.decision.reason,
        problem=result.problem,
        **known,  # type: ignore[arg-type]
    )


_LEDGER_FIELDS: Sequence[str] = ("seconds", "tokens", "peak_memory_bytes", "device")
