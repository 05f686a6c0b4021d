"""Whatever is done to a project in whatever order, what a run does again is what must be.

Hypothesis draws sequences of changes, damage, runs, releases, rollbacks and collections. Beside the
real project stands a model of it: keys as tuples of what a result depends on, and the set of those
that are there. Before every run the model says which jobs have to run, and afterwards that is what
ran.

Only the work itself is replaced, by a workbench that writes a file named by its key: a tiny model
would take a second per run, and training has tests of its own. Data are read, and plans, keys,
store, lock, ledger, gate, releases and garbage collection are the real ones.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from projects import make_project, rows

import langmerge.engine.jobs as jobs_module
from langmerge.canonical import digest_of
from langmerge.engine import run
from langmerge.engine.bench import Made, Produced
from langmerge.engine.jobs import Workbench
from langmerge.errors import ProjectError, StorageError
from langmerge.plan import Decision, Job
from langmerge.tasks.predictions import PREDICTIONS_FILE, Prediction, write_predictions
from langmerge.upkeep.bill import read_ledger
from langmerge.upkeep.garbage import collect_garbage
from langmerge.upkeep.release import assess, release, rollback
from langmerge.upkeep.releases import Releases
from langmerge.upkeep.verify import verify
from langmerge.workspace import Workspace, open_workspace

TASK = "classification"
SPLITS = ("train", "dev", "test")
LANGUAGES = ("de", "en", "fr")
ROWS = {"train": 6, "dev": 12, "test": 12}

Key = tuple[Any, ...]
"""A result in the model: its kind, and all it depends on."""


class FastWorkbench(Workbench):
    """Writes what its key says in the place of weights; answers are drawn by it."""

    def do(self, decisions: Sequence[Decision], made: Made, progress: Any) -> None:
        for decision in decisions:
            assert decision.document is not None
            if decision.job.kind == "data":
                super().do([decision], made, progress)
            else:
                made(decision, self._draw(decision.job, decision.document))

    def _draw(self, job: Job, document: Mapping[str, Any]) -> Produced:
        key = digest_of(document)
        if job.kind != "evaluate":
            return Produced(self._put("adapter_config.json", json.dumps({"key": key})), {"rows": 1})
        assert job.language is not None
        assert job.split is not None
        draw = random.Random(key)
        predictions = [
            Prediction(
                row.id,
                row.group,
                "good",
                key,
                answer=0,
                candidates=("good", "bad"),
                scores=(draw.random(), draw.random()),
            )
            for row in self.rows(job.task, job.language, job.split)
        ]
        measured = self.project.tasks[job.task].measure(predictions, job.language)
        facts = {
            "adapter": document["adapter"],
            "metrics": {metric.name: metric.value for metric in measured},
            "rows": len(predictions),
        }
        output = self.store.put(lambda f: write_predictions(f / PREDICTIONS_FILE, predictions))
        return Produced(output, facts)

    def _put(self, name: str, text: str) -> str:
        return self.store.put(lambda folder: (folder / name).write_text(text) and None)


@dataclass(frozen=True)
class DataFile:
    """A split's file: which rows it has, and what must not matter to anything but reading it."""

    version: int = 0
    format: str = "jsonl"
    is_reordered: bool = False
    name: str = "a"

    @property
    def content(self) -> Key:
        return (self.version, self.format, self.is_reordered)

    def write(self, folder: Path, language: str, split: str) -> str:
        """Write the file; return its path in the project."""
        found = rows(TASK, language, split, ROWS[split])
        for row in found:
            row["text"] += f" {self.version}"
        if self.is_reordered:
            found = [dict(reversed(row.items())) for row in found]
        path = folder / "data" / language / f"{split}-{self.name}.{self.format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.glob(f"{split}-*"):
            other.unlink()
        with path.open("w", encoding="utf-8", newline="") as file:
            if self.format == "csv":
                writer = csv.DictWriter(file, list(found[0]))
                writer.writeheader()
                writer.writerows(found)
            else:
                file.writelines(json.dumps(row) + "\n" for row in found)
        return str(path.relative_to(folder))


