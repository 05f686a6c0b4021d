"""How long a plan takes: 1,000 languages x 10 tasks, all done, and then one language changed.

    python benchmarks/planning.py --base CHECKPOINT --out FOLDER [--languages 1000] [--tasks 10]

The project is real; the results in its store are not: one empty object stands for all of them, as
planning opens none. Printed are seconds of `langmerge plan` as a process of its own, from start to
end: without its cache, with it, and with one language's rows changed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from langmerge.canonical import digest_of
from langmerge.plan import Job, job_graph
from langmerge.plan.data import facts_of, read_splits
from langmerge.store import Action
from langmerge.workspace import Workspace, open_workspace


def main() -> None:
    """Make the project, pretend to run it, time its plans."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--languages", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=10)
    options = parser.parse_args()
    project = make_project(options.out, options.base, options.languages, options.tasks)
    workspace = open_workspace(project)
    if not workspace.lock.jobs:
        pretend(workspace)
    cache = workspace.store.root / "plan-cache.json"
    cache.unlink(missing_ok=True)
    timed(project, "all done, without the cache")
    timed(project, "all done")
    changed = project.parent / "data/t0/l0/train.jsonl"
    before = changed.read_text(encoding="utf-8")
    changed.write_text(before + row("l0", "train", 99), encoding="utf-8")
    timed(project, "one language changed")
    changed.write_text(before, encoding="utf-8")


def make_project(folder: Path, base: Path, languages: int, tasks: int) -> Path:
    """Write a project with two rows a split, and return its file."""
    project = folder / "langmerge.yaml"
    if project.exists():
        return project
    codes = [f"l{number}" for number in range(languages)]
    names = [f"t{number}" for number in range(tasks)]
    for name in names:
        for code in codes:
            for split in ("train", "test"):
                path = folder / "data" / name / code / f"{split}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(row(code, split, 0) + row(code, split, 1), encoding="utf-8")
    data = {split: f"data/{{task}}/{{language}}/{split}.jsonl" for split in ("train", "test")}
    settings = {
        "base": str(base.resolve()),
        "languages": codes,
        "tasks": {
            name: {
                "type": "classification",
                "labels": ["a", "b"],
                "data": {split: path.replace("{task}", name) for split, path in data.items()},
            }
            for name in names
        },
        "compare": ["individual"],
    }
    project.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return project


def row(language: str, split: str, number: int) -> str:
    """Return a row as a line of JSON."""
    text = f"{language} {split} {number}"
    return json.dumps({"text": text, "label": "ab"[number % 2]}) + "\n"


def pretend(workspace: Workspace) -> None:
    """Record a result for every job."""
    planner = workspace.planner()
    output = workspace.store.put(lambda folder: (folder / "empty").touch())
    done: dict[str, Action] = {}
    for job in job_graph(workspace.project):
        decision = planner.decide(job)
        assert decision.document is not None
        facts = facts_for(workspace, job)
        action = Action(digest_of(decision.document), decision.document, output, facts)
        done[job.id] = workspace.store.record(action)
        planner.learn(job, action)
    workspace.lock.update(done)


def facts_for(workspace: Workspace, job: Job) -> dict[str, Any]:
    """Return what a job's result would tell later jobs."""
    if job.kind == "data":
        return dict(facts_of(read_splits(workspace.project, job)))
    if job.kind == "evaluate":
        return {"metrics": {"macro_f1": 50.0, "accuracy": 50.0}, "adapter": None, "rows": 2}
    return {"rows": 2, "steps": 1}


def timed(project: Path, what: str) -> None:
    """Run `langmerge plan` and print how long it took, and its last line."""
    command = "from langmerge.cli import main; main()"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", command, "plan", "--project", str(project)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(f"{what:<28} {seconds:6.2f} s  {done.stdout.strip().splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
