"""`langmerge.lock`: which result each job of the project had last; commit it with the project."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from langmerge.canonical import is_digest, parse_json
from langmerge.errors import ProjectError
from langmerge.files import write_atomically
from langmerge.store import Action

LOCK_FILE = "langmerge.lock"
_VERSION = 1
_ENTRY = ("key", "output")


@dataclass
class Lock:
    """Job ids with the key and output digest of their last result."""

    path: Path
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Lock:
        """Read a project's lock file; a missing one is empty.

        Raises:
            ProjectError: if the file is not a lock file this version reads.
        """
        path = folder / LOCK_FILE
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                raise ProjectError(
                    f"{path}: lock version {content['version']!r:.20}, expected {_VERSION}; "
                    "use the langmerge that wrote it, or delete the file to start anew"
                )
            jobs = content["jobs"].items()
            found = {job: {name: entry[name] for name in _ENTRY} for job, entry in jobs}
            for job, entry in found.items():
                # They become names of files that a run may set aside.
                if (
                    wrong := next((n for n in _ENTRY if not is_digest(entry[n])), None)
                ) is not None:
                    raise ProjectError(
                        f"{path}: {job}: its {wrong} is {entry[wrong]!r:.80}, expected a digest of "
                        "64 hex digits; restore the file from git, or delete it: finished jobs are "
                        "found again in the store"
                    )
            return cls(path, found)
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ProjectError(
                f"{path}: not a lock file (a merge conflict?); restore it from git, "
                "or delete it: finished jobs are found again in the store"
            ) from None

    def key_of(self, job_id: str) -> str | None:
        """Return the key of a job's last result."""
        entry = self.jobs.get(job_id)
        return entry["key"] if entry else None

    def update(self, results: Mapping[str, Action], known: Collection[str] | None = None) -> None:
        """Set the last results of jobs, and write the file if that changes it.

        Args:
            results: by job id.
            known: the ids of the project's jobs; others, of a removed language, are forgotten.
        """
        kept = {name: job for name, job in self.jobs.items() if known is None or name in known}
        jobs = {
            **kept,
            **{name: {"key": a.key, "output": a.output} for name, a in results.items()},
        }
        if jobs != self.jobs:
            self.jobs = jobs
            content = {"version": _VERSION, "jobs": jobs}
            write_atomically(self.path, json.dumps(content, indent=1, sort_keys=True) + "\n")
