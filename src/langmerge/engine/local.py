"""The local engine: units in the graph's order, in this process; nothing finished is ever lost."""

from __future__ import annotations

from langmerge.engine.books import Books
from langmerge.engine.carrying import carry_out
from langmerge.engine.holding import held
from langmerge.engine.outcomes import Observer, Run
from langmerge.engine.units import units_of
from langmerge.plan import Planner
from langmerge.plan.lock import Lock


def run(planner: Planner, observer: Observer | None = None, *, wait: bool = True) -> Run:
    """Do what the plan says; a failing job does not stop those that need it not.

    Every finished job is recorded at once, so a killed run goes on where it stopped. A stored
    result whose bytes changed is set aside and made again.

    Args:
        planner: what to do; it is told what came out.
        observer: hears of the progress.
        wait: while another process holds the project, wait for it.

    Raises:
        StorageError: if another process holds the project and `wait` is false, or nothing can be
            written.
        BaseModelError: if the base cannot be loaded.
    """
    from langmerge.engine.jobs import Workbench

    observer = observer or Observer()
    on_wait = observer.waiting if wait else None
    with (
        held(planner.store.root, on_wait=on_wait),
        planner.store.lease("run", on_wait),
        Workbench(planner) as workbench,
    ):
        # Who held the project before may have written it since it was read.
        planner.lock = Lock.load(planner.lock.path.parent)
        books = Books(planner, observer)
        observer.started(books.jobs)
        for unit in units_of(books.jobs):
            settled = [books.settle(job) for job in unit]
            decisions = [decision for decision in settled if decision is not None]
            for decision in decisions:
                observer.job_started(decision)
            if decisions:
                carry_out(
                    decisions,
                    workbench,
                    store=planner.store,
                    clock=books.ledger.clock,
                    tell=books.write_down,
                    progress=observer.job_progressed,
                )
        return books.end()
