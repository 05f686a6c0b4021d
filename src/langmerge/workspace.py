"""A project opened for work: its file, its base model, its store and its lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from langmerge.base import ResolvedBase, resolve_base
from langmerge.cache import cache_folder
from langmerge.errors import UserError
from langmerge.plan import Planner
from langmerge.plan.cache import PlanCache
from langmerge.plan.lock import Lock
from langmerge.plan.scope import EVERYTHING, Scope
from langmerge.project import Project, load_project
from langmerge.store import Store


@dataclass(frozen=True)
class Workspace:
    """What every verb that works on a project starts from."""

    project: Project
    base: ResolvedBase
    store: Store
    lock: Lock
    baselines: bool = False
    scope: Scope = EVERYTHING
    remake_ancestor: bool = False

    def planner(self, cache: PlanCache | None = None) -> Planner:
        """Return a fresh planner; with a cache, for a plan that nothing is run from."""
        return Planner(
            self.project, self.base, self.store, self.lock, self.baselines, self.scope, cache,
            self.remake_ancestor,
        )  # fmt: skip


def open_workspace(
    path: Path,
    baselines: bool = False,
    languages: Iterable[str] = (),
    steps: Iterable[str] = (),
    *,
    remake_ancestor: bool = False,
) -> Workspace:
    """Read the project file and resolve what it names; no model is loaded.

    Args:
        path: the project file.
        baselines: retrain baselines that newer data made stale.
        languages: train these only; none means all.
        steps: do only `train`, `merge` or `evaluate`; none means all.
        remake_ancestor: make anew what all languages start from.

    Raises:
        UserError: if a language or step is not known, or there is no ancestor to make anew.
        ProjectError: if the project file or the lock is wrong.
        BaseModelError: if the base model is not there.
    """
    project = load_project(path)
    if remake_ancestor and not project.has_ancestor:
        raise UserError(
            f"--remake-ancestor: {path} has none: adapter.init is {project.adapter.init}, "
            "not ancestor"
        )
    base = resolve_base(project.base, project.folder, cache_folder())
    return Workspace(
        project, base, open_store(project), Lock.load(project.folder), baselines,
        Scope.of(project, languages, steps), remake_ancestor,
    )  # fmt: skip


def open_store(project: Project) -> Store:
    """Return the store of a project: in a folder beside its file, or shared at a URL.

    Raises:
        MissingExtraError: if the package that speaks the URL's protocol is not installed.
    """
    if project.store is None:
        return Store(project.store_folder)
    from langmerge.shared_store import SharedStore

    return SharedStore(project.store_folder, project.store)
