"""Releases: what is served, what would be next, and the way back.

```
STORE/releases/NUMBER-DIGEST8.json  a release: an immutable manifest, named by its content
STORE/releases/NUMBER-DIGEST8/TASK  a link to the released adapter
STORE/releases/current              the name of the current release
PROJECT/released                    a link to the current release's folder: released/TASK is stable
```

The manifest is written first, then the pointer moves, then the link: each in one step, and each
can be done again. Killed in between, the project has its old release, or its new one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langmerge import __version__
from langmerge.canonical import digest_of
from langmerge.engine.local import held
from langmerge.errors import GateRefused, ProjectError, StorageError
from langmerge.plan import Decision, plan
from langmerge.plan.graph import GATE_SPLIT, evaluate_id, merge_id, merged, train_id
from langmerge.plan.keys import differences
from langmerge.project import Project
from langmerge.store import Store, new_folder, write_atomically, writing
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions
from langmerge.upkeep.gate import Answers, GateResult, judge
from langmerge.workspace import Workspace

RELEASED_FOLDER = "released"
_OWN_FILE = ".release.json"
"""The manifest once more, beside the adapters. No task's name begins with a dot."""

ByLanguage = dict[str, dict[str, str]]
"""Task -> language -> digest."""


class Candidate(BaseModel):
    """A merged model of all tasks, as the last run made it, with everything it is made of.

    Attributes:
        langmerge: version of the program.
        recipe: its name and parameters.
        seed: the training seed.
        base: the base model's name and digests.
        models: the merged adapter's digest, by task.
        adapters: the digests of the adapters merged, by task and language.
        predictions: the digests of the answers on the gate's split, by task and language.
        scores: the primary metric, by task, language and split.
        objects: every digest a release needs; they are kept as long as it is.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    langmerge: str = __version__
    recipe: dict[str, Any]
    seed: int
    base: dict[str, Any]
    models: dict[str, str]
    adapters: ByLanguage
    predictions: ByLanguage
    scores: dict[str, dict[str, dict[str, float]]]
    objects: list[str]

    def is_same_model(self, other: Candidate) -> bool:
        """Whether both answer alike: the same adapters on the same base."""
        ours, theirs = ({**c.base, "name": None} for c in (self, other))
        return ours == theirs and self.models == other.models


class Release(Candidate):
    """A released candidate; `name` is NUMBER-DIGEST8 and no part of the manifest."""

    name: str = Field(exclude=True)
    number: int
    created: str
    message: str
    gate: GateResult
    forced: bool
    """The gate refused, and was overruled."""
    previous: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the manifest with the release's name."""
        return {"name": self.name, **self.model_dump(mode="json")}


class Releases:
    """The releases in a project's store."""

    def __init__(self, store: Store) -> None:
        self.folder = store.root / "releases"
        self._pointer = self.folder / "current"

    def all(self) -> list[Release]:
        """Return all releases, the newest last.

        Raises:
            StorageError: if a manifest is not what was written.
        """
        found = [_read(path) for path in self.folder.glob("[!.]*.json")]
        return sorted(found, key=lambda release: (release.number, release.name))

    def current(self) -> Release | None:
        """Return the release that is served; None before the first.

        Raises:
            StorageError: if the pointer or its release is damaged.
        """
        try:
            name = self._pointer.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        if not (path := self.folder / f"{name}.json").is_file():
            raise StorageError(
                f"{self._pointer}: names release '{name}', which is not there; "
                "`langmerge rollback RELEASE` chooses another"
            )
        return _read(path)

    def find(self, name: str) -> Release:
        """Return a release by its name or number.

        Raises:
            ProjectError: if there is no such release.
        """
        releases = self.all()
        for release in releases:
            if name in (release.name, str(release.number)):
                return release
        known = ", ".join(release.name for release in releases) or "none yet"
        raise ProjectError(f"release '{name}': not found; the releases are: {known}")

    def add(self, manifest: Mapping[str, Any]) -> Release:
        """Write a new release's manifest; it is not served yet."""
        manifest = {**manifest, "number": max((r.number for r in self.all()), default=0) + 1}
        release = Release(**manifest, name="")
        content = release.model_dump(mode="json")
        name = f"{release.number}-{digest_of(content)[:8]}"
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(self.folder / f"{name}.json", text + "\n")
        return release.model_copy(update={"name": name})

    def make_current(self, release: Release) -> None:
        """Move the pointer to a release."""
        write_atomically(self._pointer, f"{release.name}\n")


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
            _predictions(store, digest), _predictions(store, current.predictions[task][language])
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
    with held(store.root):
        if releases.current() != found.current:
            raise StorageError(
                f"{releases.folder}: the current release changed meanwhile; "
                "see `langmerge history`, and release again"
            )
        _refuse_foreign(workspace.project)
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
        _serve(workspace.project, store, made)
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
    with held(store.root):
        _refuse_foreign(project)
        found = releases.find(name)
        _check_objects(store, found, found.objects)
        releases.make_current(found)
        _serve(project, store, found)
    return found


