"""What a project has cost: every run of the ledger, and what each update saved.

Times are device-seconds: wall-clock of the attempts, by monotonic clocks, added up. A run's
makespan is the wall-clock from its start to the end of its last attempt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from langmerge.engine.ledger import LEDGER_FILE
from langmerge.plan.graph import COMBINED, Kind

SECONDS_PER_HOUR = 3600.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Entry(_Part):
    """A line of the ledger: one attempt at a job.

    `inputs` are digests by language: of the rows trained on, or of the adapters merged.
    `training_seconds` is over all processes that worked on a training, killed ones too.
    """

    run: str
    run_seconds: float
    job: str
    kind: Kind
    task: str
    language: str | None = None
    model: str | None = None
    seed: int | None = None
    key: str
    inputs: dict[str, str] = {}
    output: str | None = None
    outcome: Literal["finished", "failed", "interrupted"]
    reason: str = ""
    error: str | None = None
    started: datetime
    seconds: float
    training_seconds: float = 0.0
    tokens: int = 0
    padded_tokens: int = 0
    supervised_tokens: int = 0
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    device: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the attempt made its object."""
        return self.outcome == "finished"

    @property
    def is_baseline(self) -> bool:
        """Whether it made or measured the combined model, which only serves for comparing."""
        return self.model == COMBINED

    @property
    def whole_seconds(self) -> float:
        """Time that `tokens` took, in killed processes too."""
        return max(self.seconds, self.training_seconds)


@dataclass(frozen=True)
class LedgerContent:
    """The attempts of a ledger in their order, and how many lines are not readable."""

    entries: tuple[Entry, ...]
    unreadable: int


class Cost(_Part):
    """What some attempts cost together; tokens are real ones, with padding, and supervised."""

    attempts: int
    device_seconds: float
    tokens: int
    padded_tokens: int
    supervised_tokens: int


class Saving(_Part):
    """An update against retraining and evaluating the combined model on the same data.

    Attributes:
        update_seconds: device-seconds of the update's finished jobs, evaluations included.
        retraining_seconds: device-seconds of the combined model's training and evaluations.
        share: 1 - update / retraining; negative where the update cost more.
        basis: `measured` if the ledger has that training, on the same rows; else `estimated` from
            the seconds per token of an earlier one, and its evaluations.
    """

    update_seconds: float
    retraining_seconds: float
    share: float
    basis: Literal["measured", "estimated"]


class RunBill(_Part):
    """What one run cost.

    Attributes:
        run: its id.
        started: when its first attempt began, UTC.
        kind: `initial` for jobs done for the first time, `update` if a job was done with other
            inputs than before, `rebuild` if a lost result was made again, `baseline` if only the
            combined model was.
        trained: adapters trained, with the reason.
        makespan_seconds: wall-clock of the run.
        device_seconds: of all its attempts.
        price: of these, where a price was given.
        by_kind: the finished jobs, without the combined model's.
        baseline: the combined model's finished jobs.
        failed: attempts that failed or were interrupted.
        problems: of these, the job and the first line of the error.
        devices: what it ran on.
        peak_memory_bytes: the greatest resident set of any attempt.
        saving: None where the run trained and merged no adapter, or there is nothing to go by.
    """

    run: str
    started: datetime
    kind: Literal["initial", "update", "rebuild", "baseline"]
    trained: list[str]
    makespan_seconds: float
    device_seconds: float
    price: float | None
    by_kind: dict[Kind, Cost]
    baseline: Cost
    failed: Cost
    problems: list[str]
    devices: list[str]
    peak_memory_bytes: int | None
    saving: Saving | None


class Bill(_Part):
    """The runs of a ledger, oldest first, and their totals."""

    schema_version: Literal[1] = 1
    price_per_hour: float | None
    runs: list[RunBill]
    makespan_seconds: float
    device_seconds: float
    price: float | None
    unreadable_lines: int


def read_ledger(store: Path) -> LedgerContent:
    """Read a store's ledger; a missing one is empty, half a line of a killed process is left out.

    Args:
        store: the store's folder.
    """
    try:
        lines = (store / LEDGER_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    written = [line for line in lines if line.strip()]
    entries = [entry for line in written if (entry := _entry(line)) is not None]
    return LedgerContent(tuple(entries), len(written) - len(entries))


def make_bill(
    ledger: LedgerContent, *, since: datetime | None = None, price_per_hour: float | None = None
) -> Bill:
    """Return what the runs of a ledger cost.

    Args:
        ledger: all of it: what a run was, and what it saved, depends on the others.
        since: leave out runs that began earlier; with a time zone.
        price_per_hour: of one device, in any currency.
    """
    entries = sorted(ledger.entries, key=_run_order(ledger.entries))
    bills = [
        _run_bill(run, list(own), entries, price_per_hour)
        for run, own in groupby(entries, key=lambda entry: entry.run)
    ]
    runs = [bill for bill in bills if since is None or bill.started >= since]
    device_seconds = sum(run.device_seconds for run in runs)
    return Bill(
        price_per_hour=price_per_hour,
        runs=runs,
        makespan_seconds=sum(run.makespan_seconds for run in runs),
        device_seconds=device_seconds,
        price=_price(device_seconds, price_per_hour),
        unreadable_lines=ledger.unreadable,
    )


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None
