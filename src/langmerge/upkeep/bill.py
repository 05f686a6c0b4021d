"""What a project has cost: every run of the ledger, and what each update saved.

Times are device-seconds: wall-clock of the attempts, by monotonic clocks, added up. A run's
makespan is the wall-clock from its start to the end of its last attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from langmerge.engine.ledger import LEDGER_FILE, TRIAL
from langmerge.plan.graph import ANCESTOR, BASELINES, COMBINED, Kind

SECONDS_PER_HOUR = 3600.0

RunKind = Literal["initial", "update", "rebuild", "baseline", "adoption"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Entry(_Part):
    """A line of the ledger: one attempt at a job.

    `inputs` are digests by language: of the rows trained on, or of the adapters merged.
    `training_seconds` is over all processes that worked on a training, killed ones too. An
    `adopted` adapter was trained elsewhere: its entry tells what taking it in cost, no more.
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
    started: AwareDatetime
    seconds: float
    training_seconds: float = 0.0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    supervised_tokens: int = 0
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    device: str | None = None
    energy_joules: float | None = None
    adopted: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether the attempt made its object."""
        return self.outcome == "finished"

    @property
    def is_baseline(self) -> bool:
        """Whether it made or measured a model that only serves for comparing.

        All languages start from the ancestor: only measuring it is for comparing.
        """
        is_measured = self.kind == "evaluate" and self.model == ANCESTOR
        return self.model in BASELINES or is_measured

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
            combined model was, `adoption` if adapters were only taken in.
        trained: adapters trained, what they start from among them, with the reason.
        adopted: adapters trained elsewhere and taken in; what that training cost is not known.
        makespan_seconds: wall-clock of the run.
        device_seconds: of all its attempts.
        price: of these, where a price was given.
        by_kind: the finished jobs, without the combined model's.
        baseline: the combined model's finished jobs.
        failed: attempts that failed or were interrupted.
        problems: of these, the job and the first line of the error.
        devices: what it ran on.
        peak_memory_bytes: the greatest resident set of any attempt.
        energy_joules: of the attempts whose devices told it; null where none did.
        saving: None where the run trained and merged no adapter, or there is nothing to go by.
    """

    run: str
    started: datetime
    kind: RunKind
    trained: list[str]
    adopted: list[str] = []
    makespan_seconds: float
    device_seconds: float
    price: float | None
    by_kind: dict[Kind, Cost]
    baseline: Cost
    failed: Cost
    problems: list[str]
    devices: list[str]
    peak_memory_bytes: int | None
    energy_joules: float | None
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
    runs_in_order = _runs(ledger.entries)
    retrainings = _Retrainings(entry for own in runs_in_order for entry in own)
    done: dict[str, set[str]] = {}
    bills = []
    for own in runs_in_order:
        bills.append(_run_bill(own, _kind_of(own, done), retrainings, price_per_hour))
        for entry in own:
            if entry.is_finished:
                done.setdefault(entry.job, set()).add(entry.key)
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
        return Entry.model_validate_json(line)
    except ValidationError:
        return None


