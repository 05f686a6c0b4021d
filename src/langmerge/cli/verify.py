"""`langmerge verify`: check the store against its digests, keys, releases and the lock."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, out
from langmerge.errors import StorageError
from langmerge.plan.lock import Lock
from langmerge.project import load_project
from langmerge.upkeep.verify import verify as verify_store
from langmerge.workspace import open_store


def verify(
    project: ProjectOption = DEFAULT_PROJECT,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged files aside, to be made again.")
    ] = False,
) -> None:
    """Check every stored byte, every key, and what lock and releases name; exit 2 if wrong."""
    opened = load_project(project)
    store, lock = open_store(opened), Lock.load(opened.folder)
    problems = verify_store(store, lock, repair=repair)
    for problem in problems:
        out.print(Text(problem.message), soft_wrap=True)
    if problems:
        aside = sum(problem.set_aside is not None for problem in problems)
        raise StorageError(
            f"{store.root}: {len(problems)} found wrong and {aside} set aside, expected none; "
            "each line says the fix"
        )
    out.print(
        f"In order: {len(store.objects())} objects, {len(store.actions())} actions, "
        f"{len(store.releases())} releases and {len(lock.jobs)} jobs in the lock."
    )
