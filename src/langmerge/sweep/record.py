"""What a sweep found, as values: for the table, for `--json`, and as evidence in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from langmerge import __version__
from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import Contest, Contestant
from langmerge.choose.objective import UnitName
from langmerge.statistics import Interval, Samples, holm, interval_of, paired_bootstrap, resample

_SEED = 0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Bounds(_Part):
    """A value and its interval; bounds are null where one group is all there is."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval) -> Bounds:
        """Return an interval as a part of the record."""
        return cls(value=interval.value, low=interval.low, high=interval.high)


class Change(_Part):
    """A task and language by a candidate, against the current recipe on the same rows."""

    task: str
    language: str
    score: float
    difference: float
    low: float | None
    high: float | None
    p_holm: float
    """Adjusted over the tasks and languages of the candidate."""
    is_loss: bool
    """Worse, and significantly so."""


class Row(_Part):
    """A candidate.

    `value` is the objective over the rows it answered; `share` is which part of the groups these
    are, and 1 for all. `bound` is the upper bound by which it was stopped.
    """

    label: str
    recipe: dict[str, Any]
    name: str | None = None
    value: float | None = None
    share: float = 0.0
    bound: float | None = None
    mean: float | None = None
    interval: Bounds | None = None
    against_current: Bounds | None = None
    changes: list[Change] = []
    size: int | None = None
    seconds: float = 0.0
    problem: str | None = None


class TestRow(_Part):
    """A candidate on test, after the choice: what of its dev score was luck."""

    __test__ = False

    label: str
    name: str | None = None
    dev: float
    test: Bounds
    gap: float
    """Dev minus test."""
    against_current: Bounds
    changes: list[Change] = []


class Counts(_Part):
    """How many candidates were measured on all rows, stopped, and failed."""

    measured: int
    stopped: int
    failed: int


class Sweep(_Part):
    """The outcome of a sweep; `rows` begin with the current recipe, the others the best first."""

    schema_version: int = 1
    langmerge: str = __version__
    created: str
    objective: str
    metrics: dict[str, str]
    languages: list[str]
    rows_per_language: dict[str, int]
    confidence: float
    risk: float
    trials: int | None = None
    """Of a search; null for a grid."""
    current: str
    winner: Row
    rows: list[Row]
    counts: Counts
    seconds: float
    """What merging and answering took, in this run or an earlier one."""
    adapters: dict[str, dict[str, str]]
    data: dict[str, dict[str, str]]
    base: dict[str, Any]
    test: list[TestRow] = []

    @property
    def improves(self) -> bool:
        """Whether the winner is another recipe than the current one."""
        winner, current = (
            Candidate(row.recipe).key(self.languages) for row in (self.winner, self.rows[0])
        )
        return winner != current


class Judge:
    """Turns contestants into rows, against the current recipe.

    Args:
        contest: the contest.
        current: the current recipe's contestant, measured on all rows.
        resamples: of intervals and tests.
        confidence: of both.
    """

    def __init__(
        self, contest: Contest, current: Contestant, *, resamples: int, confidence: float
    ) -> None:
        self._contest = contest
        self._current = current
        self._resamples, self._confidence = resamples, confidence
        self._units = [unit.name for unit in contest.units]

    def row(self, found: Contestant, *, with_changes: bool = True) -> Row:
        """Return a contestant's row; intervals and changes are of those measured on all rows."""
        row = Row(
            label=found.candidate.label,
            recipe=dict(found.candidate.settings),
            name=found.candidate.name,
            share=found.share,
            bound=found.bound,
            size=found.size,
            seconds=round(found.seconds, 3),
            problem=found.problem,
        )
        if found.problem or not found.samples:
            return row
        scores = [metric.value for metric, _ in found.samples.values()]
        update: dict[str, Any] = {"value": found.value, "mean": sum(scores) / len(scores)}
        if found.is_measured and with_changes:
            update |= {
                "interval": Bounds.of(self.interval(found)),
                "against_current": Bounds.of(self.difference(found)),
                "changes": self.changes(found.samples),
            }
        return row.model_copy(update=update)

    def interval(self, found: Contestant) -> Interval:
        """Return a contestant's objective with its interval."""
        drawn = resample(found.samples, seed=_SEED, resamples=self._resamples)
        values = self._contest.objective.of(self._units, drawn.drawn, found.size)
        return interval_of(found.value, values, drawn.groups, self._confidence)

    def difference(self, found: Contestant) -> Interval:
        """Return a contestant's objective minus the current recipe's, paired."""
        drawn = [
            resample(each.samples, seed=_SEED, resamples=self._resamples)
            for each in (found, self._current)
        ]
        ours, theirs = (
            self._contest.objective.of(self._units, each.drawn, of.size)
            for each, of in zip(drawn, (found, self._current), strict=True)
        )
        observed = found.value - self._current.value
        return interval_of(observed, ours - theirs, drawn[0].groups, self._confidence)

    def changes(self, samples: Samples) -> list[Change]:
        """Return every task's and language's change against the current recipe."""
        return _changes(
            samples, self._current.samples, self._units, self._resamples, self._confidence
        )


def _changes(
    ours: Samples,
    theirs: Samples,
    units: Sequence[UnitName],
    resamples: int,
    confidence: float,
) -> list[Change]:
    found = {
        unit: paired_bootstrap(
            {"": ours[str(unit)]},
            {"": theirs[str(unit)]},
            seed=_SEED,
            resamples=resamples,
            confidence=confidence,
        )
        for unit in units
    }
    adjusted = holm([paired.p_value for paired in found.values()])
    return [
        Change(
            task=unit.task,
            language=unit.language,
            score=ours[str(unit)][0].value,
            difference=paired.difference,
            low=paired.low,
            high=paired.high,
            p_holm=p_holm,
            is_loss=paired.difference < 0 and p_holm < 1 - confidence,
        )
        for (unit, paired), p_holm in zip(found.items(), adjusted, strict=True)
    ]


def counts(contestants: Mapping[str, Contestant]) -> Counts:
    """Return how many contestants came how far."""
    everyone = contestants.values()
    return Counts(
        measured=sum(c.is_measured for c in everyone),
        stopped=sum(c.bound is not None for c in everyone),
        failed=sum(c.problem is not None for c in everyone),
    )
