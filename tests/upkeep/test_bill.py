"""The ledger and the bill: every attempt is written down, added up, and compared honestly."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from projects import make_project

from langmerge.cli.run import run_project
from langmerge.engine.attempts import Attempt
from langmerge.engine.bench import Made, Produced, Progress
from langmerge.engine.carrying import carry_out
from langmerge.engine.ledger import LEDGER_FILE, TRIAL, Ledger
from langmerge.errors import StorageError, UserError
from langmerge.plan import Decision, Job
from langmerge.store import Action
from langmerge.train.run import AdapterRun
from langmerge.upkeep.bill import Bill, LedgerContent, make_bill, read_ledger

LANGUAGES = ("de", "en")
TRAIN = Job("train/t/de/seed0", "train", "t", "de", "individual", None, 0)


class Writer:
    """Writes a ledger by hand; times are seconds, and runs are an hour apart."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.elapsed: dict[str, float] = {}

    def write(self, run: str, kind: str, name: str, seconds: float, **more: Any) -> None:
        self.elapsed[run] = self.elapsed.get(run, 0.0) + seconds
        language = name if name in LANGUAGES and kind != "merge" else None
        line = {
            "run": run,
            "run_seconds": self.elapsed[run],
            "job": f"{kind}/t/{name}/seed0",
            "kind": kind,
            "task": "t",
            "language": language,
            "model": name if kind == "train" and not language else None,
            "seed": 0,
            "key": f"{run}{kind}{name}",
            "outcome": "finished",
            "started": f"2026-11-{int(run):02d}T10:00:00+00:00",
            "seconds": seconds,
            "device": "cpu",
            "peak_memory_bytes": int(seconds),
        }
        self.lines.append({**line, **more})

    def train(self, run: str, language: str, seconds: float, tokens: int, **more: Any) -> None:
        rows = {language: f"rows-{language}-{run}"}
        output = f"adapter-{language}-{run}"
        self.write(
            run, "train", language, seconds,
            tokens=tokens, inputs=rows, output=output, reason=f"data.{language} changed", **more,
        )  # fmt: skip

    def merge(self, run: str, **trained: str) -> None:
        """Merge the adapters that languages had after the named runs, and evaluate."""
        inputs = {language: f"adapter-{language}-{of}" for language, of in trained.items()}
        self.write(run, "merge", "ties", 2.0, inputs=inputs)
        for language in trained:
            self.evaluate(run, "merged:ties", language)

    def combined(self, run: str, seconds: float, tokens: int, **trained: str) -> None:
        rows = {language: f"rows-{language}-{of}" for language, of in trained.items()}
        self.write(run, "train", "combined", seconds, tokens=tokens, inputs=rows)
        for language in trained:
            self.evaluate(run, "combined", language)

    def evaluate(self, run: str, model: str, language: str) -> None:
        job = f"evaluate/t/{model}/{language}/seed0/test"
        self.write(run, "evaluate", language, 1.0, job=job, model=model, tokens=5)

    def initial(self) -> None:
        self.train("1", "de", 10.0, 100)
        self.train("1", "en", 12.0, 100)
        self.merge("1", de="1", en="1")
        self.combined("1", 20.0, 200, de="1", en="1")

    def update(self) -> None:
        self.train("2", "de", 11.0, 140)
        self.merge("2", de="2", en="1")

    def bill(self, folder: Path, **options: Any) -> Bill:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (folder / LEDGER_FILE).write_text(text)
        return make_bill(read_ledger(folder), **options)


@pytest.fixture
def ledger() -> Writer:
    return Writer()


