"""How long a plan takes on 1 to 64 devices: the scheduler of the Ray engine, simulated.

    python benchmarks/scheduling.py [--languages 100] [--json OUT.json] [--markdown OUT.md]

The jobs are those of a real project file: every language's adapter, one merge, and evaluations of
the base, the adapters and the merge; then the same with the combined model, whose training is one
job that nothing can divide. Their durations are
recorded ones (`benchmarks/results/upkeep.json`: ten updates on one device), drawn with a seed and
scaled: languages differ in size (log-normal, sigma 0.6), the merge and the combined model grow with
the number of languages. The scheduler sees estimates that are wrong by a log-normal factor of sigma
0.2. Workers start at once, and nothing dies.

The lower bound is the largest of the whole work divided by the devices, the longest chain, and what
the merge forces: all trainings, divided by the devices, are before it, its evaluations after it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from langmerge.engine.scheduler import Device, Task, assign, ranks, task_of
from langmerge.plan import Job, job_graph
from langmerge.plan.graph import BASELINES
from langmerge.project import load_project

RECORDED = Path(__file__).parent / "results" / "upkeep.json"
DEVICES = (1, 2, 4, 8, 16, 32, 64)
COMPARED = {
    "adapters and merge": ("base", "individual"),
    "with the combined model": ("base", "individual", "combined"),
}
_LANGUAGES_RECORDED = 5


def main() -> None:
    """Simulate, print the table, write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--languages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    found, tables = {}, []
    for name, compare in COMPARED.items():
        jobs = jobs_of(options.languages, compare)
        seconds = durations(jobs, options.languages, options.seed)
        found[name] = [row(jobs, seconds, count, options.seed) for count in DEVICES]
        hours = sum(seconds.values()) / 3600
        title = f"{options.languages} languages, {name}: {len(jobs)} jobs, {hours:.2f} device-hours"
        tables.append(markdown(title, found[name]))
    text = "\n\n".join(tables)
    print(text)
    if options.json:
        content = {"languages": options.languages, "seed": options.seed, **found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(f"{text}\n", encoding="utf-8")


def jobs_of(languages: int, compare: Sequence[str]) -> list[Job]:
    """Return the jobs of a project with one task; no data is needed for that."""
    content = {
        "base": "base",
        "languages": [f"l{number}" for number in range(languages)],
        "tasks": {"topic": {"type": "classification", "labels": ["a", "b"], "data": "d/{split}"}},
        "compare": list(compare),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "langmerge.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return job_graph(load_project(path))


def durations(jobs: Sequence[Job], languages: int, seed: int) -> dict[str, float]:
    """Return the seconds of every job, drawn from recorded ones."""
    draw = random.Random(seed)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["rows"]
    updates = [r["seconds"] for r in recorded if r["mode"] == "scratch" and ":" in r["update"]]
    growth = languages / _LANGUAGES_RECORDED
    size = {job.language: draw.lognormvariate(0, 0.6) for job in jobs if job.kind == "data"}
    mean_size = sum(size.values()) / languages

    def of(job: Job) -> float:
        update = draw.choice(updates)
        if job.kind == "data":
            return update["data"] / _LANGUAGES_RECORDED
        if job.kind == "merge":
            return update["merge"] * growth
        if job.kind == "train" and job.model in BASELINES:
            return update["train combined"] * growth * mean_size
        if job.kind == "train":
            return update["train adapters"] * size[job.language]
        return update["evaluate merged:ties"] / _LANGUAGES_RECORDED * size[job.language]

    return {job.id: of(job) for job in jobs}


def row(
    jobs: Sequence[Job], seconds: Mapping[str, float], devices: int, seed: int
) -> dict[str, Any]:
    """Simulate the jobs on some devices."""
    error = random.Random(seed + 1)
    guesses = {name: each * error.lognormvariate(0, 0.2) for name, each in seconds.items()}
    tasks = [task_of(job, guesses, 0) for job in jobs]
    made = makespan(tasks, seconds, devices)
    work = sum(seconds[job.id] for job in jobs if job.kind != "data") / devices
    exact = [replace(task, seconds=seconds[task.id]) for task in tasks]
    chain = max(ranks(exact).values())
    merging = through_the_merge(jobs, seconds, devices)
    bound = max(work, chain, merging)
    return {
        "devices": devices,
        "makespan_seconds": round(made, 1),
        "work_per_device_seconds": round(work, 1),
        "longest_chain_seconds": round(chain, 1),
        "through_the_merge_seconds": round(merging, 1),
        "lower_bound_seconds": round(bound, 1),
        "over_bound": round(made / bound - 1, 4),
        "over_work_and_chain": round(made / max(work, chain) - 1, 4),
        "busy": round(work / made, 4),
    }


def through_the_merge(jobs: Sequence[Job], seconds: Mapping[str, float], devices: int) -> float:
    """Return the least time from the first training to the last evaluation of the merged model."""
    merge = next(job for job in jobs if job.kind == "merge")
    before = [seconds[name] for name in merge.needs]
    after = [seconds[job.id] for job in jobs if merge.id in job.needs]
    first, last = (max(sum(part) / devices, *part) for part in (before, after))
    return first + seconds[merge.id] + last


def makespan(tasks: Sequence[Task], seconds: Mapping[str, float], count: int) -> float:
    """Return when the last job ends, in seconds; data is read one after the other by the driver."""
    devices = [Device(f"{number:02}", gpu=True) for number in range(count)]
    by_name = {device.name: device for device in devices}
    rank = ranks(tasks)
    missing = {task.id: set(task.needs) for task in tasks}
    followers: dict[str, list[Task]] = {task.id: [] for task in tasks}
    for task in tasks:
        for need in task.needs:
            followers[need].append(task)
    ends: list[tuple[float, str, str]] = []  # when, which task, which device becomes idle
    read = 0.0
    for task in tasks:
        if not task.needs:
            read += seconds[task.id]
            heapq.heappush(ends, (read, task.id, ""))
    ready: dict[str, Task] = {}
    idle = set(by_name)
    now = 0.0
    while ends:
        now, done, device = heapq.heappop(ends)
        if device:
            idle.add(device)
        for task in followers[done]:
            missing[task.id].discard(done)
            if not missing[task.id]:
                ready[task.id] = task
        if ends and ends[0][0] == now:
            continue
        able = [task for task in ready.values() if now >= read or not task.in_steps]
        free = [by_name[name] for name in sorted(idle)]
        for unit, place in assign(able, free, rank, devices):
            idle.discard(place.name)
            end = now
            for task in unit:
                end += seconds[task.id]
                last = task is unit[-1]
                heapq.heappush(ends, (end, task.id, place.name if last else ""))
                del ready[task.id]
    return now


def markdown(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table."""
    lines = [
        f"{title}.",
        "",
        "| devices | makespan | work / devices | longest chain | through the merge | over these "
        "| over the first two | busy |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each['devices']} | {each['makespan_seconds']:.0f} s "
        f"| {each['work_per_device_seconds']:.0f} s | {each['longest_chain_seconds']:.0f} s "
        f"| {each['through_the_merge_seconds']:.0f} s | {each['over_bound']:.1%} "
        f"| {each['over_work_and_chain']:.1%} | {each['busy']:.0%} |"
        for each in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
