"""Which job next, on which device: ready jobs by the longest way to the end, where they fit.

A job's *rank* is its own time and that of the longest chain of jobs that waits for it (Hu 1961; the
upward rank of HEFT, Topcuoglu et al. 2002). For jobs nobody waits for, this is longest processing
time first, whose makespan is at most 4/3 - 1/(3m) of the best on m devices (Graham 1969). Ranks
follow estimates; wrong ones cost time, never a result.

Nothing here knows of processes or clusters: the Ray engine and `benchmarks/scheduling.py` both ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langmerge.plan import Job
from langmerge.plan.graph import ANCESTOR, INDIVIDUAL

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
    """

    id: str
    seconds: float
    needs: tuple[str, ...] = ()
    gpu: bool = False
    memory: int = 0
    together: str = ""


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
    together = ""
    if job.kind == "train" and job.model in (INDIVIDUAL, ANCESTOR):
        together = f"train/{job.task}/{job.model}/{job.seed}"
    elif job.kind == "evaluate":
        together = f"evaluate/{job.task}/{job.model}/{job.seed}"
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


def choose(
    ready: Sequence[Task],
    idle: Sequence[Device],
    rank: Mapping[str, float],
    devices: Sequence[Device],
) -> tuple[tuple[Task, ...], Device] | None:
    """Return the next unit of work and its device; None if nothing that is ready fits.

    A task that wants no GPU goes to a device without one, unless there is none in the cluster.

    Args:
        ready: tasks whose needs are done.
        idle: devices that do nothing.
        rank: of all tasks.
        devices: all devices, idle or not.
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
            return _with_its_like(task, ready, rank, _able(task, devices, any_gpu)), device
    return None


def _able(task: Task, devices: Sequence[Device], any_gpu: bool) -> int:
    return sum(device.fits(task, any_gpu=any_gpu) for device in devices)


def _with_its_like(
    first: Task, ready: Sequence[Task], rank: Mapping[str, float], devices: int
) -> tuple[Task, ...]:
    """Return a task and others that are better done with it.

    A unit takes a quarter of a device's share of them at most: the more is done, the smaller the
    units, so that all devices end together (guided self-scheduling, Polychronopoulos & Kuck 1987).
    """
    alike = [task for task in ready if task.together and task.together == first.together]
    room = sum(task.seconds for task in alike) / (4 * devices) - first.seconds
    unit = [first]
    for task in sorted(alike, key=lambda task: (-rank[task.id], task.id)):
        if task.id != first.id and task.seconds <= room and len(unit) < MAX_TOGETHER:
            unit.append(task)
            room -= task.seconds
    return tuple(unit)