def test_an_update_against_an_estimate(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.update()

    initial, update = ledger.bill(tmp_path).runs

    assert (initial.kind, initial.saving) == ("initial", None)
    assert initial.makespan_seconds == initial.device_seconds == 10 + 12 + 2 + 2 + 20 + 2
    assert initial.by_kind["train"].device_seconds == 22
    assert initial.by_kind["train"].tokens == 200
    assert initial.by_kind["merge"].device_seconds == 2
    assert initial.by_kind["evaluate"].attempts == 2
    assert initial.baseline.device_seconds == 22
    assert initial.peak_memory_bytes == 20
    assert update.kind == "update"
    assert update.trained == ["t de: data.de changed"]
    assert update.saving is not None
    assert update.saving.basis == "estimated"
    assert update.saving.update_seconds == 11 + 2 + 2
    # 20 s / 200 tokens, of German's 140 new and English's 100 old ones, and two evaluations.
    assert update.saving.retraining_seconds == pytest.approx(0.1 * 240 + 2)
    assert update.saving.share == pytest.approx(1 - 15 / 26)


def test_an_update_against_a_measurement(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.update()
    ledger.combined("3", 30.0, 240, de="2", en="1")

    _, update, baseline = ledger.bill(tmp_path).runs

    assert baseline.kind == "baseline"
    assert baseline.baseline.device_seconds == 32
    assert update.saving is not None
    assert update.saving.basis == "measured"
    assert update.saving.retraining_seconds == 32


def test_trying_settings_out_is_no_measure_of_retraining(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.update()
    ledger.write(
        "3", "train", "combined", 90.0, tokens=240, reason=TRIAL,
        inputs={"de": "rows-de-2", "en": "rows-en-1"},
    )  # fmt: skip

    _, update, trial = ledger.bill(tmp_path).runs

    assert (trial.kind, trial.baseline.device_seconds) == ("baseline", 90)
    assert update.saving is not None
    assert update.saving.basis == "estimated"
    assert update.saving.retraining_seconds == pytest.approx(0.1 * 240 + 2)


def test_the_baseline_in_the_update_itself_is_no_part_of_its_cost(
    ledger: Writer, tmp_path: Path
) -> None:
    ledger.initial()
    ledger.update()
    ledger.combined("2", 30.0, 240, de="2", en="1")

    update = ledger.bill(tmp_path).runs[1]

    assert update.kind == "update"
    assert update.saving is not None
    assert (update.saving.update_seconds, update.saving.retraining_seconds) == (15, 32)
    assert update.saving.basis == "measured"


def test_time_of_killed_processes_counts_in_the_rate(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.lines[-3]["training_seconds"] = 40.0  # of the combined model, resumed
    ledger.update()

    saving = ledger.bill(tmp_path).runs[1].saving

    assert saving is not None
    assert saving.retraining_seconds == pytest.approx(0.2 * 240 + 2)


def test_nothing_to_go_by_is_said_nowhere_as_a_number(ledger: Writer, tmp_path: Path) -> None:
    ledger.train("1", "de", 10.0, 100)
    ledger.train("1", "en", 12.0, 100)
    ledger.merge("1", de="1", en="1")
    ledger.update()

    assert ledger.bill(tmp_path).runs[1].saving is None


def test_an_update_that_did_not_come_to_merging_saved_nothing_yet(
    ledger: Writer, tmp_path: Path
) -> None:
    ledger.initial()
    ledger.train("2", "de", 11.0, 140)
    ledger.write("2", "merge", "ties", 3.0, outcome="failed", error="the rank is odd")

    update = ledger.bill(tmp_path).runs[1]

    assert update.saving is None
    assert update.by_kind["merge"].attempts == 0
    assert (update.failed.attempts, update.failed.device_seconds) == (1, 3)
    assert update.problems == ["merge/t/ties/seed0: the rank is odd"]
    assert update.device_seconds == 14


def test_a_lost_result_made_again_is_no_update(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.train("2", "de", 10.0, 100, key="1trainde")

    assert [run.kind for run in ledger.bill(tmp_path).runs] == ["initial", "rebuild"]


def test_runs_are_in_the_order_in_which_they_began(ledger: Writer, tmp_path: Path) -> None:
    ledger.update()
    ledger.lines[0]["started"] = "2026-11-02T12:00:00+00:00"  # told first, begun last
    ledger.initial()  # by another run, which ended later

    initial, update = ledger.bill(tmp_path).runs

    assert (initial.run, initial.kind, update.run, update.kind) == ("1", "initial", "2", "update")
    assert update.started == datetime(2026, 11, 2, 10, tzinfo=timezone.utc)
    assert update.saving is not None


def test_price_and_since(ledger: Writer, tmp_path: Path) -> None:
    ledger.initial()
    ledger.update()
    since = datetime(2026, 11, 2, tzinfo=timezone.utc)

    bill = ledger.bill(tmp_path, since=since, price_per_hour=3600.0)

    assert [run.kind for run in bill.runs] == ["update"]  # though its history is left out
    assert bill.price == bill.device_seconds == 15
    assert bill.runs[0].saving is not None
    assert Bill.model_validate_json(bill.model_dump_json()) == bill


def test_no_ledger(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == LedgerContent((), 0)
    assert make_bill(read_ledger(tmp_path)).runs == []


DOCUMENT = {"data": {"de": "rows"}}
DECISION = Decision(TRAIN, "run", "no result yet", DOCUMENT)


class Bench:
    """Makes nothing, or fails."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def do(self, decisions: Sequence[Decision], made: Made, progress: Progress) -> None:
        if self.error is not None:
            raise self.error
        for decision in decisions:
            made(decision, Produced("output", {}, {"tokens": 7, "training_seconds": 0.5}))


def attempt(
    ledger: Ledger, error: BaseException | None = None, first: Action | None = None
) -> Attempt:
    def write_down(attempt: Attempt) -> None:
        attempts.append(attempt)
        if attempt.action is None:
            ledger.failed(attempt)
        else:
            ledger.finished(DECISION, attempt.action, attempt.cost)

    attempts: list[Attempt] = []
    store = mock.Mock(record=lambda action: first or action)
    bench: Any = Bench(error)
    carry_out(
        [DECISION], bench, store=store, clock=ledger.clock, tell=write_down, progress=mock.Mock()
    )
    return attempts[0]


def test_every_attempt_is_one_line(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    attempt(ledger)
    assert "Traceback" in (attempt(ledger, ValueError("one\ntwo")).problem or "")
    for error in (StorageError("x: full"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            attempt(ledger, error)
    attempt(Ledger(tmp_path))

    entries = read_ledger(tmp_path).entries
    assert [entry.outcome for entry in entries] == [
        "finished", "failed", "failed", "interrupted", "finished"
    ]  # fmt: skip
    assert [entry.error for entry in entries[1:4]] == [
        "ValueError: one", "x: full", "KeyboardInterrupt"
    ]  # fmt: skip
    first = entries[0]
    assert (first.job, first.inputs, first.output) == (TRAIN.id, {"de": "rows"}, "output")
    assert (first.tokens, first.device) == (7, "cpu")
    assert first.run_seconds >= first.seconds >= 0
    assert len({entry.run for entry in entries}) == 2
    assert entries[0].run == entries[3].run
    assert {"langmerge", "torch"} <= json.loads(
        (tmp_path / LEDGER_FILE).read_text().splitlines()[0]
    )["versions"].keys()


def test_a_finished_result_has_one_line_whoever_writes_it(tmp_path: Path) -> None:
    (killed := tmp_path / "killed").mkdir()
    made = attempt(Ledger(killed))
    assert made.action is not None
    later = Ledger(tmp_path)

    later.finished(DECISION, made.action)  # the process that made it was killed before it could
    later.finished(DECISION, made.action)
    Ledger(tmp_path).finished(DECISION, made.action)

    (entry,) = read_ledger(tmp_path).entries
    assert (entry.outcome, entry.run, entry.reason) == (
        "finished",
        made.cost["run"],
        "no result yet",
    )


def test_an_attempt_whose_result_another_run_had_first_is_billed(tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    first = attempt(Ledger(elsewhere)).action
    assert first is not None
    here = Ledger(tmp_path)

    second = attempt(here, first=first)
    attempt(here, first=first)  # of the same run: a worker that was thought dead
    Ledger(tmp_path).finished(DECISION, first)

    assert second.action == first
    entries = read_ledger(tmp_path).entries
    runs = [first.ledger["run"], here.clock.run]
    assert [(e.outcome, e.run, e.output, e.tokens) for e in entries] == [
        ("finished", run, first.output, 7) for run in runs
    ]
    assert [bill.run for bill in make_bill(LedgerContent(entries, 0)).runs] == runs


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_half_a_line_is_left_out_and_written_after(tmp_path: Path, kept: int) -> None:
    attempt(Ledger(tmp_path))
    line = (tmp_path / LEDGER_FILE).read_bytes()
    (tmp_path / LEDGER_FILE).write_bytes(line + line[:kept].rstrip(b"}"))

    assert (len(read_ledger(tmp_path).entries), read_ledger(tmp_path).unreadable) == (1, 1)
    attempt(Ledger(tmp_path))

    assert (len(read_ledger(tmp_path).entries), read_ledger(tmp_path).unreadable) == (2, 1)


def test_a_full_disk_is_said_of_a_result(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        attempt(Ledger(tmp_path / "nowhere"))


def test_a_real_run_and_a_failing_language(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, tiny_base_folder, compare=["individual", "combined"])
    calls: list[Any] = []

    def diverge_first(run: AdapterRun, *arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise UserError("training diverged at step 2\nand more")
        update(run, *arguments)

    update = AdapterRun.update
    monkeypatch.setattr(AdapterRun, "update", diverge_first)
    run_project(project)
    run_project(project)

    entries = read_ledger(tmp_path / ".langmerge").entries
    initial, mended = make_bill(LedgerContent(entries, 0)).runs

    assert initial.problems == ["train/classification/de/seed0: training diverged at step 2"]
    assert initial.failed.attempts == 1
    assert mended.failed.attempts == 0
    assert mended.trained == ["classification de: no result yet"]
    assert mended.by_kind["merge"].attempts == 1
    trained = [e for e in entries if e.kind == "train" and e.is_finished]
    assert all(e.padded_tokens >= e.tokens > e.supervised_tokens > 0 for e in trained)
    (merged,) = (e for e in entries if e.kind == "merge")
    assert set(merged.inputs.values()) == {e.output for e in trained if not e.is_baseline}
    assert initial.makespan_seconds >= initial.device_seconds > 0


def test_the_ancestor_is_of_the_first_bill_and_measuring_it_of_the_baselines(
    ledger: Writer, tmp_path: Path
) -> None:
    ledger.initial()
    (without,) = ledger.bill(tmp_path).runs
    ledger.write("1", "train", "ancestor", 7.0, model="ancestor", tokens=20, reason="new")
    ledger.evaluate("1", "ancestor", "de")
    ledger.update()
    first, update = ledger.bill(tmp_path).runs

    assert "t ancestor: new" in first.trained
    assert first.by_kind["train"].device_seconds == without.by_kind["train"].device_seconds + 7.0
    assert first.baseline.device_seconds == without.baseline.device_seconds + 1.0
    assert [each.split(":")[0] for each in update.trained] == ["t de"]
    assert update.kind == "update"
