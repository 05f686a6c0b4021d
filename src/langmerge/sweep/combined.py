"""The combined model's own search: a baseline that was tuned as much as the merge was.

A merge whose recipe is the best of fifty beats a model trained once with the first settings at hand
unfairly. Here the combined model's learning rate, epochs and batch are searched on dev too, by as
many trials as one gives it. Each trial is a training like any other: kept in the store under its
key, in the ledger with its cost, and used by the next run whose project says the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict

from langmerge.canonical import digest_of
from langmerge.choose.objective import Objective, ObjectiveName, UnitName
from langmerge.errors import JobsFailed, MissingExtraError, UserError
from langmerge.files import write_atomically
from langmerge.plan import Decision, Job, Planner
from langmerge.plan.graph import COMBINED, data_id, evaluation, train_id
from langmerge.plan.keys import job_document
from langmerge.project import CombinedSettings, Project
from langmerge.statistics import Interval, Sample, interval_of, resample
from langmerge.store import Store
from langmerge.sweep.ground import open_data
from langmerge.sweep.record import Bounds
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.workspace import Workspace

if TYPE_CHECKING:
    from langmerge.engine.ledger import Ledger
    from langmerge.model import BaseModel as Base

_RATES = (0.25, 4.0)
"""Bounds of the learning rate, as multiples of the project's."""
_EPOCHS = (0.5, 1.0, 1.5, 2.0)
_BATCHES = (0.5, 1.0, 2.0)
_SEED = 0


class Trial(BaseModel):
    """One training of the combined model.

    Attributes:
        train: the settings searched.
        value: the objective on dev.
        interval: its interval.
        seconds: of training.
    """

    model_config = ConfigDict(frozen=True)

    train: dict[str, Any]
    value: float
    interval: Bounds
    seconds: float


class FailedTrial(BaseModel):
    """A training that failed, such as a batch for which there is too little memory.

    Attributes:
        train: the settings searched.
        problem: why it failed.
    """

    model_config = ConfigDict(frozen=True)

    train: dict[str, Any]
    problem: str


class CombinedSweep(BaseModel):
    """The outcome: all trials, the project's own settings first."""

    model_config = ConfigDict(frozen=True)

    created: str
    objective: str
    metrics: dict[str, str]
    trials: list[Trial]
    failed: list[FailedTrial] = []

    @property
    def best(self) -> Trial:
        """The trial with the highest value; of equals the first."""
        return max(self.trials, key=lambda trial: trial.value)


def section_of(project: Project, best: Trial) -> str:
    """Return the project file's `combined:` with a trial's settings, and what else it has."""
    train = {**project.combined.train, **best.train}
    text = yaml.safe_dump(train, default_flow_style=True, sort_keys=False, width=10_000)
    return f"combined:\n  train: {text.strip()}"


@dataclass
class _Trainer:
    """Trains and measures combined models over one resident base.

    None loads it for each job, which keeps the one in 4 bits and the plain one apart.
    """

    workspace: Workspace
    tasks: tuple[str, ...]
    facts: Mapping[str, Mapping[str, Any]]
    base: Base | None
    ledger: Ledger
    tell: Callable[[str], None]

    def measure(self, train: Mapping[str, Any]) -> tuple[dict[UnitName, Sample], float]:
        """Return the samples of a combined model with these settings, and its training's seconds.

        Raises:
            JobsFailed: if the training or an evaluation fails.
        """
        project = self.workspace.project
        settings = CombinedSettings(train={**project.combined.train, **train})
        project = project.model_copy(update={"combined": settings})
        planner = replace(self.workspace.planner(), project=project, facts=dict(self.facts))
        samples, seconds = {}, 0.0
        for task in self.tasks:
            seed = project.seeds[0]
            needs = tuple(data_id(task, language) for language in project.languages)
            name = train_id(task, COMBINED, seed)
            jobs = [Job(name, "train", task, None, COMBINED, None, seed, needs=needs)]
            jobs += [
                evaluation(task, COMBINED, language, seed=seed, split="dev")
                for language in project.languages
            ]
            for job in jobs:
                cost = self._do(job, planner)
                if job.kind == "train":
                    seconds += cost
                else:
                    unit = UnitName(task, job.language or "")
                    samples[unit] = _sample(planner.store, project, planner.facts[job.id], unit)
        return samples, seconds

    def _do(self, job: Job, planner: Planner) -> float:
        """Take a job's result from the store, or do it; return the seconds it took."""
        from langmerge.engine.carrying import carry_out
        from langmerge.engine.jobs import Workbench
        from langmerge.engine.ledger import TRIAL

        document = job_document(job, planner.project, planner.base, planner.facts)
        action = planner.store.action(digest_of(document))
        if action is None:
            decision = Decision(job, "run", TRIAL, document)
            problems: list[str] = []

            def tell(attempt: Any) -> None:
                nonlocal action
                action = attempt.action
                if action is None:
                    self.ledger.failed(attempt)
                    problems.append(str(attempt.error))
                else:
                    self.ledger.finished(decision, action, attempt.cost)
                    planner.store.clear_work(action.key)

            with Workbench(planner, self.base) as workbench:
                carry_out(
                    [decision],
                    workbench,
                    store=planner.store,
                    clock=self.ledger.clock,
                    tell=tell,
                    progress=lambda _, done, total, note: self.tell(f"{done}/{total} {note}"),
                )
            if action is None:
                raise JobsFailed(f"{job.id}: {' '.join(problems)}")
        planner.learn(job, action)
        return float(action.ledger.get("training_seconds") or action.ledger.get("seconds") or 0.0)


