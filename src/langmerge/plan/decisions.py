"""For every job: run it, reuse its result, leave it stale, or leave it out, and why."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langmerge.base import ResolvedBase
from langmerge.canonical import digest_of, digest_of_file
from langmerge.data import RowChanges, Split, changes_between, read_rows
from langmerge.errors import ProjectError, StorageError
from langmerge.plan.cache import PlanCache
from langmerge.plan.data import facts_of, identify_sources, peek
from langmerge.plan.graph import (
    ANCESTOR,
    COMBINED,
    COMBINED_CONTINUED,
    INDIVIDUAL,
    Job,
    data_id,
    job_graph,
    train_id,
)
from langmerge.plan.keys import (
    ADOPTED,
    CONTINUED,
    Facts,
    comparable,
    continued,
    data_document,
    differences,
    from_scratch,
    job_document,
    training_settings,
)
from langmerge.plan.lock import Lock
from langmerge.plan.scope import EVERYTHING, Scope
from langmerge.project import Project
from langmerge.store import Action, Store


@dataclass(frozen=True)
class Decision:
    """What is to be done about a job.

    Attributes:
        job: the job.
        action: `run` it, `reuse` its result, use an older one (`stale`), or `leave` it out, where
            there is none.
        reason: why, for people.
        document: the key document; None while results it depends on are not known yet.
        result: the result to be used; None where the job is to run, or left out.
    """

    job: Job
    action: Literal["run", "reuse", "stale", "leave"]
    reason: str
    document: Mapping[str, Any] | None = None
    result: Action | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the decision as `langmerge plan --json` prints it."""
        names = ("id", "kind", "task", "language", "model", "recipe", "seed", "split")
        return {
            **{name: getattr(self.job, name) for name in names},
            "needs": list(self.job.needs),
            "action": self.action,
            "reason": self.reason,
        }


