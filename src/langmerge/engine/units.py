"""Units of work: the jobs that one process does together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from langmerge.plan import Job
from langmerge.plan.graph import INDIVIDUAL

Unit = tuple[Job, ...]
"""Jobs done together over one resident base: several trainings, or any one job."""


def units_of(jobs: Iterable[Job]) -> Iterator[Unit]:
    """Return jobs as units, in their order; trainings that stand together are one unit.

    Only languages' own adapters train together: the models they are compared with are trained
    alone, so that their bill is their own.
    """
    for is_group, members in groupby(jobs, _trains_in_a_group):
        if is_group:
            yield tuple(members)
        else:
            yield from ((job,) for job in members)


def _trains_in_a_group(job: Job) -> bool:
    return job.kind == "train" and job.model == INDIVIDUAL
