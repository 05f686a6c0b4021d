"""A sweep from start to end: the grid or the search, the choice, and test only after the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from langmerge.choose.candidates import Candidate, grid, neighbours
from langmerge.choose.contest import Contest, Contestant, individual_scores
from langmerge.choose.journal import Journal
from langmerge.choose.objective import Objective, ObjectiveName
from langmerge.choose.racing import Racing
from langmerge.data.config import SplitName
from langmerge.errors import ProjectError
from langmerge.sweep.ground import Ground
from langmerge.sweep.record import Bounds, Judge, Row, Sweep, TestRow, counts
from langmerge.sweep.search import search

if TYPE_CHECKING:
    from langmerge.choose.bench import Bench

Progress = Callable[[int, int, str], None]
"""Called with (candidates done, candidates in all, a word on the best so far)."""

_REFINED = 3
"""How many of the first round's best the second round looks around."""
_REPORTED = 5
"""How many of the best are measured on test when that is asked for."""


@dataclass(frozen=True)
class Request:
    """What a sweep goes through.

    Attributes:
        methods: names of methods; none means all.
        densities: of methods that have one; none means the default grid's.
        lambdas: none means each method's own, and others around the best in a second round.
        spaces: none means each method's own, and the others for the best in a second round.
        ranks: `full`, numbers or `energy:SHARE`; none means the full rank.
        trials: how many trials a search takes; None for the grid.
        objective: what is to be largest.
        racing: when the hopeless are stopped.
        report_test: measure the best on test, after the choice.
        seed: of a search's proposals.
    """

    methods: tuple[str, ...] = ()
    densities: tuple[float, ...] = ()
    lambdas: tuple[float, ...] = ()
    spaces: tuple[str, ...] = ()
    ranks: tuple[int | str, ...] = ()
    trials: int | None = None
    objective: ObjectiveName = "mean"
    racing: Racing = field(default_factory=Racing)
    report_test: bool = False
    seed: int = 0


def sweep(ground: Ground, request: Request, on_progress: Progress | None = None) -> Sweep:
    """Measure recipes on dev and choose one.

    Args:
        ground: the project.
        request: what to go through.
        on_progress: hears how far it is.

    Raises:
        MergeError: if a filter names an unknown method or a value out of bounds.
        ProjectError: if the project's current recipe itself cannot be measured.
        MissingExtraError: for a search without Optuna.
    """
    first = first_round(ground, request)  # wrong filters are found before anything is loaded
    with ground.bench() as bench:
        contest = contest_on(ground, bench, "dev", request.objective, request.racing)
        own = [contest.enter(candidate, to_the_end=True) for candidate in ground.recipes()]
        if own[0].problem is not None:
            raise ProjectError(f"merge.{own[0].candidate.name}: {own[0].problem}")
        _go_through(contest, ground, first, request, on_progress)
        record = _record(contest, own[0], ground, request)
        if request.report_test:
            record = record.model_copy(update={"test": _on_test(contest, bench, ground, request)})
    return record


def first_round(ground: Ground, request: Request) -> list[Candidate]:
    """Return the grid's candidates, before any is measured."""
    ranks = request.ranks
    if request.objective == "size" and not ranks:
        rank = ground.workspace.project.adapter.r
        ranks = ("full", rank, 2 * rank)
    return grid(
        len(ground.languages),
        only=request.methods,
        densities=request.densities,
        lambdas=request.lambdas,
        spaces=request.spaces,
        ranks=ranks,
    )


def contest_on(
    ground: Ground, bench: Bench, split: SplitName, objective: ObjectiveName, racing: Racing
) -> Contest:
    """Return a contest on a split's rows, with its journal."""
    from langmerge.choose.bench import entries_of

    units = ground.units(split, racing)
    journal = Journal(ground.journal(split, racing))
    individual = individual_scores(bench, units, journal) if objective == "retention" else None
    first = next(iter(next(iter(bench.adapters.values())).values()))
    aim = Objective(objective, individual, entries_of(first))
    return Contest(bench, units, ground.languages, journal, aim, racing, ground.seed)


def _go_through(
    contest: Contest,
    ground: Ground,
    first: Sequence[Candidate],
    request: Request,
    on_progress: Progress | None,
) -> None:
    done, total = 0, request.trials or len(first)

    def tell(_: Contestant) -> None:
        nonlocal done
        done += 1
        best = contest.best
        if on_progress is not None and best is not None:
            note = f"best {best.value:.1f}: {best.candidate.label}"
            on_progress(done, max(done, total), note)

    if request.trials is not None:
        search(
            contest,
            request.trials,
            start=ground.recipes(),
            only=request.methods,
            seed=request.seed,
            on_trial=tell,
        )
        return
    for candidate in first:
        tell(contest.enter(candidate))
    best = [found.candidate for found in contest.ranking()[:_REFINED]]
    second = list(neighbours(best, lambdas=not request.lambdas, spaces=not request.spaces))
    total += len(second)
    for candidate in second:
        tell(contest.enter(candidate))


def _record(contest: Contest, current: Contestant, ground: Ground, request: Request) -> Sweep:
    settings = ground.workspace.project.evaluate
    judge = Judge(contest, current, resamples=settings.resamples, confidence=settings.confidence)
    ranking = contest.ranking()
    measured = [judge.row(found) for found in ranking if found is not current]
    others = [
        judge.row(found)
        for found in sorted(contest.contestants.values(), key=lambda c: -(c.bound or 0.0))
        if not found.is_measured
    ]
    rows: list[Row] = [judge.row(current), *measured, *others]
    return Sweep(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        objective=request.objective,
        metrics={
            task: ground.workspace.project.tasks[task].primary_metric for task in ground.tasks
        },
        languages=list(ground.languages),
        rows_per_language={str(unit.name): len(unit.rows) for unit in contest.units},
        confidence=settings.confidence,
        risk=request.racing.risk,
        trials=request.trials,
        current=current.candidate.label,
        winner=judge.row(ranking[0]),
        rows=rows,
        seconds=round(sum(found.seconds for found in contest.contestants.values()), 1),
        adapters=ground.adapters(),
        data=ground.data("dev"),
        base=ground.workspace.base.identity(),
        counts=counts(contest.contestants),
    )


def _on_test(contest: Contest, bench: Bench, ground: Ground, request: Request) -> list[TestRow]:
    """Measure the current recipe and the best ones on test; the choice is made already."""
    settings = ground.workspace.project.evaluate
    racing = replace(request.racing, looks=())
    tested = contest_on(ground, bench, "test", request.objective, racing)
    own = ground.current
    current = tested.enter(own)
    judge = Judge(tested, current, resamples=settings.resamples, confidence=settings.confidence)
    dev = {found.key: found.value for found in contest.ranking()}
    best = [found.candidate for found in contest.ranking()[:_REPORTED]]
    rows = {}
    for candidate in [own, *best]:
        found = tested.enter(candidate)
        if found.problem is None:
            rows[found.key] = TestRow(
                label=candidate.label,
                name=candidate.name,
                dev=dev[found.key],
                test=Bounds.of(judge.interval(found)),
                gap=dev[found.key] - found.value,
                against_current=Bounds.of(judge.difference(found)),
                changes=judge.changes(found.samples),
            )
    return list(rows.values())
