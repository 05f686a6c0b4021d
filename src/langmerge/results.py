"""`results.json`: every score with its interval, every job with its cost; and its schema.

Scores are measured here from the stored predictions, so a new metric or another confidence level
needs no model. All intervals come from resampling groups of rows (`langmerge.statistics`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from langmerge import __version__
from langmerge.engine import JobResult, Run
from langmerge.errors import ProjectError
from langmerge.files import write_atomically
from langmerge.metrics import Metric
from langmerge.plan import Job
from langmerge.plan.graph import (
    BASE,
    BASELINES,
    BEST_SINGLE,
    INDIVIDUAL,
    JOINT,
    ROUTED,
    merged,
    train_id,
)
from langmerge.plan.keys import best_single
from langmerge.project import Project, load_project
from langmerge.statistics import (
    Sample,
    Samples,
    approximate_randomization,
    bootstrap_mean,
    holm,
    minimum_detectable_difference,
    paired_bootstrap,
    retention,
    seed_spread,
)
from langmerge.store import Store
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.workspace import Workspace

RESULTS_FILE = "results.json"
_BOOTSTRAP_SEED = 0
_COMPARED_WITH = (BASE, INDIVIDUAL, ROUTED, BEST_SINGLE, *JOINT)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Measured(_Part):
    """A metric's value with its confidence interval; bounds are null where n does not allow any."""

    value: float
    low: float | None
    high: float | None
    signature: str


class Confusion(_Part):
    """How often each declared label (down) was answered by each (across).

    The last number of a row counts unparseable answers.
    """

    labels: list[str]
    counts: list[list[int]]

    def never_answered(self) -> list[str]:
        """Return the labels that occur in the data and were never the answer."""
        answered = [sum(column) for column in zip(*self.counts, strict=True)]
        return [
            label
            for label, row, count in zip(self.labels, self.counts, answered, strict=False)
            if sum(row) and not count
        ]


class Routing(_Part):
    """How rows were routed to the languages' adapters, and what that takes to serve."""

    languages: dict[str, int]
    """How many rows were taken for which language."""
    adapter_bytes: int
    """Of all adapters in memory."""
    switch_seconds: float
    """Putting another adapter on the base, the median."""
    identify_seconds: float
    """Identifying the language of one text, the mean."""
    identifier: str


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
    confusion: Confusion | None = None
    """Of a task with declared labels."""
    routing: Routing | None = None
    """For `routed`: what became of the rows, and what serving so takes."""


class SeedSpread(_Part):
    """How much repeated runs with several seeds differ on the same rows.

    `effect` is what of the standard deviation `deviation` the seeds account for, beyond the test
    rows (`langmerge.statistics.seed_spread`).
    """

    values: dict[str, float]
    """Mean over languages, by seed."""
    deviation: float
    effect: float


class Average(_Part):
    """A model's primary metric, averaged over all languages and seeds, resampled jointly.

    Where languages are measured in different ways (words in one, characters in another), the
    signature holds each way once, with `; ` between them.
    """

    task: str
    model: str
    split: str
    metric: str
    languages: list[str]
    seeds: list[int]
    stale: bool = False
    average: Measured
    seed_spread: SeedSpread | None = None
    """Null for the base, and where there is one seed."""


class Difference(_Part):
    """One model minus another on the same rows; p-values are two-sided, of no difference.

    Interval, `p_value` and `standard_error` are of a paired bootstrap over groups of rows.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float
    p_holm: float | None = None
    """`p_value` adjusted: over the languages of a comparison; of the mean, over the recipes
    compared with the same model."""
    p_randomization: float | None = None
    """Of approximate randomization, which assumes nothing: a check of `p_value`."""
    standard_error: float | None = None
    minimum_detectable: float | None = None
    """The true difference that these rows would show in 80% of cases."""


class Retention(_Part):
    """A model's mean as a share of another's, in percent, with its interval."""

    value: float
    low: float | None
    high: float | None


class Comparison(Difference):
    """A merged model minus another on the test rows: mean over languages and seeds."""

    task: str
    model: str
    against: str
    metric: str
    retention: Retention | None = None
    """Null where the other's mean is 0."""
    seed_spread: SeedSpread | None = None
    """Of the difference; null where there is one seed."""
    languages: dict[str, Difference] = {}


class JobCost(_Part):
    """What became of a job in the last run, and what its result cost when it was made.

    Costs are null where nothing is known of them, as of an adapter that was trained elsewhere.
    """

    id: str
    kind: str
    outcome: Literal["ran", "reused", "stale", "left", "failed", "skipped"]
    reason: str
    problem: str | None = None
    seconds: float | None = None
    tokens: int | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None


class Results(_Part):
    """The content of `results.json`."""

    schema_version: Literal[1] = 1
    """Version of this format."""
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
    except ValueError:  # pydantic's ValidationError is one, and so are bytes that are not UTF-8
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


_Run: TypeAlias = tuple[str, int]
"""A language and a seed."""

