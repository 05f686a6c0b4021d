"""`STORE/ledger.jsonl`: one line for every attempt of every run.

Lines are only ever appended. A process killed while it wrote leaves half a line, which readers
leave out; the next attempt starts a new one. A process killed while it worked leaves no line. One
killed between a result and its line leaves the result, which has all of the line, and the next run
appends it: a result never has two lines of one run, and never none. Where another run recorded the
result first, the attempt that came second has a line too, for what it cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of, parse_json
from langmerge.engine.attempts import Attempt, RunClock
from langmerge.files import writing
from langmerge.plan import Decision
from langmerge.store import Action

LEDGER_FILE = "ledger.jsonl"

TRIAL = "a trial of langmerge sweep --combined"
"""The reason of attempts that try settings out: no measure of what retraining costs."""


class Ledger:
    """The ledger of a store, open for one run.

    Args:
        store: the store's folder.

    Attributes:
        clock: of the run.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / LEDGER_FILE
        self.clock = RunClock(uuid.uuid4().hex[:12], time.monotonic())

    def failed(self, attempt: Attempt) -> None:
        """Append the line about an attempt that left no result.

        Raises:
            StorageError: if the line cannot be written.
        """
        outcome = "interrupted" if attempt.is_interrupted else "failed"
        key = digest_of(attempt.decision.document)
        entry = {"outcome": outcome, **attempt.cost, "error": attempt.error}
        self._append(attempt.decision, key, entry)

    def finished(
        self, decision: Decision, action: Action, cost: Mapping[str, Any] | None = None
    ) -> None:
        """Append the lines about a recorded result that the ledger does not have.

        Args:
            decision: what was to be done.
            action: the result that counts.
            cost: of this run's attempt at it, if there was one; the result may be another run's.

        Raises:
            StorageError: if a line cannot be written.
        """
        for spent in (action.ledger, cost or {}):
            # Results of older versions do not say their run; their lines were written before them.
            run = spent.get("run")
            if run is not None and (action.key, run) not in self._written:
                entry = {"outcome": "finished", "output": action.output, **spent}
                self._append(decision, action.key, entry)
                self._written.add((action.key, run))

    @cached_property
    def _written(self) -> set[tuple[str, str]]:
        """Keys and runs of the finished attempts in the ledger."""
        found: set[tuple[str, str]] = set()
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    entry = parse_json(line)
                    if entry["outcome"] == "finished":
                        found.add((entry["key"], entry["run"]))
        return found

    def _append(self, decision: Decision, key: str, entry: Mapping[str, Any]) -> None:
        line = json.dumps({**_about(decision), "key": key, **entry}, ensure_ascii=False) + "\n"
        with writing(self._path), self._path.open("ab+") as file:
            if file.tell() and _last_byte(file.fileno(), file.tell()) != b"\n":
                line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def _about(decision: Decision) -> dict[str, Any]:
    """Return what an attempt's line says of its job; inputs are rows or adapters by language."""
    job, document = decision.job, decision.document or {}
    inputs = {"train": document.get("data"), "merge": document.get("adapters")}.get(job.kind)
    names = ("kind", "task", "language", "model", "seed")
    return {
        "job": job.id,
        **{name: getattr(job, name) for name in names},
        "inputs": dict(inputs or {}),
    }


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)
