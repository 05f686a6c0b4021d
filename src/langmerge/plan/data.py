"""What planning needs to know of data files: their identity, and the digests of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of, digest_of_file
from langmerge.data import FileSource, HubSource, Split, read_split
from langmerge.data.config import SplitName
from langmerge.data.sources import missing_file
from langmerge.plan.graph import Job
from langmerge.plan.keys import Facts
from langmerge.project import Project


def sources_of(project: Project, job: Job) -> dict[SplitName, FileSource | HubSource]:
    """Return the sources of a data job's splits."""
    assert job.language is not None
    return project.data_for(job.task, job.language).sources(job.language, project.folder)


def identify_sources(
    project: Project, job: Job, file_digest: Callable[[Path], str] = digest_of_file
) -> dict[str, dict[str, Any]]:
    """Return what identifies each split's source: a file's bytes, a Hub data set's commit.

    Raises:
        DataError: if a file is missing.
    """
    return {
        split: _identity(source, file_digest) for split, source in sources_of(project, job).items()
    }


def read_splits(project: Project, job: Job) -> dict[str, Split]:
    """Read all splits of a data job in the internal form.

    Raises:
        DataError: naming file, line and field of what is wrong.
    """
    assert job.language is not None
    config = project.data_for(job.task, job.language)
    spec = project.tasks[job.task].row_spec(job.language, config.columns, config.language_column)
    return {split: read_split(source, spec) for split, source in sources_of(project, job).items()}


def facts_of(splits: Mapping[str, Split]) -> Facts:
    """Return the facts of a data job: digest and number of rows of each split."""
    return {
        "splits": {
            name: {"digest": split.digest, "rows": len(split)} for name, split in splits.items()
        }
    }


def peek(project: Project, job: Job) -> dict[str, Split] | None:
    """Return the splits a data job would read; None for other jobs, and for data of the Hub.

    Nothing is downloaded for a plan.
    """
    if job.kind != "data":
        return None
    if any(isinstance(source, HubSource) for source in sources_of(project, job).values()):
        return None
    return read_splits(project, job)


def _identity(source: FileSource | HubSource, file_digest: Callable[[Path], str]) -> dict[str, Any]:
    if isinstance(source, FileSource):
        if not source.path.is_file():
            raise missing_file(source.path)
        return {"sha256": file_digest(source.path), "format": source.format}
    folder = Path(source.path)
    is_local = folder.is_dir()
    return {
        "hub": _digest_of_folder(folder, file_digest) if is_local else source.path,
        "name": source.name,
        "split": source.split,
        "revision": source.revision,
    }


def _digest_of_folder(folder: Path, file_digest: Callable[[Path], str]) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of({str(path.relative_to(folder)): file_digest(path) for path in files})