def _runs(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the attempts of each run, in the order in which the runs began.

    Their first lines may be in another order: a line is written when an attempt ends.
    """
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    return sorted(runs.values(), key=_began)


def _began(own: Iterable[Entry]) -> datetime:
    return min(entry.started for entry in own)


def _run_bill(
    own: Sequence[Entry], kind: RunKind, retrainings: _Retrainings, price_per_hour: float | None
) -> RunBill:
    """Return the bill of one run from its attempts."""
    finished = [e for e in own if e.is_finished and not e.is_baseline and not e.adopted]
    failed = [e for e in own if not e.is_finished]
    device_seconds = sum(entry.seconds for entry in own)
    joules = [e.energy_joules for e in own if e.energy_joules is not None]
    peaks = [e.peak_memory_bytes for e in own if e.peak_memory_bytes is not None]
    return RunBill(
        run=own[0].run,
        started=_began(own),
        kind=kind,
        trained=_unique(
            f"{e.task} {e.language or e.model}: {e.reason}" for e in finished if _trains(e)
        ),
        adopted=_unique(f"{e.task} {e.language or e.model}: {e.reason}" for e in own if e.adopted),
        makespan_seconds=max(entry.run_seconds for entry in own),
        device_seconds=device_seconds,
        price=_price(device_seconds, price_per_hour),
        by_kind={kind: _cost(e for e in finished if e.kind == kind) for kind in _KINDS},
        baseline=_cost(e for e in own if e.is_finished and e.is_baseline),
        failed=_cost(failed),
        problems=[f"{entry.job}: {entry.error or entry.outcome}" for entry in failed],
        devices=_unique(entry.device for entry in own if entry.device),
        peak_memory_bytes=max(peaks, default=None),
        energy_joules=sum(joules) if joules else None,
        saving=_saving(finished, retrainings) if kind == "update" else None,
    )


def _kind_of(own: Sequence[Entry], done: Mapping[str, set[str]]) -> RunKind:
    """Return what a run was, given the keys with which each job was done before it."""
    if all(entry.adopted for entry in own):
        return "adoption"
    if all(entry.is_baseline for entry in own):
        return "baseline"
    again = [entry for entry in own if entry.job in done and not entry.is_baseline]
    if any(entry.key not in done[entry.job] for entry in again):
        return "update"
    return "rebuild" if again else "initial"


def _saving(finished: Sequence[Entry], retrainings: _Retrainings) -> Saving | None:
    """Return what an update saved, from its finished attempts without the combined model's.

    None if it trained nothing, or did not come to merging, or nothing is known of retraining.
    """
    trained = {(entry.task, entry.seed) for entry in finished if _trains(entry)}
    merges = {(entry.task, entry.seed): entry for entry in finished if entry.kind == "merge"}
    if not trained or not trained <= merges.keys():
        return None
    found = [retrainings.instead_of(merges[each]) for each in trained]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    retraining = sum(seconds for seconds, _ in known)
    tasks = {task for task, _ in trained}
    update = sum(entry.whole_seconds for entry in finished if entry.task in tasks)
    return Saving(
        update_seconds=update,
        retraining_seconds=retraining,
        share=1 - update / retraining,
        basis="measured" if all(is_measured for _, is_measured in known) else "estimated",
    )


def _without_trials(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Leave out trainings that tried settings out, unless no other tells of the combined model."""
    own = [entry for entry in entries if entry.reason != TRIAL]
    is_known = any(entry.model == COMBINED and entry.kind == "train" for entry in own)
    return own if is_known else entries


@dataclass
class _Combined:
    """A training of the combined model, and the seconds of each evaluation of what it made."""

    training: Entry
    evaluations: dict[str, float] = field(default_factory=dict)

    @property
    def evaluating(self) -> float:
        return sum(self.evaluations.values())


class _Retrainings:
    """What a ledger knows of training everything at once: the combined model's trainings."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._adapters: dict[str | None, Entry] = {}
        self._combined: list[_Combined] = []
        latest: dict[tuple[str, int | None], _Combined] = {}
        for entry in _without_trials(list(entries)):
            of = (entry.task, entry.seed)
            if not entry.is_finished:
                continue
            if _trains(entry):
                self._adapters[entry.output] = entry
            elif entry.model == COMBINED and entry.kind == "train":
                latest[of] = _Combined(entry)
                self._combined.append(latest[of])
            elif entry.model == COMBINED and of in latest:
                latest[of].evaluations.setdefault(entry.job, entry.seconds)

    def instead_of(self, merge: Entry) -> tuple[float, bool] | None:
        """Return what training everything costs on a merge's data, in seconds, with evaluation.

        The second value is whether that was measured: trained on the same rows. None if the ledger
        has no training to go by.
        """
        adapters = [self._adapters.get(output) for output in merge.inputs.values()]
        current = [adapter for adapter in adapters if adapter is not None]
        trained = [
            each
            for each in self._combined
            if each.training.task == merge.task and each.training.tokens and each.training.seconds
        ]
        if len(current) < len(adapters) or not trained:
            return None
        rows = {language: digest for e in current for language, digest in e.inputs.items()}
        for each in reversed(trained):
            if each.training.inputs == rows and each.training.seed == merge.seed:
                return each.training.whole_seconds + each.evaluating, True
        last = trained[-1]
        per_token = last.training.whole_seconds / last.training.tokens
        tokens = sum(adapter.tokens for adapter in current)
        return per_token * tokens + last.evaluating, False


_KINDS: tuple[Kind, ...] = ("data", "train", "merge", "evaluate")


def _trains(entry: Entry) -> bool:
    return entry.kind == "train" and not entry.is_baseline and not entry.adopted


def _cost(entries: Iterable[Entry]) -> Cost:
    of = list(entries)
    return Cost(
        attempts=len(of),
        device_seconds=sum(entry.seconds for entry in of),
        tokens=sum(entry.tokens for entry in of),
        padded_tokens=sum(entry.padded_tokens for entry in of),
        supervised_tokens=sum(entry.supervised_tokens for entry in of),
    )


def _price(device_seconds: float, price_per_hour: float | None) -> float | None:
    return None if price_per_hour is None else device_seconds / SECONDS_PER_HOUR * price_per_hour


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