def _candidate(workspace: Workspace) -> Candidate:
    project, base = workspace.project, workspace.base
    recipe, seed = project.released_recipe, project.seeds[0]
    planner = workspace.planner()
    decisions = {decision.job.id: decision for decision in plan(planner)}

    def evaluation(task: str, language: str, split: str) -> str:
        return evaluate_id(task, merged(recipe), language, seed, split)

    pairs = [(task, language) for task in project.tasks for language in project.languages]
    for task, language in pairs:
        if not project.has_dev(task, language):
            raise ProjectError(
                f"{project.path}: tasks.{task}.data: '{language}' has no {GATE_SPLIT}: split, and "
                f"releases are compared on it; add {GATE_SPLIT}:"
            )
    ends = [evaluation(*pair, split) for pair in pairs for split in (GATE_SPLIT, "test")]
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
    predictions = digests({pair: evaluation(*pair, GATE_SPLIT) for pair in pairs})
    document = decisions[next(iter(merges.values()))].document or {}
    return Candidate(
        recipe={"name": recipe, **document["recipe"]},
        seed=seed,
        base={"name": base.name, **base.identity()},
        models=models,
        adapters=adapters,
        predictions=predictions,
        scores={
            task: {
                language: {split: score(task, language, split) for split in (GATE_SPLIT, "test")}
                for language in project.languages
            }
            for task in project.tasks
        },
        objects=sorted({*models.values(), *_digests(adapters), *_digests(predictions)}),
    )


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
    parts = ("recipe", "seed", "base")
    both = ({name: getattr(model, name) for name in parts} for model in (old, new))
    if changed := differences(*both):
        yield f"changed: {', '.join(changed)}"


def _refuse_foreign(project: Project) -> None:
    """Raise if something stands in the released folder's place that langmerge did not make."""
    target = project.folder / RELEASED_FOLDER
    if target.exists() and not (target / _OWN_FILE).is_file():
        raise StorageError(
            f"{target}: not made by langmerge, which would replace it by the released model; "
            "move it away"
        )


def _serve(project: Project, store: Store, release: Release) -> None:
    """Let `released` lead to a release, in one step; a copy is swapped in where no link can be."""
    target = project.folder / RELEASED_FOLDER
    with writing(target):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            new = temporary / "new"
            try:
                folder = _linked(store, release)
                new.symlink_to(os.path.relpath(folder, target.parent), target_is_directory=True)
            except (OSError, NotImplementedError):
                _copy(store, release, new)
            if os.path.lexists(target) and not (target.is_symlink() and new.is_symlink()):
                target.rename(temporary / "old")
            new.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _linked(store: Store, release: Release) -> Path:
    """Return the release's folder of links, made if need be."""
    folder = Releases(store).folder / release.name
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            for task, digest in release.models.items():
                place = os.path.relpath(store.object(digest), folder)
                (unfinished / task).symlink_to(place, target_is_directory=True)
            _describe(release, unfinished)
    return folder


def _copy(store: Store, release: Release, folder: Path) -> None:
    for task, digest in release.models.items():
        ignored = shutil.ignore_patterns("manifest.json")
        shutil.copytree(store.object(digest), folder / task, ignore=ignored)
    _describe(release, folder)


def _describe(release: Release, folder: Path) -> None:
    text = json.dumps(release.to_json(), indent=1, ensure_ascii=False)
    (folder / _OWN_FILE).write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> Release:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.stem.partition("-")[2] == digest_of(content)[:8]:
            return Release(**content, name=path.stem)
    except (ValueError, TypeError, ValidationError):
        pass
    raise StorageError(
        f"{path}: not the release its name says (edited or damaged?); restore it from a backup, "
        "or delete it to give the release up"
    )


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
