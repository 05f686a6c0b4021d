"""Trainings of a plan as one unit: done together, billed apart, and none the others' victim."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import Adapter
from langmerge.cli.run import run_project
from langmerge.model import load_base
from langmerge.plan.lock import Lock
from langmerge.store import Store
from langmerge.train.record import read_record
from langmerge.train.run import AdapterRun
from langmerge.upkeep.bill import LedgerContent, make_bill, read_ledger

TRAIN = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 0.01,
    "max_length": 64,
}


def project_trained(way: str, folder: Path, base: Path, **more: Any) -> Path:
    return make_project(
        folder,
        base,
        ("classification", "generation"),
        train={**TRAIN, "grouping": way, **more},
        compare=["individual"],
    )


def adapter(project: Path, job: str) -> Path:
    entry = Lock.load(project.parent).jobs[job]
    return Store(project.parent / ".langmerge").object(entry["output"])


def entries_of(project: Path) -> list[dict[str, Any]]:
    ledger = project.parent / ".langmerge" / "ledger.jsonl"
    found = [json.loads(line) for line in ledger.read_text().splitlines()]
    return [entry for entry in found if entry["kind"] == "train"]


@pytest.fixture
def grouped(tmp_path: Path, tiny_base_folder: Path) -> Path:
    project = project_trained("grouped", tmp_path / "grouped", tiny_base_folder)
    run_project(project)
    return project


def test_adapters_of_all_tasks_train_in_one_step_and_become_what_they_are_alone(
    grouped: Path, tmp_path: Path, tiny_base_folder: Path
) -> None:
    alone = project_trained("sequential", tmp_path / "alone", tiny_base_folder)
    run_project(alone)

    assert Lock.load(grouped.parent).jobs.keys() == Lock.load(alone.parent).jobs.keys()
    for job in (f"train/{task}/{code}/seed0" for task in ("classification", "generation")
                for code in ("de", "en")):  # fmt: skip
        first, second = (Adapter.load(adapter(of, job)) for of in (grouped, alone))
        for module in first.modules:
            delta, expected = (each.factors(module).delta() for each in (first, second))
            assert (delta - expected).abs().max() < 1e-4 * expected.abs().max() + 1e-6
    # The way is no part of a key: what one made counts for the other.
    text = grouped.read_text().replace("grouping: grouped", "grouping: sequential")
    grouped.write_text(text)
    assert {r.outcome for r in run_project(grouped).results.values()} == {"reused"}


def test_each_adapter_is_billed_its_share(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.4)
        return load_base(*arguments, **options)

    monkeypatch.setattr("langmerge.engine.bench.load_base", slowly)
    grouped = project_trained("grouped", tmp_path / "grouped", tiny_base_folder)
    run_project(grouped)
    trained = entries_of(grouped)

    assert len(trained) == 4
    assert {entry["together"]["way"] for entry in trained} == {"grouped"}
    assert {entry["together"]["adapters"] for entry in trained} == {4}
    entries = read_ledger(grouped.parent / ".langmerge").entries
    (bill,) = make_bill(LedgerContent(entries, 0)).runs
    whole = max(e.run_seconds for e in entries if e.kind == "train")
    before = max(e.run_seconds for e in entries if e.kind == "data")
    billed = sum(entry["seconds"] for entry in trained)
    assert 0.4 < billed <= whole - before + 0.01  # loading the base is part of it
    assert min(entry["seconds"] for entry in trained) > 0.1
    assert bill.device_seconds <= bill.makespan_seconds
    assert all(entry["flops"] > 0 for entry in trained)


def test_one_that_diverges_leaves_the_others_alone(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = AdapterRun.update

    def spoilt(run: AdapterRun, loss: float, norm: float, parts: Any) -> None:
        is_german = "train/classification/de/" in run.lesson.name
        update(run, float("nan") if is_german and run.progress.step == 2 else loss, norm, parts)

    monkeypatch.setattr(AdapterRun, "update", spoilt)
    project = project_trained("grouped", tmp_path, tiny_base_folder)
    run = run_project(project)

    (failed,) = run.of("failed")
    assert failed.decision.job.id == "train/classification/de/seed0"
    assert "diverged at step 3" in (failed.problem or "")
    trained = [r.decision.job.id for r in run.of("ran") if r.decision.job.kind == "train"]
    assert len(trained) == 3


def test_what_nobody_foresaw_in_one_training_stops_no_other(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = AdapterRun.update

    def broken(run: AdapterRun, *arguments: Any) -> None:
        if "/classification/de/" in run.lesson.name:
            raise ZeroDivisionError("a bug")
        update(run, *arguments)

    monkeypatch.setattr(AdapterRun, "update", broken)
    project = project_trained("sequential", tmp_path, tiny_base_folder)
    run = run_project(project)

    (failed,) = run.of("failed")
    assert failed.decision.job.id == "train/classification/de/seed0"
    assert "ZeroDivisionError: a bug" in (failed.problem or "")


def test_dev_losses_are_kept_and_stop_a_training(tmp_path: Path, tiny_base_folder: Path) -> None:
    measured = project_trained("sequential", tmp_path / "a", tiny_base_folder, eval_steps=2)
    run_project(measured)
    record = read_record(adapter(measured, "train/classification/de/seed0"))
    assert [dev.step for dev in record.dev_losses] == [2, 4, 6]

    # Without early stopping the rows of dev are no part of what is trained: nothing is retrained.
    write_rows(
        measured.parent / "data/classification/de/dev.jsonl",
        rows("classification", "de", "dev", 5),
    )
    again = run_project(measured)
    assert not [r for r in again.of("ran") if r.decision.job.kind == "train"]

    stopping = project_trained(
        "sequential",
        tmp_path / "b",
        tiny_base_folder,
        eval_steps=1,
        early_stopping_patience=1,
        learning_rate=3.0,
    )
    run_project(stopping)
    record = read_record(adapter(stopping, "train/classification/de/seed0"))
    assert len(record.losses) < 6
    write_rows(
        stopping.parent / "data/classification/de/dev.jsonl",
        rows("classification", "de", "dev", 5),
    )
    again = run_project(stopping)
    assert [r.decision.job.id for r in again.of("ran") if r.decision.job.kind == "train"] == [
        "train/classification/de/seed0"
    ]


def test_a_dev_loss_that_is_not_finite_stops_its_own_training_alone(
    tmp_path: Path, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = AdapterRun.measured

    def spoilt(run: AdapterRun, loss: float) -> None:
        is_german = "train/classification/de/" in run.lesson.name
        measured(run, float("nan") if is_german else loss)

    monkeypatch.setattr(AdapterRun, "measured", spoilt)
    project = project_trained("grouped", tmp_path, tiny_base_folder, eval_steps=2)
    (failed,) = run_project(project).of("failed")

    assert failed.decision.job.id == "train/classification/de/seed0"
    assert "diverged at step 2 of 6: the dev loss is nan" in (failed.problem or "")
    assert all(
        entry.get("together", {}).get("way") != "sequential" for entry in entries_of(project)
    )


def test_with_early_stopping_newer_rows_leave_the_combined_model_stale_and_continue_adapters(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    stopping = {"eval_steps": 2, "early_stopping_patience": 3}
    project = make_project(
        tmp_path,
        tiny_base_folder,
        train={**TRAIN, **stopping},
        update={"mode": "continue", "train": stopping},
        compare=["individual", "combined"],
    )
    run_project(project)
    write_rows(
        project.parent / "data/classification/de/dev.jsonl",
        rows("classification", "de", "dev", 5),
    )
    again = run_project(project)

    ran = {r.decision.job.id: r.decision.reason for r in again.of("ran")
           if r.decision.job.kind == "train"}  # fmt: skip
    assert list(ran) == ["train/classification/de/seed0"]
    assert "continues its last adapter" in ran["train/classification/de/seed0"]
    (stale,) = (r for r in again.of("stale") if r.decision.job.kind == "train")
    assert stale.decision.job.model == "combined"
