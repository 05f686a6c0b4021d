"""Engines carry out a plan: the local one in this process, over one resident base; the Ray one.

`books` decides and writes down, `carrying` does the work of a unit; an engine brings them together.
"""

from __future__ import annotations

from collections.abc import Mapping

from langmerge.engine.cluster import Cluster
from langmerge.engine.outcomes import JobResult, Observer, Run
from langmerge.plan import Planner

__all__ = ["Cluster", "JobResult", "Observer", "Run", "run"]


def run(
    planner: Planner,
    observer: Observer | None = None,
    *,
    wait: bool = True,
    cluster: Cluster | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Run:
    """Do what the plan says, in this process or on a cluster; see the engines' own `run`."""
    if cluster is None:
        from langmerge.engine.local import run as run_here

        return run_here(planner, observer, wait=wait)
    from langmerge.engine.ray import run as run_there

    return run_there(planner, observer, wait=wait, cluster=cluster, seconds=seconds)
