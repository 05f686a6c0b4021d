"""A contest of recipes on the same rows: who is measured how far, and who is best."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langmerge.choose.candidates import Candidate
from langmerge.choose.journal import Journal
from langmerge.choose.objective import Objective, UnitName
from langmerge.choose.racing import Racing
from langmerge.errors import MergeError
from langmerge.merging.schema import Recipe
from langmerge.statistics import Sample, Samples, resample

if TYPE_CHECKING:
    from langmerge.choose.bench import Bench, Unit

_RESAMPLES = 2
"""`resample` also gives the values over all rows; the draws are not used."""


@dataclass
class Contestant:
    """A candidate and how far it came.

    Attributes:
        candidate: the candidate.
        key: of what it does.
        samples: its primary metric on the rows it answered, by unit.
        value: the objective over these rows.
        share: which part of the groups these are; 1 for all rows.
        bound: where it was stopped, the upper bound of its difference to the best one.
        size: entries of the merged adapter.
        seconds: what merging and answering took when it was done.
        problem: why it could not be measured.
    """

    candidate: Candidate
    key: str
    samples: Samples = field(default_factory=dict)
    value: float = -math.inf
    share: float = 0.0
    bound: float | None = None
    size: int | None = None
    seconds: float = 0.0
    problem: str | None = None
    _by_look: dict[int, Samples] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether it answered all rows."""
        return self.share == 1.0


@dataclass
class Contest:
    """Recipes measured one after the other, each against the best so far.

    Args:
        bench: answers rows by merges.
        units: the rows, by task and language.
        languages: the languages, in the order of the adapters.
        journal: what is known of candidates already.
        objective: what is to be largest.
        racing: when and how the hopeless are stopped.
        seed: of random masks.
    """

    bench: Bench
    units: Sequence[Unit]
    languages: Sequence[str]
    journal: Journal
    objective: Objective
    racing: Racing = field(default_factory=Racing)
    seed: int = 0
    contestants: dict[str, Contestant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.units = sorted(self.units, key=lambda unit: str(unit.name))

    @property
    def best(self) -> Contestant | None:
        """The best of those measured on all rows; of equals the first."""
        measured = [c for c in self.contestants.values() if c.is_measured]
        return max(measured, key=lambda c: c.value, default=None)

    def ranking(self) -> list[Contestant]:
        """Return those measured on all rows, the best first."""
        measured = [c for c in self.contestants.values() if c.is_measured]
        return sorted(measured, key=lambda c: -c.value)

    def enter(self, candidate: Candidate, *, to_the_end: bool = False) -> Contestant:
        """Measure a candidate, or return what is known of it.

        Args:
            candidate: the candidate.
            to_the_end: measure it on all rows even if it is hopeless.
        """
        key = candidate.key(self.languages, self.seed)
        found = self.contestants.get(key)
        if found is not None and (found.is_measured or found.problem or not to_the_end):
            return found
        found = self.contestants[key] = found or Contestant(candidate, key)
        try:
            self._measure(found, candidate.recipe(self.languages, self.seed), to_the_end)
        except MergeError as error:
            found.problem = str(error)
        return found

    def _measure(self, found: Contestant, recipe: Recipe, to_the_end: bool) -> None:
        best = self.best
        shares = (*self.racing.looks, 1.0)
        found.bound = None
        for look, share in enumerate(shares):
            if share < 1.0 and any(unit.cuts[look] == 0 for unit in self.units):
                continue  # Too few groups for a bound.
            self._answer(found, recipe, look)
            known = self.journal.of(found.key)
            found.samples = self._samples(found, look)
            found.share, found.size, found.seconds = share, known.size, known.seconds
            found.value = self._value(found.samples, found.size)
            if best is None or best is found or to_the_end or share == 1.0:
                continue
            bound = self.racing.upper_bound(
                found.samples,
                self._samples(best, look),
                self.objective,
                [unit.name for unit in self.units],
                share=share,
                sizes=(found.size, best.size),
            )
            if bound < 0:
                found.bound = bound
                return

    def _answer(self, found: Contestant, recipe: Recipe, look: int) -> None:
        """Have the rows up to a look answered, as far as they are not yet."""
        start = time.monotonic()
        known = self.journal.of(found.key)
        new: dict[str, list[Any]] = {}
        # Units of one task together, so that its adapters are merged once.
        for unit in sorted(self.units, key=lambda unit: unit.name.task):
            have, wanted = len(known.answers.get(str(unit.name), ())), unit.cuts[look]
            if have < wanted:
                self.bench.put_on(unit.name.task, recipe)
                answers = self.bench.answer(unit, have, wanted)
                if not all(math.isfinite(x) for a in answers for x in a if isinstance(x, float)):
                    raise MergeError("its log-likelihoods are not finite")
                new[str(unit.name)] = list(answers)
        if new:
            self.journal.add(
                found.key,
                found.candidate.label,
                new,
                seconds=time.monotonic() - start,
                size=self.bench.size,
            )

    def _samples(self, of: Contestant, look: int) -> Samples:
        if look not in of._by_look:
            answers = self.journal.of(of.key).answers
            of._by_look[look] = {
                str(unit.name): sample(unit, answers[str(unit.name)][: unit.cuts[look]])
                for unit in self.units
            }
        return of._by_look[look]

    def _value(self, samples: Samples, size: int | None) -> float:
        observed = resample(samples, seed=0, resamples=_RESAMPLES).observed
        return float(self.objective.of([unit.name for unit in self.units], observed, size))


def sample(unit: Unit, answers: Sequence[Any]) -> Sample:
    """Return the primary metric of answers to a unit's first rows, with the rows' groups."""
    predictions = unit.predictions(answers)
    metric = unit.task.measure(predictions, unit.name.language)[0]
    return metric, [prediction.group for prediction in predictions]


def individual_scores(
    bench: Bench, units: Sequence[Unit], journal: Journal
) -> Mapping[UnitName, float]:
    """Return what each language's own adapter reaches, by unit."""
    found = {}
    for unit in units:
        key, name = f"individual/{unit.name}", str(unit.name)
        known = journal.of(key)
        if len(known.answers.get(name, ())) < len(unit.rows):
            start = time.monotonic()
            bench.put_on_adapter(unit.name.task, unit.name.language)
            answers = bench.answer(unit, 0, len(unit.rows))
            seconds = time.monotonic() - start
            journal.add(key, key, {name: answers}, seconds=seconds, size=None)
        found[unit.name] = sample(unit, known.answers[name])[0].value
    return found
