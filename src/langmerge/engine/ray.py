"""The Ray engine: the same plan on a cluster, one worker with a resident base per device.

The driver, which is this process, decides, reads data and keeps the books. Workers are actors; each
does a unit of work at a time and writes results to the store. A worker that dies, with its node or
for its memory, is replaced and its jobs are tried again; what a job itself reports is not.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from langmerge.base import weights_bytes
from langmerge.canonical import digest_of
from langmerge.engine.attempts import Attempt
from langmerge.engine.books import Books
from langmerge.engine.carrying import carry_out
from langmerge.engine.cluster import Cluster, connected
from langmerge.engine.crew import Crew, Hand
from langmerge.engine.holding import held
from langmerge.engine.outcomes import Observer, Run
from langmerge.engine.scheduler import Device, Task, assign, ranks, task_of
from langmerge.engine.worker import MARK_FILE, Assignment, Order, Progressed
from langmerge.errors import LangmergeError, UserError
from langmerge.files import write_atomically
from langmerge.plan import Decision, Job, Planner
from langmerge.plan.lock import Lock

TRIES = 3
"""How often a job is tried whose workers die."""

_WAIT_SECONDS = 0.5


def run(
    planner: Planner,
    observer: Observer | None = None,
    *,
    wait: bool = True,
    cluster: Cluster | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Run:
    """Do what the plan says on a Ray cluster; results are those of the local engine.

    Args:
        planner: what to do; it is told what came out.
        observer: hears of the progress of all workers.
        wait: while another process holds the project, wait for it.
        cluster: which cluster, and what of it to take.
        seconds: how long jobs probably take, by job id.

    Raises:
        MissingExtraError: if Ray is not installed.
        StorageError: if another process holds the project and `wait` is false, nothing can be
            written, or a worker does not see the store.
        BaseModelError: if the base cannot be loaded.
        UserError: if there is no cluster at the address, or it has room for no worker.
    """
    observer = observer or Observer()
    on_wait = observer.waiting if wait else None
    cluster = cluster or Cluster()
    with (
        held(planner.store.root, on_wait=on_wait),
        planner.store.lease("run", on_wait),
        connected(cluster) as ray,
    ):
        planner.lock = Lock.load(planner.lock.path.parent)
        books = Books(planner, observer)
        observer.started(books.jobs)
        mark = uuid.uuid4().hex
        write_atomically(planner.store.root / MARK_FILE, mark)
        order = Order(planner.project, planner.base.identity(), mark)
        driver = _Driver(ray, planner, books, observer, Crew(ray, order, cluster))
        driver.go(seconds or {})
        return books.end()


class _Driver:
    """Gives ready jobs to idle workers until there is nothing left to do."""

    def __init__(
        self,
        ray: Any,
        planner: Planner,
        books: Books,
        observer: Observer,
        crew: Crew,
    ) -> None:
        from langmerge.engine.jobs import Workbench

        self._ray, self._planner, self._books = ray, planner, books
        self._observer, self._crew = observer, crew
        self._bench = Workbench(planner)  # for data, which is here
        self._missing = {job.id: set(job.needs) for job in books.jobs}
        self._followers: dict[str, list[Job]] = defaultdict(list)
        for job in books.jobs:
            for need in job.needs:
                self._followers[need].append(job)
        self._able = deque(job for job in books.jobs if not job.needs)
        self._known = 0
        self._asked: dict[str, list[Job]] = {}
        self._ready: dict[str, Decision] = {}
        self._tasks: dict[str, Task] = {}
        self._rank: dict[str, float] = {}
        self._deaths: dict[str, int] = {}
        self._stillborn = 0

    def go(self, seconds: Mapping[str, float]) -> None:
        """Do all jobs of the plan."""
        # As `load_base` does: `auto` is float32 without a GPU.
        dtype = self._planner.project.train.dtype
        half = dtype == "bfloat16" or (dtype == "auto" and self._crew.has_gpus)
        weights = weights_bytes(self._planner.base, 2 if half else 4)
        self._tasks = {job.id: task_of(job, seconds, weights) for job in self._books.jobs}
        self._rank = ranks(self._tasks.values())
        try:
            while self._settle() or self._ready or self._busy():
                self._give()
                self._hear(0 if self._able else _WAIT_SECONDS)
        except BaseException:
            self._write_down_interrupted()
            raise
        finally:
            self._crew.dismiss()

    def _busy(self) -> list[Hand]:
        return [hand for hand in self._crew.hands if hand.told is not None]

    def _settle(self) -> bool:
        """Decide about jobs whose needs are settled; return whether there were any.

        Data is read here, one job in a call, so that workers are heard in between.
        """
        self._find_able()
        found = bool(self._able)
        while self._able:
            job = self._able.popleft()
            decision = self._books.settle(job)
            if decision is not None and job.kind == "data":
                self._observer.job_started(decision)
                self._do_here(decision)
                break
            if decision is not None:
                # Jobs may ask the same: what is best for a language may be its own adapter.
                twins = self._asked.setdefault(digest_of(decision.document), [])
                if not twins:
                    self._ready[job.id] = decision
                twins.append(job)
            self._find_able()
        return found

    def _answered(self, decision: Decision) -> list[Job]:
        """Return the jobs that waited for the result of one that asks the same."""
        return self._asked.pop(digest_of(decision.document), [])[1:]

    def _find_able(self) -> None:
        """Add the jobs whose last need was settled since the last call."""
        results = self._books.run.results
        for name in list(islice(results, self._known, None)):
            for job in self._followers[name]:
                self._missing[job.id].discard(name)
                if not self._missing[job.id]:
                    self._able.append(job)
        self._known = len(results)

    def _do_here(self, decision: Decision) -> None:
        carry_out(
            [decision],
            self._bench,
            store=self._planner.store,
            clock=self._books.ledger.clock,
            tell=self._books.write_down,
            progress=self._observer.job_progressed,
        )

    def _give(self) -> None:
        """Give ready jobs to idle workers, as long as there are both."""
        hands = {hand.device.name: hand for hand in self._crew.hands}
        devices = [hand.device for hand in hands.values()]
        idle = [h.device for h in hands.values() if h.starting is None and h.told is None]
        ready = [self._tasks[name] for name in self._ready]
        if self._crew.has_gpus and any(job.kind == "data" for job in self._able):
            # Whoever trains now trains alone; with all that are read soon, it is less work.
            ready = [task for task in ready if not task.in_steps]
        given = 0
        for unit, device in assign(ready, idle, self._rank, devices):
            self._start(hands[device.name], [self._ready.pop(task.id) for task in unit])
            given += len(unit)
        if given < len(ready):
            self._refuse_what_fits_nowhere(ready)

    def _refuse_what_fits_nowhere(self, ready: Sequence[Task]) -> None:
        """Raise if all workers are there and idle, and none can take what is ready."""
        hands = self._crew.hands
        if ready and all(hand.starting is None and hand.told is None for hand in hands):
            need = min(task.memory for task in ready) / 1e9
            most = max(hand.device.memory for hand in hands) / 1e9
            half = self._planner.project.train.dtype == "float32"
            raise UserError(
                f"the base's weights take {need:.1f} GB, and the largest device of the cluster has "
                f"{most:.1f} GB; take larger devices, or a smaller base"
                + (", or train.dtype: bfloat16" if half else "")
            )

    def _start(self, hand: Hand, decisions: Sequence[Decision]) -> None:
        clock = self._books.ledger.clock
        needs = {need for decision in decisions for need in decision.job.needs}
        facts = {need: self._planner.facts[need] for need in needs}
        for decision in decisions:
            self._observer.job_started(decision)
        hand.decisions = {decision.job.id: decision for decision in decisions}
        hand.since = (datetime.now(timezone.utc).isoformat(timespec="seconds"), clock.seconds)
        hand.billed = 0.0
        assignment = Assignment(tuple(decisions), facts, clock.run, clock.seconds)
        hand.told = hand.actor.do.options(num_returns="streaming").remote(assignment)

    def _hear(self, timeout: float) -> None:
        """Listen to the workers for a moment."""
        listening = {
            hand.starting if hand.starting is not None else hand.told: hand
            for hand in self._crew.hands
            if hand.starting is not None or hand.told is not None
        }
        if not listening:
            return
        found, _ = self._ray.wait(list(listening), timeout=timeout, fetch_local=False)
        for stream in found:
            self._hear_one(listening[stream])

    def _hear_one(self, hand: Hand) -> None:
        from ray.exceptions import RayError, RayTaskError

        try:
            if hand.starting is not None:
                _, memory = self._ray.get(hand.starting)
                hand.starting, self._stillborn = None, 0
                hand.device = Device(hand.device.name, hand.device.gpu, memory)
            else:
                self._take(hand, self._ray.get(next(hand.told)))
        except StopIteration:
            hand.told = None
        except RayTaskError as error:  # what a worker raised on purpose
            raise (error.cause if isinstance(error.cause, LangmergeError) else error) from None
        except RayError as error:
            self._bury(hand, error)

    def _take(self, hand: Hand, told: Attempt | Progressed) -> None:
        if isinstance(told, Progressed):
            self._observer.job_progressed(told.job, told.done, told.total, told.note)
        else:
            del hand.decisions[told.decision.job.id]
            hand.billed += told.cost["seconds"]
            self._books.write_down(told)
            self._able.extend(self._answered(told.decision))

    def _bury(self, hand: Hand, error: Exception) -> None:
        """Replace a dead worker; its unfinished jobs are ready again, or have failed for good."""
        problem = f"its worker died ({_cause(error)})"
        started = hand.starting is None
        for decision in hand.decisions.values():
            name = decision.job.id
            deaths = self._deaths[name] = self._deaths.get(name, 0) + 1
            # Alone, it needs less memory, and takes nobody with it.
            self._tasks[name] = replace(self._tasks[name], together="", in_steps=False)
            attempt = self._stopped(hand, decision, f"{problem}, for the time {deaths} of {TRIES}")
            self._able.extend(self._answered(decision))
            if deaths < TRIES:
                self._books.ledger.failed(attempt)
                self._able.appendleft(decision.job)  # decided anew: it may have been recorded
            else:
                self._books.write_down(attempt)
        if not started:
            self._stillborn += 1
            if self._stillborn >= TRIES * len(self._crew.hands):
                raise UserError(
                    f"no worker starts: {problem}; `ray status` and Ray's logs say more"
                )
        self._crew.replace(hand)

    def _stopped(
        self, hand: Hand, decision: Decision, problem: str, *, interrupted: bool = False
    ) -> Attempt:
        """Return the end of an attempt that its worker cannot tell of.

        Its bill is an equal part of the unit's time that is not on the bill of a job yet.
        """
        clock = self._books.ledger.clock
        started, before = hand.since
        left = max(0.0, clock.seconds - before - hand.billed)
        spent = {"started": started, "seconds": round(left / len(hand.decisions), 3)}
        cost = clock.stamp(decision, spent)
        return Attempt(decision, cost, None, problem, problem, interrupted)

    def _write_down_interrupted(self) -> None:
        for hand in self._crew.hands:
            for decision in hand.decisions.values():
                with contextlib.suppress(Exception):
                    stopped = self._stopped(hand, decision, "interrupted", interrupted=True)
                    self._books.ledger.failed(stopped)


def _cause(error: Exception) -> str:
    """Return why a worker died, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "memory" in line.lower() or "died" in line.lower()]
    return (telling or lines or [type(error).__name__])[0].rstrip(".")