def sweep_combined(
    workspace: Workspace,
    trials: int,
    *,
    tasks: Iterable[str] = (),
    objective: ObjectiveName = "mean",
    seed: int = 0,
    tell: Callable[[int, str], None] | None = None,
) -> CombinedSweep:
    """Search the combined model's learning rate, epochs and batch on dev.

    Args:
        workspace: the project, opened; its data were read by a run.
        trials: how many trainings; the first is with the project's own settings.
        tasks: the tasks; none means all.
        objective: `mean` or `worst-language`.
        seed: of the proposals.
        tell: is told (trials done, what goes on).

    Raises:
        MissingExtraError: if Optuna is not installed.
        ProjectError: if rows are missing.
        JobsFailed: if the training with the project's own settings fails; a trial that fails is
            noted, and the search goes on.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "search", "langmerge sweep --combined") from None
    from langmerge.engine.ledger import Ledger
    from langmerge.model import load_base

    if objective not in ("mean", "worst-language"):
        raise UserError(f"--objective {objective}: with --combined it is mean or worst-language")
    project = workspace.project
    chosen, facts = open_data(workspace, tasks)
    done: list[Trial] = []
    failed: list[FailedTrial] = []
    trainer = _Trainer(
        workspace,
        chosen,
        facts,
        None
        if project.train.load_in_4bit
        else load_base(workspace.base, dtype=project.train.dtype),
        Ledger(workspace.store.root),
        lambda what: tell(len(done) + len(failed), what) if tell is not None else None,
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)
    )
    study.enqueue_trial({"rate": 1.0, "epochs": 1.0, "batch": 1.0})
    for _ in range(trials):
        trial = study.ask()
        train = _settings(trial, project)
        try:
            samples, seconds = trainer.measure(train)
        except JobsFailed as error:
            if not done:
                raise
            failed.append(FailedTrial(train=train, problem=str(error)))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        interval = _value(samples, Objective(objective), project)
        done.append(
            Trial(train=train, value=interval.value, interval=Bounds.of(interval), seconds=seconds)
        )
        study.tell(trial, interval.value)
        if tell is not None:
            tell(len(done) + len(failed), f"best {max(found.value for found in done):.1f}")
    return CombinedSweep(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        objective=objective,
        metrics={task: project.tasks[task].primary_metric for task in chosen},
        trials=done,
        failed=failed,
    )


def save_combined(store: Store, found: CombinedSweep) -> Path:
    """Write all trials to `STORE/sweeps/DIGEST.json`, and return the file."""
    text = json.dumps(found.model_dump(), indent=1) + "\n"
    path = store.root / "sweeps" / f"{digest_of(found.model_dump())}.json"
    write_atomically(path, text)
    return path


def _settings(trial: Any, project: Project) -> dict[str, Any]:
    """Return the training settings that a trial's suggestions make; 1 keeps the project's own."""
    own = project.train_for(None)
    rate = trial.suggest_float("rate", *_RATES, log=True)
    epochs = trial.suggest_categorical("epochs", _EPOCHS)
    batch = trial.suggest_categorical("batch", _BATCHES)
    return {
        "learning_rate": float(f"{own.learning_rate * rate:.3g}"),
        "num_train_epochs": own.num_train_epochs * epochs,
        "per_device_train_batch_size": max(1, round(own.per_device_train_batch_size * batch)),
    }


def _value(samples: Mapping[UnitName, Sample], objective: Objective, project: Project) -> Interval:
    units = sorted(samples, key=str)
    drawn = resample(
        {str(unit): samples[unit] for unit in units},
        seed=_SEED,
        resamples=project.evaluate.resamples,
    )
    value = float(objective.of(units, drawn.observed))
    values = objective.of(units, drawn.drawn)
    return interval_of(value, values, drawn.groups, project.evaluate.confidence)


def _sample(store: Store, project: Project, facts: Mapping[str, Any], unit: UnitName) -> Sample:
    predictions = read_predictions(store.object(facts["output"]) / PREDICTIONS_FILE)
    metric = project.tasks[unit.task].measure(predictions, unit.language)[0]
    return metric, [prediction.group for prediction in predictions]
