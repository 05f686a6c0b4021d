"""Merging over languages, over tasks, or over both, from the same adapters.

Every (task, language) has an adapter. Merged over languages they make a model per task; over tasks,
a model per language; over both, one model for everything. Each is asked every task's and
language's test rows that it serves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langmerge.canonical import digest_of
from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import individual_scores, sample
from langmerge.choose.journal import Journal
from langmerge.choose.objective import UnitName
from langmerge.choose.racing import Racing
from langmerge.files import write_atomically
from langmerge.project import PROJECT_FILE
from langmerge.statistics import Sample, bootstrap_mean, paired_bootstrap
from langmerge.study.cells import Group, Plan
from langmerge.study.config import CROSS
from langmerge.study.records import basis_of, is_done
from langmerge.sweep.ground import Ground, open_ground
from langmerge.workspace import open_workspace

if TYPE_CHECKING:
    from langmerge.adapter import Adapter
    from langmerge.choose.bench import Bench, Unit
    from langmerge.study.run import Clock

INDIVIDUAL = "individual"
KINDS = ("over languages", "over tasks", "over both")
_SEED = 0


@dataclass(frozen=True)
class Crossing:
    """All tasks of a model, a variant and a set of languages."""

    plan: Plan
    groups: tuple[Group, ...]

    @property
    def name(self) -> str:
        """Its file's name."""
        first = self.groups[0]
        return "--".join((CROSS, first.model, first.variant, first.languages))

    @property
    def path(self) -> Path:
        """The file that keeps what came out."""
        return self.plan.study.folder / "cells" / f"{self.name}.json"

    @property
    def basis(self) -> str:
        """The digest of the recipe and of what the groups' results come from."""
        groups = {group.name: basis_of(self.plan, group) for group in self.groups}
        return digest_of({"recipe": dict(self.plan.study.cross or {}), "groups": groups})

    @property
    def is_ready(self) -> bool:
        """Whether the first seed's adapters of all tasks are done."""
        return all(is_done(self.plan, group, self.plan.seeds[0]) for group in self.groups)

    @property
    def is_done(self) -> bool:
        """Whether what is kept came out of the groups as they are now."""
        return self.is_ready and self.record().get("basis") == self.basis

    def record(self) -> dict[str, Any]:
        """Return what is kept; nothing where nothing is, or it cannot be read."""
        try:
            found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def grounds(self) -> dict[str, Ground]:
        """Open every task's project; their adapters are trained."""
        found = {}
        for group in self.groups:
            path = self.plan.folder(group) / PROJECT_FILE
            found[group.task] = open_ground(open_workspace(path))
        return found


def crossings(plan: Plan) -> Iterator[Crossing]:
    """Yield all tasks of every model, variant and set of languages, where there are several."""
    if plan.study.cross is None:
        return
    found: dict[tuple[str, str, str], list[Group]] = {}
    for group in plan.groups:
        found.setdefault((group.model, group.variant, group.languages), []).append(group)
    for groups in found.values():
        if len(groups) > 1:
            yield Crossing(plan, tuple(groups))


