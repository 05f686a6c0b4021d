"""What would be released, what the gate says of it, releasing it, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from langmerge.engine.holding import held
from langmerge.errors import GateRefused, ProjectError, StorageError
from langmerge.plan import Decision, plan
from langmerge.plan.graph import ANCESTOR, evaluate_id, merge_id, merged, train_id
from langmerge.plan.keys import differences
from langmerge.project import Project
from langmerge.store import Store
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.upkeep.gate import Answers, GateResult, judge
from langmerge.upkeep.releases import ByLanguage, Candidate, Release, Releases
from langmerge.upkeep.serving import refuse_foreign, serve
from langmerge.workspace import Workspace


@dataclass(frozen=True)
class Assessment:
    """A candidate beside the current release.

    Attributes:
        candidate: what would be released.
        current: the current release; None before the first.
        changes: what differs between them, one line each; empty before the first.
        gate: what the gate says.
    """

    candidate: Candidate
    current: Release | None
    changes: list[str]
    gate: GateResult

    @property
    def is_released(self) -> bool:
        """Whether the candidate is the current release's very model."""
        return self.current is not None and self.candidate.is_same_model(self.current)

    def to_json(self) -> dict[str, Any]:
        """Return it as `langmerge diff --json` prints it."""
        return {
            "current": self.current and self.current.name,
            "candidate": self.candidate.model_dump(mode="json"),
            "changes": self.changes,
            "gate": self.gate.model_dump(mode="json"),
        }


def assess(workspace: Workspace) -> Assessment:
    """Compare the last run's merged model with the current release; nothing is run or written.

    Raises:
        ProjectError: if the model is not up to date, or a language has no rows for the gate.
        StorageError: if the current release or its predictions are damaged.
    """
    store = workspace.store
    candidate = _candidate(workspace)
    current = Releases(store).current()
    if current is None:
        return Assessment(candidate, None, [], judge(workspace.project, {}, None))
    _check_objects(store, current, _digests(current.predictions))
    answers = {
        (task, language): Answers(
            _predictions(store, digest),
            _predictions(store, current.predictions[task][language]),
            _gate_split(workspace.project, task, language),
        )
        for task, languages in candidate.predictions.items()
        for language, digest in languages.items()
        if language in current.predictions.get(task, {})
    }
    gate = judge(workspace.project, answers, current.name)
    return Assessment(candidate, current, list(_changes(current, candidate)), gate)


def release(workspace: Workspace, found: Assessment, message: str, force: bool) -> Release:
    """Release an assessed candidate and serve it; one that is released already is only served.

    Args:
        workspace: the project, opened.
        found: the candidate, and what the gate says of it.
        message: why, for the history.
        force: release what the gate refuses; that is recorded.

    Raises:
        GateRefused: if the gate refuses, without `force`.
        StorageError: if an object is damaged, the project is in use or cannot be written.
    """
    refusals = [] if found.is_released else found.gate.reasons("refuse")
    if refusals and not force:
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise GateRefused(
            f"the gate refuses: {refusals[0]}{more}; mend the data or the recipe, "
            "or release it all the same with --force"
        )
    store, releases = workspace.store, Releases(workspace.store)
    with held(store.root, lock="release"), store.lease("release"):
        if releases.current() != found.current:
            raise StorageError(
                f"{releases.folder}: the current release changed meanwhile; "
                "see `langmerge history`, and release again"
            )
        refuse_foreign(workspace.project)
        _check_objects(store, found.candidate, found.candidate.objects)
        made = found.current
        if made is None or not found.is_released:
            made = releases.add(
                {
                    **found.candidate.model_dump(),
                    "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "message": message,
                    "gate": found.gate,
                    "forced": bool(refusals),
                    "previous": found.current and found.current.name,
                }
            )
            releases.make_current(made)
        serve(workspace.project, store, made)
    return made


def rollback(project: Project, store: Store, name: str | None = None) -> Release:
    """Serve an earlier release again, after checking that everything it needs is whole.

    Args:
        project: the project.
        store: its store.
        name: the release's name or number; the one before the current by default.

    Raises:
        ProjectError: if there is no such release.
        StorageError: if an object is damaged, the project is in use or cannot be written.
    """
    releases = Releases(store)
    if name is None:
        current = releases.current()
        if current is None:
            raise ProjectError("there is no release yet; `langmerge release` makes the first")
        if current.previous is None:
            raise ProjectError(f"release {current.name} is the first: none is before it")
        name = current.previous
    with held(store.root, lock="release"), store.lease("release"):
        refuse_foreign(project)
        found = releases.find(name)
        _check_objects(store, found, found.objects)
        releases.make_current(found)
        serve(project, store, found)
    return found


