"""A data job: files of any form into rows of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langmerge.data import write_rows
from langmerge.engine.bench import Bench, Produced
from langmerge.errors import DataError
from langmerge.plan import Job
from langmerge.plan.data import facts_of, identify_sources, read_splits


def read(bench: Bench, job: Job, document: Mapping[str, Any]) -> Produced:
    """Read a language's files into the store, in their normal form.

    Raises:
        DataError: if they are wrong, or changed meanwhile.
    """
    splits = read_splits(bench.project, job)
    if identify_sources(bench.project, job) != document["sources"]:
        raise DataError(f"{job.id}: a file changed while it was read; run again")
    bench.planner.learn_rows(job, splits)

    def build(folder: Path) -> None:
        for name, split in splits.items():
            write_rows(folder / f"{name}.jsonl", split.rows)

    return Produced(bench.store.put(build), facts_of(splits))
