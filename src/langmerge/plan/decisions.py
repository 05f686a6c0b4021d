"""For every job: run it, reuse its result, or leave it stale, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langmerge.base import ResolvedBase
from langmerge.canonical import digest_of
from langmerge.plan.data import identify_sources, peek
from langmerge.plan.graph import Job, job_graph
from langmerge.plan.keys import Facts, data_document, differences, job_document
from langmerge.plan.lock import Lock
from langmerge.project import Project
from langmerge.store import Action, Store


@dataclass(frozen=True)
class Decision:
    """What is to be done about a job.

    Attributes:
        job: the job.
        action: `run` it, `reuse` its result, or use a baseline's older result (`stale`).
        reason: why, for people.
        document: the key document; None while results it depends on are not known yet.
        result: the result to be used; None where the job is to run.
    """

    job: Job
    action: Literal["run", "reuse", "stale"]
    reason: str
    document: Mapping[str, Any] | None = None
    result: Action | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the decision as `langmerge plan --json` prints it."""
        names = ("id", "kind", "task", "language", "model", "recipe", "seed", "split")
        return {
            **{name: getattr(self.job, name) for name in names},
            "needs": list(self.job.needs),
            "action": self.action,
            "reason": self.reason,
        }


@dataclass
class Planner:
    """Decides jobs one by one, in the graph's order, from the facts of the jobs before.

    Args:
        project: the project.
        base: its resolved base model.
        store: where results are.
        lock: which results the project had last.
        baselines: whether baselines that newer data made stale are to be retrained.
    """

    project: Project
    base: ResolvedBase
    store: Store
    lock: Lock
    baselines: bool = False
    facts: dict[str, Facts] = field(default_factory=dict)

    def decide(self, job: Job) -> Decision:
        """Return the decision about a job; facts of the jobs it needs are taken from `facts`.

        Raises:
            DataError: if a data job's files are missing or wrong.
        """
        if job.kind == "data":
            return self._decide_data(job)
        if missing := [need for need in job.needs if need not in self.facts]:
            return Decision(job, "run", _after(missing))
        document = job_document(job, self.project, self.base, self.facts)
        return self._decide(job, document)

    def learn(self, job: Job, result: Action) -> None:
        """Take note of a job's result, for the jobs that need it."""
        self.facts[job.id] = {**result.facts, "output": result.output}

    def _decide_data(self, job: Job) -> Decision:
        sources = identify_sources(self.project, job)
        return self._decide(job, data_document(job, self.project, sources))

    def _decide(self, job: Job, document: Mapping[str, Any]) -> Decision:
        if (result := self.store.action(digest_of(document))) is not None:
            return Decision(job, "reuse", "nothing it depends on changed", document, result)
        last = self._last_result(job)
        if last is None:
            return Decision(job, "run", "no result yet", document)
        changes = differences(last.document, document)
        if job.is_baseline and not self.baselines and _only_newer_data(last.document, document):
            reason = f"{_words(changes)}; `langmerge run --baselines` retrains it"
            return Decision(job, "stale", reason, document, last)
        return Decision(job, "run", _words(changes), document)

    def _last_result(self, job: Job) -> Action | None:
        key = self.lock.key_of(job.id)
        return self.store.action(key) if key is not None else None


def plan(planner: Planner) -> list[Decision]:
    """Return the decision about every job of the project; nothing is run or written."""
    decisions = []
    for job in job_graph(planner.project):
        decision = planner.decide(job)
        if decision.result is not None:
            planner.learn(job, decision.result)
        elif job.kind == "data" and (facts := peek(planner.project, job)) is not None:
            planner.facts[job.id] = facts
        decisions.append(decision)
    return decisions


def _only_newer_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two training documents differ in nothing but rows and languages."""
    shared = old["data"].keys() & new["data"].keys()

    def apart_from_data(document: Mapping[str, Any]) -> dict[str, Any]:
        task = {language: document["task"][language] for language in shared}
        return {**document, "data": None, "task": task}

    return apart_from_data(old) == apart_from_data(new)


def _after(missing: list[str]) -> str:
    first = missing[0].rsplit("/seed", 1)[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"after {first}{more}"


def _words(changes: list[str]) -> str:
    """Return changed fields as a short reason: `data.de changed`, `adapter.r changed`."""
    shown = ", ".join(changes[:3])
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f"{shown}{more} changed"
