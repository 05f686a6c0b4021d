"""What is kept of a study's groups, and whether it is of the groups as they are now."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from langmerge.base import resolve_base
from langmerge.cache import cache_folder
from langmerge.canonical import canonical_json, digest_of, digest_of_file
from langmerge.errors import UserError
from langmerge.project import Project
from langmerge.seals import look_of_file
from langmerge.study.cells import Group, Plan


def record_path(plan: Plan, group: Group) -> Path:
    """Return the file that keeps a group's results."""
    return plan.study.folder / "cells" / f"{group.name}.json"


def read_record(plan: Plan, group: Group) -> dict[str, Any] | None:
    """Return what is kept of a group: about, seeds, results; None where nothing is."""
    try:
        found: dict[str, Any] = json.loads(record_path(plan, group).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def is_done(plan: Plan, group: Group, seed: int) -> bool:
    """Whether a cell's results are kept, and are those of its project as it is now."""
    record = read_record(plan, group)
    return (
        record is not None
        and seed in record["seeds"]
        and record.get("basis") == basis_of(plan, group)
    )


def basis_of(plan: Plan, group: Group) -> str:
    """Return the digest of what a group's results and its chosen recipe come from.

    That is its project, its data files and its base, wherever they are, and how a recipe is chosen.
    """
    content = plan.project(group, plan.seeds[:1])
    project = Project.model_validate(content)
    files = {
        f"{code}/{split}": _digest(str(source.path), tuple(look_of_file(Path(source.path).stat())))
        for code in group.codes
        for split, source in project.data_for(group.task, code).sources(code, Path("/")).items()
        if Path(source.path).is_file()
    }
    try:
        base: Any = resolve_base(project.base, Path("/"), cache_folder()).identity()
    except UserError:
        base = None  # The cell's run says what is wrong with it.
    choice = None if plan.study.sweep is None else plan.study.sweep.model_dump()
    text = canonical_json({"project": content, "data": files, "base": base, "sweep": choice})
    return digest_of(text.replace(str(plan.source.folder), "."))


@cache
def _digest(path: str, _look: object) -> str:
    """Return a file's digest; it is read again only once it looks changed."""
    return digest_of_file(Path(path))