@dataclass
class Model:
    """What must be: results by key, the lock, and releases."""

    files: dict[str, dict[str, DataFile]]
    there: set[Key]
    lock: dict[str, Key]
    releases: list[dict[str, Any]]
    current: int | None = None

    def data(self, language: str) -> Key:
        return ("data", language, *(self.files[language][split].content for split in SPLITS))

    def trained(self, *languages: str) -> Key:
        return ("train", *((code, self.files[code]["train"].version) for code in sorted(languages)))

    def evaluated(self, adapter: Key | None, language: str, split: str) -> Key:
        return ("evaluate", adapter, language, split, self.files[language][split].version)

    def jobs(self, *, baselines: bool = False) -> Iterator[tuple[str, str, Key]]:
        """Yield id, outcome and key of each job; to go on is to have done it.

        A key that is not there after its job was yielded keeps those that need it from being known.
        """
        languages = sorted(self.files)
        for code in languages:
            yield self._job(f"data/{TASK}/{code}", self.data(code))
        for code in languages:
            yield self._job(f"evaluate/{TASK}/base/{code}/test", self.evaluated(None, code, "test"))
        trained = {code: self.trained(code) for code in languages}
        for code in languages:
            yield self._job(f"train/{TASK}/{code}/seed0", trained[code])
        if set(trained.values()) <= self.there:
            merged = ("merge", *trained.values())
            yield self._job(f"merge/{TASK}/mean/seed0", merged)
            for split in ("test", "dev"):
                yield from self._evaluations("merged:mean", merged, split)
        for code in languages:
            yield from self._evaluations("individual", trained[code], "test", code)
        combined, job = self.trained(*languages), f"train/{TASK}/combined/seed0"
        last = self.lock.get(job)
        if combined not in self.there and last in self.there and not baselines:
            assert last is not None
            combined = last
            yield job, "stale", combined
        else:
            yield self._job(job, combined)
        yield from self._evaluations("combined", combined, "test")

    def _evaluations(
        self, model: str, adapter: Key, split: str, language: str | None = None
    ) -> Iterator[tuple[str, str, Key]]:
        if adapter in self.there:
            for code in [language] if language else sorted(self.files):
                job = f"evaluate/{TASK}/{model}/{code}/seed0/{split}"
                yield self._job(job, self.evaluated(adapter, code, split))

    def _job(self, job: str, key: Key) -> tuple[str, str, Key]:
        return job, "reused" if key in self.there else "ran", key

    def run(self, *, baselines: bool = False) -> dict[str, str]:
        """Do all jobs; return what becomes of each."""
        outcomes, lock = {}, {}
        for job, outcome, key in self.jobs(baselines=baselines):
            self.there.add(key)
            outcomes[job], lock[job] = outcome, key
        self.lock = lock
        return outcomes

    def candidate(self) -> dict[str, Any] | None:
        """Return what a release of the merged model would hold; None if some of it is not there."""
        languages = sorted(self.files)
        trained = [self.trained(code) for code in languages]
        merged = ("merge", *trained)
        answers = [self.evaluated(merged, code, "dev") for code in languages]
        tests = [self.evaluated(merged, code, "test") for code in languages]
        data = [self.data(code) for code in languages]
        if not {*trained, merged, *answers, *tests, *data} <= self.there:
            return None
        return {
            "merged": merged,
            "answers": dict(zip(languages, answers, strict=True)),
            "keys": {*trained, merged, *answers},
        }

    def collect(self) -> None:
        """Forget what neither plan, nor lock, nor release reaches."""
        roots = {key for _, outcome, key in self.jobs() if outcome != "ran"}
        roots.update(self.lock.values(), *(made["keys"] for made in self.releases))
        self.there &= {below for key in roots for below in _reached(key)}


def _reached(key: Key | None) -> Iterator[Key]:
    """Yield a key, and those of the results it was made of."""
    if key is None:
        return
    yield key
    if key[0] == "merge":
        yield from key[1:]
    elif key[0] == "evaluate":
        yield from _reached(key[1])