def _candidate(workspace: Workspace) -> Candidate:
    project, base = workspace.project, workspace.base
    recipe, seed = project.released_recipe, project.seeds[0]
    planner = workspace.planner()
    decisions = {decision.job.id: decision for decision in plan(planner)}

    def evaluation(task: str, language: str, split: str) -> str:
        return evaluate_id(task, merged(recipe), language, seed, split)

    pairs = [(task, language) for task in project.tasks for language in project.languages]
    gates = {pair: _gate_split(project, *pair) for pair in pairs}
    ends = [evaluation(*pair, split) for pair in pairs for split in (gates[pair], "test")]
    _refuse_unfinished(project, decisions, ends)

    def digests(jobs: Mapping[tuple[str, str], str]) -> ByLanguage:
        found: ByLanguage = {task: {} for task in project.tasks}
        for (task, language), job in jobs.items():
            found[task][language] = planner.facts[job]["output"]
        return found

    def score(task: str, language: str, split: str) -> float:
        metrics = planner.facts[evaluation(task, language, split)]["metrics"]
        return float(metrics[project.tasks[task].primary_metric])

    merges = {task: merge_id(task, recipe, seed) for task in project.tasks}
    models = {task: planner.facts[job]["output"] for task, job in merges.items()}
    adapters = digests({pair: train_id(*pair, seed) for pair in pairs})
    starts = {task: train_id(task, ANCESTOR, seed) for task in project.tasks}
    ancestors = {
        task: planner.facts[job]["output"] for task, job in starts.items() if project.has_ancestor
    }
    predictions = digests({pair: evaluation(*pair, gates[pair]) for pair in pairs})
    document = decisions[next(iter(merges.values()))].document or {}
    chosen = {
        task: planner.facts[job]["recipe"]
        for task, job in merges.items()
        if "recipe" in planner.facts[job]
    }
    return Candidate(
        # What was chosen or learned on dev, task by task, is told beside the rule's name.
        recipe={"name": recipe, **document["recipe"], **({"chosen": chosen} if chosen else {})},
        seed=seed,
        base={"name": base.name, **base.identity()},
        models=models,
        adapters=adapters,
        ancestors=ancestors,
        predictions=predictions,
        scores={
            task: {
                language: {
                    split: score(task, language, split) for split in (gates[task, language], "test")
                }
                for language in project.languages
            }
            for task in project.tasks
        },
        objects=sorted(
            {*models.values(), *ancestors.values(), *_digests(adapters), *_digests(predictions)}
        ),
    )


def _gate_split(project: Project, task: str, language: str) -> str:
    split = project.gate_split(task, language)
    if split is None:
        raise ProjectError(
            f"{project.path}: tasks.{task}.data: '{language}' has no dev: or gate: split, and "
            "releases are compared on one of them; add it"
        )
    return split


def _refuse_unfinished(
    project: Project, decisions: Mapping[str, Decision], ends: Iterable[str]
) -> None:
    """Raise if a job that these need would run; what else is unfinished holds up no release."""
    needed: set[str] = set()
    waiting = list(ends)
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting.extend(decisions[name].job.needs)
    unfinished = [d for name, d in decisions.items() if name in needed and d.action == "run"]
    if unfinished:
        first = unfinished[0]
        more = f" and {len(unfinished) - 1} more jobs" if len(unfinished) > 1 else ""
        raise ProjectError(
            f"{project.path}: the merged model is not up to date: {first.job.id} "
            f"({first.reason}){more} would run; `langmerge run` first"
        )


def _changes(old: Release, new: Candidate) -> Iterator[str]:
    """Yield what differs between a release and a candidate, for people."""
    for task in sorted({*old.adapters, *new.adapters}):
        before, after = old.adapters.get(task, {}), new.adapters.get(task, {})
        retrained = [code for code in after if code in before and after[code] != before[code]]
        for word, languages in (
            ("retrained", retrained),
            ("added", [code for code in after if code not in before]),
            ("removed", [code for code in before if code not in after]),
        ):
            if languages:
                yield f"{task}: {word}: {', '.join(languages)}"
        if old.ancestors.get(task) != new.ancestors.get(task):
            yield f"{task}: starts from another ancestor"
    parts = ("recipe", "seed", "base")
    both = ({name: getattr(model, name) for name in parts} for model in (old, new))
    if changed := differences(*both):
        yield f"changed: {', '.join(changed)}"


def _check_objects(store: Store, model: Candidate, digests: Iterable[str]) -> None:
    name = f"release {model.name}" if isinstance(model, Release) else "the candidate"
    for digest in digests:
        if (damage := store.damage(digest)) is not None:
            fix = "restore it from a backup, or choose another release"
            if not isinstance(model, Release):
                fix = "`langmerge verify --repair`, then `langmerge run` makes it again"
            raise StorageError(
                f"{store.root / 'objects' / digest}: {damage}, and {name} needs it; {fix}"
            )


def _predictions(store: Store, digest: str) -> list[Any]:
    return read_predictions(store.object(digest) / PREDICTIONS_FILE)


def _digests(by_task: ByLanguage) -> list[str]:
    return [digest for languages in by_task.values() for digest in languages.values()]
