"""Units of work: the jobs that one process does together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from langmerge.plan import Job
from langmerge.plan.graph import ANCESTOR, INDIVIDUAL

Unit = tuple[Job, ...]
"""Jobs done together over one resident base: several trainings, or any one job."""


def units_of(jobs: Iterable[Job]) -> Iterator[Unit]:
    """Return jobs as units, in their order; trainings that stand together are one unit."""
    for group, members in groupby(jobs, group_of):
        if group:
            yield tuple(members)
        else:
            yield from ((job,) for job in members)


def group_of(job: Job) -> str:
    """Return the same for all jobs that can be trained together; nothing for other jobs.

    Only languages' own adapters train together, and before them what they start from: the models
    they are compared with are trained alone, so that their bill is their own.
    """
    together = job.kind == "train" and job.model in (INDIVIDUAL, ANCESTOR)
    return f"train/{job.model}" if together else ""