class Upkeep(RuleBasedStateMachine):
    """A project and its model side by side."""

    base: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="langmerge-upkeep-"))
        self.outputs: dict[Key, str] = {}
        self.damaged: set[Key] = set()
        self.patches = [
            mock.patch.object(jobs_module, "Workbench", FastWorkbench),
            mock.patch("os.fsync"),  # no machine loses its power here, and disks take their time
        ]
        for patch in self.patches:
            patch.start()

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()
        shutil.rmtree(self.folder)

    @initialize()
    def start(self) -> None:
        files = {code: dict.fromkeys(SPLITS, DataFile()) for code in LANGUAGES[:2]}
        self.model = Model(files, set(), {}, [])
        self.project = make_project(
            self.folder,
            self.base,
            languages=[],
            compare=["base", "individual", "combined"],
            merge={"mean": {"method": "mean"}},
        )
        for code in files:
            self.write(code)

    def write(self, language: str | None = None) -> None:
        """Write a language's files, and the project file."""
        if language is not None:
            for split, file in self.model.files[language].items():
                file.write(self.folder, language, split)
        content = yaml.safe_load(self.project.read_text())
        content["languages"] = {
            code: {
                "data": {
                    TASK: {
                        split: f"data/{code}/{split}-{file.name}.{file.format}"
                        for split, file in files.items()
                    }
                }
            }
            for code, files in self.model.files.items()
        }
        self.project.write_text(yaml.safe_dump(content, sort_keys=False))

    def open(self) -> Workspace:
        return open_workspace(self.project)

    def change(self, language: int, split: str, **changes: Any) -> None:
        code = sorted(self.model.files)[language % len(self.model.files)]
        files = self.model.files[code]
        self.model.files[code] = {**files, split: replace(files[split], **changes)}
        self.write(code)

    @precondition(lambda self: len(self.model.files) < len(LANGUAGES))
    @rule(version=st.integers(0, 1))
    def add_a_language(self, version: int) -> None:
        code = next(code for code in LANGUAGES if code not in self.model.files)
        self.model.files[code] = dict.fromkeys(SPLITS, DataFile(version))
        self.write(code)

    @precondition(lambda self: len(self.model.files) > 2)
    @rule(language=st.integers(0, 2))
    def remove_a_language(self, language: int) -> None:
        del self.model.files[sorted(self.model.files)[language]]
        self.write()

    @rule(language=st.integers(0, 2), split=st.sampled_from(SPLITS), version=st.integers(0, 3))
    def change_rows(self, language: int, split: str, version: int) -> None:
        self.change(language, split, version=version)

    @rule(
        language=st.integers(0, 2), split=st.sampled_from(SPLITS), name=st.sampled_from(["a", "b"])
    )
    def rename_a_file(self, language: int, split: str, name: str) -> None:
        self.change(language, split, name=name)

    @rule(
        language=st.integers(0, 2),
        split=st.sampled_from(SPLITS),
        format=st.sampled_from(["csv", "jsonl"]),
    )
    def convert_a_file(self, language: int, split: str, format: str) -> None:
        self.change(language, split, format=format)

    @rule(language=st.integers(0, 2), split=st.sampled_from(SPLITS), is_reordered=st.booleans())
    def reorder_keys(self, language: int, split: str, is_reordered: bool) -> None:
        self.change(language, split, is_reordered=is_reordered)

    @precondition(lambda self: any(key[0] != "data" for key in self.model.there))
    @rule(which=st.integers(0, 999))
    def damage_an_object(self, which: int) -> None:
        keys = sorted((key for key in self.model.there if key[0] != "data"), key=repr)
        key = keys[which % len(keys)]
        path = self.open().store.root / "objects" / self.outputs[key]
        file = next(file for file in sorted(path.iterdir()) if file.name != "manifest.json")
        content = bytearray(file.read_bytes())
        content[which % len(content)] ^= 1
        file.write_bytes(content)
        self.model.there.remove(key)
        self.damaged.add(key)

    @rule(baselines=st.sampled_from([False, False, True]))
    def run(self, baselines: bool) -> None:
        self.run_and_compare(baselines)

    @rule()
    def run_again(self) -> None:
        self.run_and_compare(baselines=False)

    def run_and_compare(self, baselines: bool) -> None:
        expected = self.model.run(baselines=baselines)
        outcome = run(open_workspace(self.project, baselines).planner())

        found = {name: result.outcome for name, result in outcome.results.items()}
        problems = {name: result.problem for name, result in outcome.results.items()}
        assert found == expected, problems
        for job, action in outcome.actions().items():
            key = self.model.lock[job]
            assert self.outputs.setdefault(key, action.output) == action.output
        self.damaged -= self.model.there

    @rule()
    def release(self) -> None:
        candidate, model = self.model.candidate(), self.model
        current = None if model.current is None else model.releases[model.current]
        is_current_whole = current is None or not (set(current["answers"].values()) & self.damaged)
        workspace = self.open()
        if candidate is None or not is_current_whole:
            with pytest.raises((ProjectError, StorageError)):
                assess(workspace)
            return
        release(workspace, assess(workspace), "", force=True)
        if current is None or current["merged"] != candidate["merged"]:
            model.releases.append(candidate)
            model.current = len(model.releases) - 1

    @precondition(lambda self: self.model.releases)
    @rule(which=st.integers(0, 9))
    def rollback(self, which: int) -> None:
        number = which % len(self.model.releases)
        workspace = self.open()
        if self.model.releases[number]["keys"] & self.damaged:
            with pytest.raises(StorageError, match="needs it"):
                rollback(workspace.project, workspace.store, str(number + 1))
        else:
            rollback(workspace.project, workspace.store, str(number + 1))
            self.model.current = number

    @rule()
    def gc(self) -> None:
        self.model.collect()
        collect_garbage(self.open())
        assert collect_garbage(self.open(), dry_run=True) == []

    @invariant()
    def is_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        workspace = self.open()
        store = workspace.store
        entries = read_ledger(store.root).entries
        assert all(entry.is_finished for entry in entries)
        current = Releases(store).current()
        if self.model.current is None:
            assert current is None
            return
        assert current is not None
        merged = self.model.releases[self.model.current]["merged"]
        assert current.models == {TASK: self.outputs[merged]}
        assert json.loads((self.folder / "released" / ".release.json").read_text())["name"] == (
            current.name
        )
        if not self.damaged:
            assert verify(store, workspace.lock) == []


def test_upkeep(tiny_base_folder: Path) -> None:
    Upkeep.base = tiny_base_folder
    run_machine(
        Upkeep,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