def cross(crossing: Crossing, clock: Clock, tell: Callable[[str], None]) -> None:
    """Merge over languages, tasks and both, ask the test rows, and keep what came out.

    Raises:
        MergeError: if the recipe is wrong, or these adapters cannot be merged by it.
        OutOfTime: if the time is up; answers so far are kept.
    """
    settings = dict(crossing.plan.study.cross or {})
    grounds = crossing.grounds()
    first = next(iter(grounds.values()))
    racing = Racing(looks=())
    identity = digest_of(
        {
            "recipe": settings,
            "ground": {t: ground.journal("test", racing).stem for t, ground in grounds.items()},
        }
    )
    known = crossing.record()
    if (known.get("identity"), known.get("basis")) == (identity, crossing.basis):
        return
    units = [unit for ground in grounds.values() for unit in ground.units("test", racing)]
    journal = Journal(first.workspace.store.root / "sweeps" / f"{identity}.jsonl")
    with first.bench() as bench:
        kept = {
            (task, code): found
            for task, ground in grounds.items()
            for code, found in _adapters(ground).items()
        }
        groups: dict[str, dict[str, Any]] = {
            task: {code: kept[task, code] for code in first.languages} for task in grounds
        }
        for code in first.languages:
            groups[f"tasks/{code}"] = {task: kept[task, code] for task in grounds}
        groups["both"] = {f"{task}/{code}": found for (task, code), found in kept.items()}
        bench.adapters = groups
        # Adapters of several tasks have no ancestor in common: those merge whole.
        bench.ancestors = {
            task: _loaded(ground, digest)
            for task, ground in grounds.items()
            for digest in ground.ancestors().values()
        }
        tell(f"{crossing.name}: {INDIVIDUAL}")
        individual_scores(bench, units, journal)
        samples = {
            INDIVIDUAL: {
                name: sample(unit, journal.of(f"individual/{name}").answers[str(name)])
                for unit in units
                for name in (unit.name,)
            }
        }
        for kind in KINDS:
            tell(f"{crossing.name}: {kind}")
            answered = _answered(
                bench, units, kind,
                recipe=Candidate(settings), seed=first.seed, journal=journal, clock=clock,
            )  # fmt: skip
            samples[kind] = dict(answered)
    _write(crossing, settings, identity, samples, first)


def _adapters(ground: Ground) -> dict[str, Adapter]:
    (task,) = ground.tasks
    return {code: _loaded(ground, digest) for code, digest in ground.adapters()[task].items()}


def _loaded(ground: Ground, digest: str) -> Adapter:
    from langmerge.adapter import Adapter
    from langmerge.choose.bench import resident

    return resident(Adapter.load(ground.workspace.store.object(digest)))


def _answered(
    bench: Bench,
    units: Sequence[Unit],
    kind: str,
    *,
    recipe: Candidate,
    seed: int,
    journal: Journal,
    clock: Clock,
) -> Iterator[tuple[UnitName, Sample]]:
    """Yield every unit's metric by the models of a kind."""

    def place(unit: Unit) -> str:
        of = {"over languages": unit.name.task, "over tasks": f"tasks/{unit.name.language}"}
        return of.get(kind, "both")

    for unit in sorted(units, key=place):
        clock.check()
        key, name, group = f"{kind}/{unit.name}", str(unit.name), place(unit)
        known = journal.of(key)
        if len(known.answers.get(name, ())) < len(unit.rows):
            members = tuple(bench.adapters[group])
            bench.put_on(group, recipe.recipe(members, seed))
            answers = bench.answer(unit, 0, len(unit.rows))
            journal.add(key, key, {name: answers}, seconds=0.0, size=bench.size)
        yield unit.name, sample(unit, known.answers[name])


def _write(
    crossing: Crossing,
    settings: Mapping[str, Any],
    identity: str,
    samples: Mapping[str, Mapping[UnitName, Sample]],
    ground: Ground,
) -> None:
    options: dict[str, Any] = {
        "seed": _SEED,
        "resamples": ground.workspace.project.evaluate.resamples,
        "confidence": ground.workspace.project.evaluate.confidence,
    }
    own = {str(name): found for name, found in samples[INDIVIDUAL].items()}
    rows = {}
    for kind, of_kind in samples.items():
        named = {str(name): found for name, found in of_kind.items()}
        tasks = {name.task for name in of_kind}
        mean = bootstrap_mean(named, **options)
        row: dict[str, Any] = {
            "tasks": {
                task: bootstrap_mean(
                    {str(n): found for n, found in of_kind.items() if n.task == task}, **options
                ).value
                for task in sorted(tasks)
            },
            "mean": [mean.value, mean.low, mean.high],
        }
        if kind != INDIVIDUAL:
            paired = paired_bootstrap(named, own, **options)
            row["minus individual"] = [paired.difference, paired.low, paired.high, paired.p_value]
        rows[kind] = row
    first = crossing.groups[0]
    record = {
        "about": {
            "model": first.model, "variant": first.variant, "languages": first.languages,
        },
        "recipe": dict(settings),
        "identity": identity,
        "basis": crossing.basis,
        "seed": ground.seed,
        "rows": rows,
    }  # fmt: skip
    write_atomically(crossing.path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