@dataclass
class Planner:
    """Decides jobs one by one, in the graph's order, from the facts of the jobs before.

    Args:
        project: the project.
        base: its resolved base model.
        store: where results are.
        lock: which results the project had last.
        baselines: whether baselines that newer data made stale are to be retrained.
        scope: which jobs may run.
        cache: of results and files, for a plan that nothing is run from; it is not saved here.
        remake_ancestor: make anew, of the present rows, what all languages start from.
    """

    project: Project
    base: ResolvedBase
    store: Store
    lock: Lock
    baselines: bool = False
    scope: Scope = EVERYTHING
    cache: PlanCache | None = None
    remake_ancestor: bool = False
    facts: dict[str, Facts] = field(default_factory=dict)
    _results: dict[str, Action] = field(default_factory=dict)
    _left: set[str] = field(default_factory=set)
    _changes: dict[str, dict[str, RowChanges]] = field(default_factory=dict)

    def decide(self, job: Job) -> Decision:
        """Return the decision about a job; facts of the jobs it needs are taken from `facts`.

        Raises:
            DataError: if a data job's files are missing or wrong.
            ProjectError: if the lock pins an ancestor that is gone and would come out different.
        """
        if (pinned := self._pinned(job)) is not None:
            return pinned
        if left := [need for need in job.needs if need in self._left]:
            decision = self._without_running(Decision(job, "run", f"needs {left[0]}"), "left out")
        elif job.kind == "data":
            file_digest = digest_of_file if self.cache is None else self.cache.digest_of_file
            sources = identify_sources(self.project, job, file_digest)
            decision = self._decide(job, data_document(job, self.project, sources))
        elif missing := [need for need in job.needs if need not in self.facts]:
            decision = Decision(job, "run", self._after(job, missing))
        else:
            document = job_document(job, self.project, self.base, self.facts)
            decision = self._decide(job, document)
            if job.is_ancestor:
                self._refuse_another_ancestor(decision)
        if decision.action == "run" and (option := self.scope.leaves_out(job)) is not None:
            decision = self._without_running(decision, f"left out by {option}")
        if decision.action == "leave":
            self._left.add(job.id)
        return decision

    def needs(self, job: Job) -> tuple[str, ...]:
        """Return the ids of the jobs that a job waits for; a pinned ancestor waits for none."""
        return () if self._pinned(job) is not None else job.needs

    def learn(self, job: Job, result: Action) -> None:
        """Take note of a job's result, for the jobs that need it."""
        self.facts[job.id] = {**result.facts, "output": result.output}
        self._results[job.id] = result

    def learn_rows(self, job: Job, splits: Mapping[str, Split]) -> None:
        """Take note of a data job's rows, so that later decisions can say what changed in them."""
        self.facts.setdefault(job.id, facts_of(splits))
        if (last := self._last_result(job)) is None:
            return
        folder = self.store.object(last.output)
        self._changes[job.id] = {
            name: changes_between(read_rows(folder / f"{name}.jsonl"), split.rows)
            for name, split in splits.items()
            if (folder / f"{name}.jsonl").exists()
        }

    def row_changes(self, job: Job) -> str:
        """Return what changed in a data job's rows, if that is known: `train +2 rows, -1`."""
        known = self._changes.get(job.id)
        if known is None:
            return ""
        changed = [f"{name} {changes}" for name, changes in known.items() if any(changes)]
        return "; ".join(changed) or "the same rows"

    def _decide(self, job: Job, document: dict[str, Any]) -> Decision:
        if (kept := self._adopted(job, document)) is not None:
            return kept
        # The continued baseline must not become the combined model when that is trained anew.
        is_of_its_own = job.is_baseline and job.model == COMBINED_CONTINUED
        if not is_of_its_own and (result := self._find(document)) is not None:
            return _reuse(job, document, result)
        last = self._last_result(job)
        if last is None:
            return Decision(job, "run", "no result yet", document)
        if job.kind == "train":
            document = self._continuing(job, document, last)
            if (result := self._find(document)) is not None:
                return _reuse(job, document, result)
        changes = differences(*comparable(last.document, document))
        reason = self._words(job, [name for name in changes if not name.startswith(CONTINUED)])
        if not reason:
            reason = self._words(job, changes)
        elif CONTINUED in document:
            reason = f"{reason}; continues its last adapter"
        if job.is_ancestor and ADOPTED in last.document:
            reason = _instead_of_adopted(last, document, reason)
        if job.is_baseline and not self.baselines and _only_newer_data(last.document, document):
            reason = f"{reason}; `langmerge run --baselines` retrains it"
            return Decision(job, "stale", reason, document, last)
        return Decision(job, "run", reason, document)

    def _adopted(self, job: Job, document: dict[str, Any]) -> Decision | None:
        """Return the decision to keep an adopted adapter, while what it stands for is the same."""
        if job.kind != "train" or job.is_ancestor:  # An ancestor is kept by its pin, or remade.
            return None
        last = self._last_result(job)
        if last is None or ADOPTED not in last.document:
            return None
        if differences(*comparable(last.document, document)):
            return None
        return Decision(job, "reuse", _adopted_from(last), last.document, last)

    def _pinned(self, job: Job) -> Decision | None:
        """Return the decision for an ancestor that the lock pins: newer rows do not remake it.

        Nor do other languages, nor other settings of its training, which are told; another base,
        shape or prompt do, for what starts from it has these.
        """
        if not job.is_ancestor or self.remake_ancestor:
            return None
        if (last := self._last_result(job)) is None:
            return None
        now = training_settings(job, self.project, self.base)
        changed = _settings_changed(last.document, now)
        if any(map(_remakes, changed)):
            return None
        if ADOPTED in last.document:
            return Decision(job, "reuse", _adopted_from(last), last.document, last)
        if changed:
            reason = f"{self._words(job, changed)}; {_REMAKING}"
            return Decision(job, "stale", reason, last.document, last)
        reason = "made once; the lock pins it"
        return Decision(job, "reuse", reason, last.document, last)

    def _refuse_another_ancestor(self, decision: Decision) -> None:
        """Raise if an ancestor would silently take the place of one that the lock still names."""
        key = self.lock.key_of(decision.job.id)
        if self.remake_ancestor or key is None or decision.document is None:
            return
        is_gone = self._last_result(decision.job) is None
        if is_gone and digest_of(decision.document) != key:
            raise ProjectError(
                f"{self.lock.path}: pins {decision.job.id}, which is not whole in the store and "
                "is not what the present data and settings make, so that every language would "
                "retrain; bring the store back from a copy, adopt it again if it was adopted, or "
                f"{_REMAKING}"
            )

    def _find(self, document: Mapping[str, Any]) -> Action | None:
        if self.cache is not None:
            return self.cache.find(document)
        return self.store.action(digest_of(document))

    def _continuing(self, job: Job, document: dict[str, Any], last: Action) -> dict[str, Any]:
        """Return the document of a training whose rows changed, if it starts from `last`."""
        is_asked_for = job.model == COMBINED_CONTINUED or (
            job.model == INDIVIDUAL and self.project.update.mode == "continue"
        )
        if not is_asked_for or not _only_newer_data(last.document, document):
            return document
        if from_scratch(last.document) != document:
            return continued(document, job, self.project, self.facts, last.output)
        if CONTINUED not in last.document:
            return document
        # Made of these very rows: the start stays, so that only other settings continue it anew.
        parent: str = last.document[CONTINUED]["from"]
        if not self._has(parent):
            return document
        return continued(document, job, self.project, self.facts, parent)

    def _has(self, digest: str) -> bool:
        try:
            return self.store.object(digest).is_dir()
        except StorageError:
            return False

    def _without_running(self, decision: Decision, why: str) -> Decision:
        """Return the decision for a job that may not run: its last result must do."""
        reason = f"{decision.reason}; {why}"
        last = self._last_result(decision.job)
        if last is not None and self._has_todays_start(decision.job, last):
            return replace(decision, action="stale", reason=reason, result=last)
        return replace(decision, action="leave", reason=reason)

    def _after(self, job: Job, missing: list[str]) -> str:
        start = train_id(job.task, ANCESTOR, job.seed or 0)
        if job.kind == "train" and job.model == INDIVIDUAL and start in missing:
            how = "first" if self.lock.key_of(job.id) is None else "anew"
            return f"starts from {start}, which is made {how}"
        return _after(missing)

    def _has_todays_start(self, job: Job, last: Action) -> bool:
        """Whether a language's older adapter can be merged with new ones: of the same ancestor."""
        if job.kind != "train" or job.model != INDIVIDUAL:
            return True
        if not self.project.has_ancestor:
            return ANCESTOR not in last.document
        ancestor = self.facts.get(train_id(job.task, ANCESTOR, job.seed or 0))
        return ancestor is not None and last.document.get(ANCESTOR) == ancestor["output"]

    def _last_result(self, job: Job) -> Action | None:
        key = self.lock.key_of(job.id)
        if key is None and job.model == COMBINED_CONTINUED and job.kind == "train":
            # What is continued first is the combined model itself.
            return self._results.get(train_id(job.task, COMBINED, job.seed or 0))
        return self.store.action(key) if key is not None else None

    def _words(self, job: Job, names: list[str]) -> str:
        """Return changed fields as a short reason: `data.de changed (+2 rows, -1)`."""
        names = sorted(names, key=lambda name: name.startswith("data."))  # settings tell more
        shown = ", ".join(self._named(job, name) for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{shown}{more} changed" if shown else ""

    def _named(self, job: Job, name: str) -> str:
        part, _, language = name.partition(".")
        if part != "data" or job.kind != "train":
            return name
        changes = self._changes.get(data_id(job.task, language), {}).get("train")
        return name if changes is None else f"{name} ({changes})"


def plan(planner: Planner) -> list[Decision]:
    """Return the decision about every job of the project; nothing is run or written."""
    with _uncollected():
        return list(_decisions(planner))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Put off garbage collection inside the block, where everything made stays: it is a fifth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decisions(planner: Planner) -> Iterator[Decision]:
    for job in job_graph(planner.project):
        decision = planner.decide(job)
        if decision.result is not None:
            planner.learn(job, decision.result)
        elif decision.action == "run" and (splits := peek(planner.project, job)) is not None:
            planner.learn_rows(job, splits)
            if changes := planner.row_changes(job):
                decision = replace(decision, reason=f"{decision.reason} ({changes})")
        yield decision


def _reuse(job: Job, document: Mapping[str, Any], result: Action) -> Decision:
    return Decision(job, "reuse", "nothing it depends on changed", document, result)


def _only_newer_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two training documents differ in nothing but rows, languages, and the start."""
    old, new = comparable(old, new)
    shared = old["data"].keys() & new["data"].keys()

    def apart_from_data(document: Mapping[str, Any]) -> dict[str, Any]:
        task = {language: document["task"][language] for language in shared}
        return {**from_scratch(document), "data": None, "dev": None, "task": task}

    return apart_from_data(old) == apart_from_data(new)


def _settings_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return in which settings an ancestor differs from today's; of shared languages only."""
    shared = old["task"].keys() & new["task"].keys()

    def settings(document: Mapping[str, Any]) -> dict[str, Any]:
        task = {language: document["task"][language] for language in sorted(shared)}
        return {**{name: document.get(name) for name in new}, "task": task}

    return differences(settings(old), settings(new))


def _remakes(name: str) -> bool:
    """Whether another value of a setting is one that no pinned ancestor can serve."""
    return name.partition(".")[0] in ("base", "task", "adapter") and name != "adapter.lora_dropout"


def _instead_of_adopted(last: Action, document: Mapping[str, Any], reason: str) -> str:
    """Return why an adopted ancestor is made anew: it no longer fits, or that was asked for."""
    told = f"takes the place of the one {_adopted_from(last)}"
    no_longer_fits = any(map(_remakes, _settings_changed(last.document, document)))
    return f"{reason}; {told}" if no_longer_fits else told


def _adopted_from(result: Action) -> str:
    return f"adopted from {result.document[ADOPTED]['source']}"


_REMAKING = "`langmerge run --remake-ancestor` makes it anew"


def _after(missing: list[str]) -> str:
    first = missing[0].rsplit("/seed", 1)[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"after {first}{more}"