_Differing = TypeVar("_Differing", bound=Difference)


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
        self._confusions: dict[str, Confusion] = {}
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
                stale=result.outcome == "stale" or self._is_stale(job.task, job.model, job.seed),
                metrics={m.name: self._interval({"": (m, groups)}) for m in self._metrics[job.id]},
                confusion=self._confusions.get(job.id),
                routing=result.action.facts.get("routing"),
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
                stale=any(self._run.results[job.id].outcome == "stale" for job in jobs)
                or any(self._is_stale(task, model, seed) for seed in seeds),
                average=self._interval({job.id: self._primary(job) for job in jobs}),
                seed_spread=self._spread(_by_seed(self._samples(jobs, seeds))),
            )

    def comparisons(self) -> Iterator[Comparison]:
        """Yield every merged model against every other kind of model."""
        complete = self._complete()
        for task, against in product(self._project.tasks, _COMPARED_WITH):
            if (others := complete.get((task, against, "test"))) is not None:
                found = {
                    model: self._compare(task, model, jobs, against, others)
                    for (of_task, model, split), jobs in complete.items()
                    if (of_task, split) == (task, "test") and model.startswith(merged(""))
                }
                yield from _adjusted(found).values()

    def _compare(
        self, task: str, model: str, jobs: list[Job], against: str, others: list[Job]
    ) -> Comparison:
        seeds = self._project.seeds_for(task)
        ours, theirs = self._samples(jobs, seeds), self._samples(others, seeds)
        languages = {
            language: self._difference(_of_language(ours, language), _of_language(theirs, language))
            for language in self._project.languages
        }
        return Comparison(
            **self._difference(_named(ours), _named(theirs)).model_dump(),
            task=task,
            model=model,
            against=against,
            metric=self._project.tasks[task].primary_metric,
            retention=self._retention(_named(ours), _named(theirs)),
            seed_spread=self._spread(_by_seed(ours), minus=_by_seed(theirs)),
            languages=_adjusted(languages),
        )

    def _samples(self, jobs: Sequence[Job], seeds: Sequence[int]) -> Mapping[_Run, Sample]:
        """Return a model's samples by language and seed.

        The base has no seed: it is the same in the run of every seed.
        """
        return {
            (job.language or "", seed): self._primary(job)
            for job in jobs
            for seed in (seeds if job.seed is None else (job.seed,))
        }

    def _difference(self, ours: Samples, theirs: Samples) -> Difference:
        found = paired_bootstrap(ours, theirs, **self._resampling())
        p_randomization = approximate_randomization(
            ours, theirs, seed=_BOOTSTRAP_SEED, trials=self._project.evaluate.resamples
        )
        return Difference(
            difference=found.difference,
            low=found.low,
            high=found.high,
            p_value=found.p_value,
            p_randomization=p_randomization,
            standard_error=found.standard_error,
            minimum_detectable=(
                minimum_detectable_difference(
                    found.standard_error, alpha=1 - self._project.evaluate.confidence
                )
                if found.low is not None
                else None
            ),
        )

    def _retention(self, ours: Samples, theirs: Samples) -> Retention | None:
        try:
            found = retention(ours, theirs, **self._resampling())
        except ValueError:
            return None
        return Retention(value=found.value, low=found.low, high=found.high)

    def _spread(
        self, runs: Mapping[int, Samples], minus: Mapping[int, Samples] | None = None
    ) -> SeedSpread | None:
        if len(runs) < 2:
            return None
        found = seed_spread(
            runs, minus, seed=_BOOTSTRAP_SEED, resamples=self._project.evaluate.resamples
        )
        values = {str(seed): value for seed, value in found.values.items()}
        return SeedSpread(values=values, deviation=found.deviation, effect=found.effect)

    def _resampling(self) -> dict[str, Any]:
        settings = self._project.evaluate
        return {
            "seed": _BOOTSTRAP_SEED,
            "resamples": settings.resamples,
            "confidence": settings.confidence,
        }

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
        task = self._project.tasks[job.task]
        self._metrics[job.id] = task.measure(predictions, job.language)
        self._groups[job.id] = [prediction.group for prediction in predictions]
        if (counts := task.confusion(predictions)) is not None:
            labels = list(task.declared_labels())
            self._confusions[job.id] = Confusion(labels=labels, counts=counts.tolist())

    def _interval(self, samples: Samples) -> Measured:
        interval = bootstrap_mean(samples, **self._resampling())
        signatures = sorted({metric.signature for metric, _ in samples.values()})
        return Measured(
            value=interval.value,
            low=interval.low,
            high=interval.high,
            signature="; ".join(signatures),
        )

    def _chosen(self, task: str, seed: int | None) -> str | None:
        return best_single(self._project, task, seed or 0, self._run.facts())

    def _is_stale(self, task: str, model: str | None, seed: int | None) -> bool:
        if model not in BASELINES:
            return False
        training = self._run.results.get(train_id(task, model, seed or 0))
        return training is not None and training.outcome == "stale"


def _named(samples: Mapping[_Run, Sample]) -> Samples:
    return {f"{language}/{seed}": sample for (language, seed), sample in samples.items()}


def _of_language(samples: Mapping[_Run, Sample], language: str) -> Samples:
    return {str(seed): sample for (code, seed), sample in samples.items() if code == language}


def _by_seed(samples: Mapping[_Run, Sample]) -> Mapping[int, Samples]:
    seeds: dict[int, dict[str, Sample]] = defaultdict(dict)
    for (language, seed), sample in samples.items():
        seeds[seed][language] = sample
    return seeds


def _adjusted(family: Mapping[str, _Differing]) -> dict[str, _Differing]:
    """Return the differences with `p_holm`, adjusted for being a family."""
    adjusted = holm([each.p_value for each in family.values()])
    return {
        name: each.model_copy(update={"p_holm": p_value})
        for (name, each), p_value in zip(family.items(), adjusted, strict=True)
    }


def _cost(result: JobResult) -> JobCost:
    ledger: Mapping[str, object] = result.action.ledger if result.action else {}
    job = result.decision.job
    # Of an adapter that was adopted, the ledger knows what taking it in cost, not its training.
    known = {name: None if "adopted" in ledger else ledger.get(name) for name in _LEDGER_FIELDS}
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
