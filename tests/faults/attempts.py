"""Verbs in processes of their own that can be killed, and what a project must look like then.

Starting Python and importing torch takes longer than a tiny project. So one parent, the fork server
of multiprocessing, imports everything once and forks a child for every attempt; each child is a
process as any other, with a SIGKILL of its own.
"""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.plan.lock import LOCK_FILE
from langmerge.results import RESULTS_FILE
from langmerge.store import Store
from langmerge.upkeep.bill import read_ledger

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "pytest",
        "transformers.models.llama.modeling_llama",
        "transformers.models.auto.tokenization_auto",
        "sacrebleu",
        "rouge_score_rs.rouge_scorer",
        "langmerge.cli",
        "langmerge.engine.jobs",
        "langmerge.merging.merger",
        "langmerge.upkeep.garbage",
        "langmerge.upkeep.release",
    ]
)

PHASES = {
    "deciding": "langmerge.plan.decisions:Planner.decide",
    "loading the base": "langmerge.engine.bench:load_base",
    "reading data": "langmerge.engine.jobs:read",
    "training": "langmerge.engine.jobs:train",
    "writing a checkpoint": "langmerge.train.run:AdapterRun.save",
    "merging": "langmerge.engine.jobs:merge_adapters",
    "evaluating": "langmerge.engine.jobs:evaluate",
    "writing an object": "langmerge.store:Store.put",
    "publishing an object": "langmerge.store:Store._publish",
    "recording a result": "langmerge.store:Store.record",
    "appending to the ledger": "langmerge.engine.ledger:Ledger._append",
    "removing checkpoints": "langmerge.store:Store.clear_work",
    "writing the lock": "langmerge.plan.lock:Lock.update",
    "writing results": "langmerge.results:write_results",
    "writing a release": "langmerge.upkeep.releases:Releases.add",
    "moving the pointer": "langmerge.upkeep.releases:Releases.make_current",
    "serving": "langmerge.upkeep.release:serve",
    "removing garbage": "langmerge.upkeep.garbage:_remove",
    "exporting": "langmerge.publish.export:shutil.copyfile",
}
"""What a process may be doing, and the function that does it; `starting` is all before."""


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
        code: the exit code; -9 if it was killed.
        output: what it printed, errors included.
        phase: what it was doing last.
        steps: how often it had entered or left a phase.
        seconds: wall-clock.
    """

    code: int
    output: str
    phase: str
    steps: int
    seconds: float

    @property
    def last(self) -> str:
        """The last line it printed, apart from the page it points to."""
        return [line for line in self.output.splitlines() if not line.startswith("see: ")][-1]


class Attempt:
    """A verb at work in a process of its own.

    Args:
        arguments: of the command line, without the program's name.
        scratch: a folder for what the process tells.
        kill_at: the process kills itself when it enters or leaves a phase for the n-th time.
    """

    def __init__(self, arguments: list[str], scratch: Path, kill_at: int | None = None) -> None:
        number = len(list(scratch.glob("*.log")))
        self._log, self._state = scratch / f"{number}.log", scratch / f"{number}.state"
        self._log.touch()
        self._state.write_text("0 starting")
        files = (str(self._log), str(self._state))
        self._process = _PROCESSES.Process(target=_carry_out, args=(arguments, *files, kill_at))
        self._start = time.monotonic()
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> None:
        """Wait until the process has printed something."""
        while words not in self.output:
            assert self._process.is_alive(), self.output
            time.sleep(0.02)

    def end(self, kill_after: float | None = None) -> Ended:
        """Wait for the end; kill the process if it takes longer than `kill_after` seconds."""
        self._process.join(kill_after)
        if self._process.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.join()
        seconds = time.monotonic() - self._start
        steps, _, phase = self._state.read_text().partition(" ")
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, self.output, phase.strip(), int(steps), seconds)


def carry_out(arguments: list[str], scratch: Path) -> Ended:
    """Carry out a verb, undisturbed."""
    return Attempt(arguments, scratch).end()


def _carry_out(arguments: list[str], log: str, state: str, kill_at: int | None) -> None:
    """Be the process: what `langmerge ARGUMENTS` does, with a checkpoint after every step."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["OMP_NUM_THREADS"] = "1"

    import langmerge.engine.training as training
    from langmerge.cli import main

    training.CHECKPOINT_SECONDS = 0.0
    tell = _Teller(os.open(state, os.O_WRONLY), kill_at)
    for phase, place in PHASES.items():
        module, _, names = place.partition(":")
        *owners, name = names.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, name, tell.of(phase, getattr(owner, name)))
    sys.argv = ["langmerge", *arguments]
    main()


class _Teller:
    """Keeps a file saying what the process does; the system keeps it when the process is killed."""

    def __init__(self, descriptor: int, kill_at: int | None) -> None:
        self._descriptor, self._kill_at = descriptor, kill_at
        self._steps, self._phase = 0, "starting"

    def of(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            before = self._phase
            self._step(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._step(before)

        return told

    def _step(self, phase: str) -> None:
        self._steps, self._phase = self._steps + 1, phase
        os.pwrite(self._descriptor, f"{self._steps} {phase:<40}".encode(), 0)
        if self._steps == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def store_of(project: Path) -> Store:
    """Return a project's store, with nothing remembered."""
    return Store(project.parent / ".langmerge")


def finished(project: Path) -> dict[str, bytes]:
    """Return the finished results: the files of all actions."""
    return {path.name: path.read_bytes() for path in store_of(project).actions()}


def check_nothing_lost_or_redone(project: Path, before: Mapping[str, bytes]) -> None:
    """Assert that what was finished is as it was, that all results are whole, and none made twice.

    A result that was made again would have another time in its action.
    """
    store, now = store_of(project), finished(project)
    assert {name: now.get(name) for name in before} == before
    for path in store.actions():
        action = store.recorded(path.stem)
        assert action is not None, path
        assert store.damage(action.output) is None
    attempts = Counter(entry.key for entry in read_ledger(store.root).entries if entry.is_finished)
    assert set(attempts.values()) <= {1}, attempts


def end_state(project: Path) -> dict[str, Any]:
    """Return all that a run leaves and that does not depend on time: lock, objects and results."""
    results = json.loads((project.parent / RESULTS_FILE).read_text(encoding="utf-8"))
    for job in results["jobs"]:
        for name in ("outcome", "reason", "seconds", "peak_memory_bytes"):
            del job[name]
    return {
        "lock": (project.parent / LOCK_FILE).read_text(encoding="utf-8"),
        "objects": [path.name for path in store_of(project).objects()],
        "actions": [path.name for path in store_of(project).actions()],
        "work": store_of(project).work_folders(),
        "results": results,
    }
