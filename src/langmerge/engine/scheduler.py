"""Which job next, on which device: ready jobs by the longest way to the end, where they fit.

A job's *rank* is its own time and that of the longest chain of jobs that waits for it (Hu 1961; the
upward rank of HEFT, Topcuoglu et al. 2002). For jobs nobody waits for, this is longest processing
time first, whose makespan is at most 4/3 - 1/(3m) of the best on m devices (Graham 1969). Ranks
follow estimates; wrong ones cost time, never a result.

Nothing here knows of processes or clusters: the Ray engine and `benchmarks/scheduling.py` both ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from langmerge.engine.units import group_of
from langmerge.plan import Job

MAX_TOGETHER = 8
"""Jobs of one unit at most: what is lost with a worker, and what balance costs at the end."""


_USUAL_SECONDS = {"data": 1.0, "train": 60.0, "merge": 20.0, "evaluate": 10.0}
"""What jobs take in relation to each other, where no earlier run tells."""


@dataclass(frozen=True)
class Task:
    """A job as the scheduler sees it.

    Attributes:
        id: the job's.
        seconds: how long it probably takes.
        needs: ids of the jobs before it.
        gpu: whether it wants a GPU, where there are any.
        memory: bytes it needs on the device.
        together: jobs with the same value are better done together; empty for none.
        in_steps: whether a GPU does those together in the same steps, and so sooner than one after
            the other.
    """

    id: str
    seconds: float
    needs: tuple[str, ...] = ()
    gpu: bool = False
    memory: int = 0
    together: str = ""
    in_steps: bool = False


@dataclass(frozen=True)
class Device:
    """What does one unit of work at a time.

    Attributes:
        name: for people.
        gpu: whether it has a GPU.
        memory: bytes it can use; 0 if that is not known.
    """

    name: str
    gpu: bool = False
    memory: int = 0

    def fits(self, task: Task, *, any_gpu: bool) -> bool:
        """Return whether a task can go here; `any_gpu` says whether any device has a GPU."""
        enough = self.memory == 0 or task.memory <= self.memory
        return enough and (self.gpu or not (task.gpu and any_gpu))


def task_of(job: Job, seconds: Mapping[str, float], weights: int) -> Task:
    """Return a job as a task.

    Args:
        job: the job.
        seconds: how long jobs probably take, by job id, as far as that is known.
        weights: bytes of the base model.
    """
    group = group_of(job)
    together = f"evaluate/{job.task}/{job.model}/{job.seed}" if job.kind == "evaluate" else group
    # A merge that needs rows chooses its recipe by them, on the base.
    chooses = job.kind == "merge" and any(need.startswith("data/") for need in job.needs)
    on_base = job.kind in ("train", "evaluate") or chooses
    return Task(
        job.id,
        seconds.get(job.id, _USUAL_SECONDS[job.kind]),
        job.needs,
        gpu=on_base,
        memory=weights if on_base else 0,
        together=together,
        in_steps=bool(group),
    )


def ranks(tasks: Iterable[Task]) -> dict[str, float]:
    """Return every task's rank in seconds; tasks come after those they need."""
    found: dict[str, float] = {}
    behind: dict[str, float] = {}
    for task in reversed(list(tasks)):
        found[task.id] = task.seconds + behind.get(task.id, 0.0)
        for need in task.needs:
            behind[need] = max(behind.get(need, 0.0), found[task.id])
    return found


def assign(
    ready: Sequence[Task],
    idle: Sequence[Device],
    rank: Mapping[str, float],
    devices: Sequence[Device],
) -> Iterator[tuple[tuple[Task, ...], Device]]:
    """Yield units of work and their devices, until nothing that is ready fits what is idle.

    Args: as of `choose`.
    """
    begun: list[tuple[Task, ...]] = []
    while chosen := choose(ready, idle, rank, devices, begun):
        unit, device = chosen
        yield unit, device
        begun.append(unit)
        ready = [task for task in ready if task not in unit]
        idle = [other for other in idle if other != device]


def choose(
    ready: Sequence[Task],
    idle: Sequence[Device],
    rank: Mapping[str, float],
    devices: Sequence[Device],
    begun: Sequence[tuple[Task, ...]] = (),
) -> tuple[tuple[Task, ...], Device] | None:
    """Return the next unit of work and its device; None if nothing that is ready fits.

    A task that wants no GPU goes to a device without one, unless there is none in the cluster.

    Args:
        ready: tasks whose needs are done.
        idle: devices that do nothing.
        rank: of all tasks.
        devices: all devices, idle or not.
        begun: the units that were given at this very moment.
    """
    any_gpu = any(device.gpu for device in devices)
    any_plain = any(not device.gpu for device in devices)
    for task in sorted(ready, key=lambda task: (-rank[task.id], task.id)):
        fitting = [
            device
            for device in idle
            if device.fits(task, any_gpu=any_gpu) and (task.gpu or not device.gpu or not any_plain)
        ]
        if fitting:
            # The smallest that does, so that large ones stay free for what needs them.
            device = min(fitting, key=lambda device: device.memory)
            able = [other for other in devices if other.fits(task, any_gpu=any_gpu)]
            if task.in_steps and device.gpu:
                given = [len(unit) for unit in begun if unit[0].together == task.together]
                return _in_steps(task, ready, rank, len(able), given), device
            return _one_by_one(task, ready, rank, len(able)), device
    return None


def _like(first: Task, ready: Sequence[Task], rank: Mapping[str, float]) -> list[Task]:
    """Return the tasks that are better done with one, by rank."""
    alike = [task for task in ready if task.together and task.together == first.together]
    alike.sort(key=lambda task: (-rank[task.id], task.id))
    return [task for task in alike if task.id != first.id]


def _in_steps(
    first: Task,
    ready: Sequence[Task],
    rank: Mapping[str, float],
    devices: int,
    given: Sequence[int],
) -> tuple[Task, ...]:
    """Return a task and an even share of those that a GPU does with it in the same steps.

    The larger the units, the less work it is; so there are as few as keep all devices at work.
    `given` has the sizes of the units of them that others have just got.
    """
    others = _like(first, ready, rank)
    rounds = ceil((1 + len(others) + sum(given)) / (MAX_TOGETHER * devices))
    units = max(1, devices * rounds - len(given))
    share = sum(task.seconds for task in (first, *others)) / units
    unit, room = [first], share - first.seconds
    for task in others:
        if len(unit) == MAX_TOGETHER:
            break
        if task.seconds / 2 <= room:  # closer to the share with it than without
            unit.append(task)
            room -= task.seconds
    return tuple(unit)


def _one_by_one(
    first: Task, ready: Sequence[Task], rank: Mapping[str, float], devices: int
) -> tuple[Task, ...]:
    """Return a task and others that are better done on the same device after it.

    A unit takes a quarter of a device's share of them at most: the more is done, the smaller the
    units, so that all devices end together (guided self-scheduling, Polychronopoulos & Kuck 1987).
    """
    others = _like(first, ready, rank)
    room = sum(task.seconds for task in (first, *others)) / (4 * devices) - first.seconds
    unit = [first]
    for task in others:
        if task.seconds <= room and len(unit) < MAX_TOGETHER:
            unit.append(task)
            room -= task.seconds
    return tuple(unit)
