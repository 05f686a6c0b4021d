"""The scheduler: longest first, where it fits; near the lower bound on recorded durations."""

import importlib.util
import random
from pathlib import Path

import pytest

from langmerge.engine.scheduler import MAX_TOGETHER, Device, Task, assign, choose, ranks

GPU, CPU = Device("gpu", gpu=True, memory=80), Device("cpu", memory=200)


def test_a_rank_is_the_longest_way_to_the_end() -> None:
    tasks = [
        Task("data", 1),
        Task("short", 2, ("data",)),
        Task("long", 5, ("data",)),
        Task("merge", 3, ("short", "long")),
        Task("alone", 4),
    ]

    assert ranks(tasks) == {"data": 9, "short": 5, "long": 8, "merge": 3, "alone": 4}


def test_the_longest_goes_first_and_ties_go_by_name() -> None:
    tasks = [Task("b", 3), Task("a", 3), Task("c", 5)]
    rank = ranks(tasks)

    assert choose(tasks, [CPU], rank, [CPU]) == ((tasks[2],), CPU)
    assert choose(tasks[:2], [CPU], rank, [CPU]) == ((tasks[1],), CPU)


def test_who_wants_a_gpu_waits_for_one_and_others_leave_it_free() -> None:
    train, merge = Task("train", 9, gpu=True), Task("merge", 5)
    rank = ranks([train, merge])

    assert choose([train, merge], [CPU], rank, [CPU, GPU]) == ((merge,), CPU)
    assert choose([merge], [GPU], rank, [CPU, GPU]) is None
    assert choose([merge], [GPU], rank, [GPU]) == ((merge,), GPU)
    assert choose([train], [CPU], rank, [CPU]) == ((train,), CPU)


def test_memory_decides_where_and_whether() -> None:
    small, large = Device("small", gpu=True, memory=40), Device("large", gpu=True, memory=80)
    both = [small, large]
    light, heavy, huge = (Task(str(n), n, gpu=True, memory=n) for n in (10, 60, 100))
    rank = ranks([light, heavy, huge])

    assert choose([light], both, rank, both) == ((light,), small)
    assert choose([heavy], both, rank, both) == ((heavy,), large)
    assert choose([heavy], [small], rank, both) is None
    assert choose([huge], both, rank, both) is None
    unknown = Device("unknown", gpu=True)
    assert choose([huge], [unknown], rank, [unknown]) == ((huge,), unknown)


def test_jobs_alike_go_together_until_the_end_is_near() -> None:
    alike = [Task(f"t{n:02}", 1, together="t") for n in range(100)]
    other = [Task(f"u{n:02}", 1, together="u") for n in range(100)]
    rank = ranks([*alike, *other])

    first, _ = choose([*alike, *other], [CPU], rank, [CPU]) or ((), None)
    assert len(first) == MAX_TOGETHER
    assert {task.together for task in first} == {"t"}
    for ready, devices, size in ((100, 10, 2), (40, 10, 1), (16, 1, 4), (3, 1, 1)):
        crew = [Device(str(n)) for n in range(devices)]
        unit, _ = choose(alike[:ready], crew[:1], rank, crew) or ((), None)
        assert len(unit) == size


@pytest.mark.parametrize(
    ("count", "gpus", "sizes"),
    [(5, 1, [5]), (5, 2, [3, 2]), (5, 5, [1] * 5), (5, 7, [1] * 5), (20, 2, [5, 5])],
)
def test_trainings_are_split_evenly_over_gpus(count: int, gpus: int, sizes: list[int]) -> None:
    alike = [Task(f"t{n:02}", 1, gpu=True, together="t", in_steps=True) for n in range(count)]
    devices = [Device(f"gpu{n}", gpu=True) for n in range(gpus)]

    given = list(assign(alike, devices, ranks(alike), devices))

    assert [len(unit) for unit, _ in given] == sizes
    assert len({device for _, device in given}) == len(sizes)


@pytest.mark.parametrize("devices", [1, 3, 8])
def test_jobs_that_nobody_waits_for_end_within_grahams_bound(devices: int) -> None:
    scheduling = _benchmark()
    draw = random.Random(devices)
    tasks = [Task("data", 0.0), *(Task(f"t{n}", draw.uniform(1, 9), ("data",)) for n in range(40))]
    seconds = {task.id: task.seconds for task in tasks}

    made = scheduling.makespan(tasks, seconds, devices)

    bound = max(sum(seconds.values()) / devices, *seconds.values())
    assert bound - 1e-9 <= made <= (4 / 3 - 1 / (3 * devices)) * bound + 1e-9


@pytest.mark.parametrize("name", ["adapters and merge", "with the combined model"])
def test_recorded_durations_end_within_a_tenth_of_the_bound(name: str) -> None:
    scheduling = _benchmark()
    jobs = scheduling.jobs_of(40, scheduling.COMPARED[name])
    seconds = scheduling.durations(jobs, 40, seed=5)

    for devices in (1, 4, 16, 64):
        row = scheduling.row(jobs, seconds, devices, seed=5)
        assert 0 <= row["over_bound"] <= 0.1, row


def _benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "scheduling.py"
    spec = importlib.util.spec_from_file_location("scheduling", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
