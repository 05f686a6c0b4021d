"""What jobs cost, and `STORE/ledger.jsonl`: one line for every attempt of every run.

Lines are only ever appended. A process killed while it wrote leaves half a line, which readers
leave out; the next attempt starts a new one. A process killed while it worked leaves no line. One
killed between a result and its line leaves the result, which has all of the line, and the next run
appends it: a result never has two lines, and never none.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langmerge.engine.energy import joules_between, read_counters
from langmerge.errors import LangmergeError, StorageError
from langmerge.files import writing
from langmerge.plan import Decision
from langmerge.store import Action

LEDGER_FILE = "ledger.jsonl"

_RECORDED_PACKAGES = ("langmerge", "torch", "transformers", "peft")


@dataclass
class Attempt:
    """An attempt at a job while it goes on.

    Attributes:
        cost: what `measured` fills in when the attempt ends, the job's own part of the bill, and
            in which run it was, when and why.
    """

    cost: dict[str, Any] = field(default_factory=dict)

    def made(self, cost: Mapping[str, Any]) -> None:
        """Take note of the job's own part of the bill, such as tokens."""
        self.cost.update(cost)


class Ledger:
    """The ledger of a store, open for one run.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / LEDGER_FILE
        self._run = uuid.uuid4().hex[:12]
        self._start = time.monotonic()

    @contextlib.contextmanager
    def attempt(self, decision: Decision, key: str) -> Iterator[Attempt]:
        """Measure the block; append a line about it if it fails, else see `finished`."""
        attempt = Attempt({"run": self._run, "reason": decision.reason})
        try:
            with measured(attempt.cost):
                yield attempt
        except BaseException as error:
            outcome = "failed" if isinstance(error, Exception) else "interrupted"
            with contextlib.suppress(OSError, StorageError):  # the first error is the one to show
                ending = self._ending(error)
                self._append(decision, key, {"outcome": outcome, **attempt.cost, **ending})
            raise
        attempt.cost.update(self._ending())

    def finished(self, decision: Decision, action: Action) -> None:
        """Append the line about a recorded result, unless the ledger has it.

        Raises:
            StorageError: if the line cannot be written.
        """
        # Results of older versions do not say their run; their lines were written before them.
        run = action.ledger.get("run")
        if run is not None and (action.key, run) not in self._written:
            self._append(
                decision,
                action.key,
                {"outcome": "finished", "output": action.output, **action.ledger},
            )
            self._written.add((action.key, run))

    def _ending(self, error: BaseException | None = None) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._start, 3)
        return {"run_seconds": seconds, **({} if error is None else {"error": _line(error)})}

    @cached_property
    def _written(self) -> set[tuple[str, str]]:
        """Keys and runs of the finished attempts in the ledger."""
        found: set[tuple[str, str]] = set()
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    entry = json.loads(line)
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


@contextlib.contextmanager
def measured(ledger: dict[str, Any]) -> Iterator[None]:
    """Fill `ledger`, when the block ends, with its cost.

    Keys: `started` (UTC, ISO 8601), `seconds` (monotonic wall-clock), `peak_memory_bytes` (resident
    set of this process), `peak_gpu_memory_bytes` and `device`, `energy_joules` where devices report
    it, `versions`.
    """
    ledger["started"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _reset_peaks()
    energy = read_counters()
    start = time.monotonic()
    try:
        yield
    finally:
        if (joules := joules_between(energy, read_counters())) is not None:
            ledger["energy_joules"] = round(joules, 1)
        ledger["seconds"] = round(time.monotonic() - start, 3)
        ledger["peak_memory_bytes"] = _peak_memory_bytes()
        ledger.update(_gpu())
        ledger["versions"] = {name: version(name) for name in _RECORDED_PACKAGES}
        ledger["python"] = platform.python_version()


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


def _line(error: BaseException) -> str:
    """Return an error as one line; only those raised on purpose explain themselves."""
    first = str(error).partition("\n")[0]
    if isinstance(error, LangmergeError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)


def _reset_peaks() -> None:
    with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is the process's so far.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_memory_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _gpu() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"device": "cpu"}
    return {
        "device": torch.cuda.get_device_name(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(),
    }
