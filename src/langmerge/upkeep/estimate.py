"""What a plan will cost, from what earlier runs of the project cost: its ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from langmerge.plan import Decision, Job
from langmerge.plan.graph import INDIVIDUAL, Kind, data_id
from langmerge.plan.keys import CONTINUED, SHARE, Facts
from langmerge.upkeep.bill import Entry


@dataclass(frozen=True)
class Estimate:
    """Device-seconds of a plan's jobs.

    Attributes:
        seconds: of the jobs that earlier attempts say something about.
        unknown: how many jobs of which kinds nothing is known about.
        by_job: the seconds by job id.
    """

    seconds: float
    unknown: Mapping[Kind, int]
    by_job: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every job has an estimate."""
        return not self.unknown


def estimate_plan(
    decisions: Iterable[Decision], entries: Sequence[Entry], facts: Mapping[str, Facts]
) -> Estimate:
    """Estimate what the jobs that would run cost on the device they ran on last.

    A job costs what its last finished attempt did, for as many rows as it has now. One that never
    ran costs, per row, the median of its like: the same kind of job and model of the task, then of
    any task.

    Args:
        decisions: the plan.
        entries: attempts of earlier runs, in their order.
        facts: of the plan's data jobs, by job id: how many rows their splits have.
    """
    history = _History(entries)
    by_job: dict[str, float] = {}
    unknown: dict[Kind, int] = defaultdict(int)
    for decision in decisions:
        if decision.action != "run":
            continue
        # How many rows a continued training will take is not known yet: as many as last time.
        is_continued = CONTINUED in (decision.document or {})
        rows = None if is_continued else _rows(decision.job, facts)
        if rows is not None and SHARE in (document := decision.document or {}):
            rows = math.ceil(rows * document[SHARE])
        found = history.seconds_of(decision.job, rows)
        if found is None:
            unknown[decision.job.kind] += 1
        else:
            by_job[decision.job.id] = found
    return Estimate(sum(by_job.values()), dict(unknown), by_job)


class _History:
    """Seconds of finished attempts, whole and per row."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._last: dict[str, Entry] = {}
        self._alike: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for entry in entries:
            if entry.is_finished and not entry.adopted:
                self._last[entry.job] = entry
                for group in _groups(entry.kind, entry.model, entry.task):
                    self._alike[group].append(entry.whole_seconds / (entry.rows or 1))

    def seconds_of(self, job: Job, rows: int | None) -> float | None:
        """Return what a job with so many rows would take; None where nothing like it ran."""
        if (last := self._last.get(job.id)) is not None:
            growth = rows / last.rows if rows and last.rows else 1.0
            return last.whole_seconds * growth
        groups = _groups(job.kind, job.model, job.task)
        if job.is_ancestor:  # one that never ran is like the adapters that start from it
            groups += _groups(job.kind, INDIVIDUAL, job.task)
        for group in groups:
            if group in self._alike:
                return median(self._alike[group]) * (rows or 1)
        return None


def _groups(kind: Kind, model: str | None, task: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of jobs that a job is like, the closest first."""
    # What is evaluated makes no difference to the time; what is trained or merged does.
    like = "" if kind == "evaluate" else model or ""
    return (kind, like, task), (kind, like)


def _rows(job: Job, facts: Mapping[str, Facts]) -> int | None:
    """Return how many rows a job goes through, where the plan knows it."""
    if job.kind == "merge":
        return None
    split = job.split or "train"
    needed = [need for need in job.needs if need.startswith("data/")]
    if job.kind == "data" and job.language is not None:
        needed = [data_id(job.task, job.language)]
    known = [facts[need]["splits"].get(split) for need in needed if need in facts]
    if len(known) < len(needed) or None in known:
        return None
    return sum(int(each["rows"]) for each in known if each is not None)
