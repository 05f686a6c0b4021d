"""Carries out a unit of work: results into the store, one by one, with what each has cost.

This is all that a process needs to work for a run; deciding and keeping the books are apart.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langmerge.canonical import digest_of
from langmerge.engine.attempts import Attempt, RunClock
from langmerge.engine.meter import Meter
from langmerge.errors import FATAL, LangmergeError
from langmerge.plan import Decision
from langmerge.store import Action, Store

if TYPE_CHECKING:
    from langmerge.engine.bench import Produced, Progress
    from langmerge.engine.jobs import Workbench


def carry_out(
    decisions: Sequence[Decision],
    workbench: Workbench,
    *,
    store: Store,
    clock: RunClock,
    tell: Callable[[Attempt], None],
    progress: Progress,
) -> None:
    """Do the jobs of a unit, and tell of each attempt as it ends.

    A result is recorded in the store before anyone is told of it.

    Args:
        decisions: what is to be done, with key documents.
        workbench: does it.
        store: where results go.
        clock: of the run.
        tell: is told of every attempt, as soon as it ends.
        progress: is told how far the jobs are.

    Raises:
        StorageError: if nothing more can be kept.
        BaseModelError: if nothing can be computed.
    """
    meter = Meter()
    waiting = {decision.job.id: decision for decision in decisions}

    def cost_of(decision: Decision, own: Mapping[str, Any]) -> dict[str, Any]:
        return clock.stamp(decision, meter.reading(own))

    def made(decision: Decision, produced: Produced | Exception) -> None:
        if isinstance(produced, Exception):
            done(_failed(decision, cost_of(decision, {}), produced))
            return
        assert decision.document is not None
        key, document = digest_of(decision.document), decision.document
        cost = cost_of(decision, produced.ledger)
        action = store.record(Action(key, document, produced.output, produced.facts, cost))
        done(Attempt(decision, cost, action))

    def done(attempt: Attempt) -> None:
        del waiting[attempt.decision.job.id]
        try:
            tell(attempt)
        except BaseException:
            waiting.clear()  # It is not the work that failed.
            raise

    try:
        workbench.do(decisions, made, progress)
    except BaseException as error:
        goes_on = bool(waiting) and isinstance(error, Exception) and not isinstance(error, FATAL)
        for decision in list(waiting.values()):
            done(_failed(decision, cost_of(decision, {}), error))
        if not goes_on:
            raise


def _failed(decision: Decision, cost: Mapping[str, Any], error: BaseException) -> Attempt:
    if isinstance(error, LangmergeError):
        problem = str(error)
    else:
        problem = "".join(traceback.format_exception(error))
    interrupted = not isinstance(error, Exception)
    return Attempt(decision, cost, None, problem, _line(error), interrupted)


def _line(error: BaseException) -> str:
    """Return an error as one line; only those raised on purpose explain themselves."""
    first = str(error).partition("\n")[0]
    if isinstance(error, LangmergeError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
