"""A project from Python: plan it, run what is missing, read the scores, release the merge.

    python examples/project_in_python.py path/to/langmerge.yaml

What `langmerge plan`, `run`, `results` and `release` do, as functions to build on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from langmerge.engine import run
from langmerge.errors import GateRefused
from langmerge.plan import plan
from langmerge.results import write_results
from langmerge.upkeep.release import assess, release
from langmerge.workspace import open_workspace


def main() -> None:
    """Bring a project up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path)
    chosen = parser.parse_args()

    workspace = open_workspace(chosen.project)
    for decision in plan(workspace.planner()):
        if decision.action == "run":
            print(f"{decision.job.id}: {decision.reason}")

    results = write_results(workspace, run(workspace.planner()))
    for average in results.averages:
        measured = average.average
        print(f"{average.task} {average.model}: {measured.value:.1f} on {average.split}")
    for comparison in results.comparisons:
        if comparison.against == "combined":
            print(
                f"{comparison.model} minus combined: {comparison.difference:+.1f} "
                f"(p = {comparison.p_value:.3f})"
            )

    try:
        released = release(workspace, assess(workspace), "from Python", force=False)
        print(f"released {released.name}")
    except GateRefused as refusal:
        print(f"not released: {refusal}")


if __name__ == "__main__":
    main()
