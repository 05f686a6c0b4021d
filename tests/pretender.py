"""A project that is planned for real and only pretends to run: each job's object is its own key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from projects import rows, write_rows

from langmerge.base import ResolvedBase
from langmerge.canonical import digest_of
from langmerge.data import write_rows as save_rows
from langmerge.plan import Decision, Planner, plan
from langmerge.plan.data import peek
from langmerge.plan.lock import Lock
from langmerge.plan.scope import Scope
from langmerge.project import load_project
from langmerge.store import Action, Store

BASE = ResolvedBase("folder", "base", "w" * 64, "t" * 64)


class Pretender:
    """Plans a project and pretends to run it."""

    def __init__(self, project_file: Path) -> None:
        self.project_file = project_file

    def planner(
        self,
        base: ResolvedBase = BASE,
        baselines: bool = False,
        languages: tuple[str, ...] = (),
        steps: tuple[str, ...] = (),
        remake_ancestor: bool = False,
    ) -> Planner:
        project = load_project(self.project_file)
        scope = Scope.of(project, languages, steps)
        store, lock = Store(project.store_folder), Lock.load(project.folder)
        return Planner(
            project, base, store, lock, baselines, scope, remake_ancestor=remake_ancestor
        )

    def set(self, section: str) -> None:
        """Add a section to the project file."""
        text = self.project_file.read_text(encoding="utf-8")
        self.project_file.write_text(f"{text}{section}\n", encoding="utf-8")

    def change_rows(self, language: str, count: int, split: str = "train") -> None:
        """Give a language as many rows as `count`; the first ones stay what they were."""
        path = self.project_file.parent / f"data/classification/{language}/{split}.jsonl"
        write_rows(path, rows("classification", language, split, count))

    def plan(self, **options: Any) -> dict[str, Decision]:
        return {d.job.id: d for d in plan(self.planner(**options))}

    def run(self, **options: Any) -> list[str]:
        """Do what the plan says until it says nothing; return the ids of the jobs that ran."""
        ran: list[str] = []
        while True:
            planner = self.planner(**options)
            decisions = plan(planner)
            done: dict[str, Action] = {}
            for decision in decisions:
                if decision.result is not None:
                    done[decision.job.id] = decision.result
                elif decision.action == "run" and decision.document is not None:
                    done[decision.job.id] = self._pretend(planner, decision)
                    ran.append(decision.job.id)
            planner.lock.update(done)
            if all(decision.action != "run" for decision in decisions):
                return ran

    def _pretend(self, planner: Planner, decision: Decision) -> Action:
        key = digest_of(decision.document)
        splits = peek(planner.project, decision.job) or {}

        def build(folder: Path) -> None:
            (folder / "x").write_text(key, encoding="utf-8")
            for name, split in splits.items():
                save_rows(folder / f"{name}.jsonl", split.rows)

        output = planner.store.put(build)
        facts: Mapping[str, Any] = planner.facts.get(decision.job.id, {})
        if decision.job.kind == "evaluate":
            facts = {"metrics": {"macro_f1": float(len(decision.job.id))}, "adapter": None}
        return planner.store.record(Action(key, decision.document or {}, output, facts))
