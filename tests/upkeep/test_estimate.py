from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from langmerge.plan import Decision, Job
from langmerge.upkeep.bill import Entry
from langmerge.upkeep.estimate import estimate_plan

FACTS = {
    f"data/topic/{language}": {"splits": {"train": {"rows": rows}, "test": {"rows": 20}}}
    for language, rows in (("de", 150), ("en", 100), ("fr", 50))
}


def entry(job: str, seconds: float, rows: int = 0, **changes: Any) -> Entry:
    kind, task, model, *_ = job.split("/")
    return Entry(
        run="r", run_seconds=1, job=job, kind=kind, task=task, model=model, key="k",
        outcome="finished", started=datetime(2026, 1, 1, tzinfo=timezone.utc), seconds=seconds,
        rows=rows, **changes,
    )  # fmt: skip


def training(language: str) -> Decision:
    needs = (f"data/topic/{language}",)
    job = Job(
        f"train/topic/{language}/seed0", "train", "topic", language, "individual", needs=needs
    )
    return Decision(job, "run", "")


def test_a_job_costs_what_it_did_for_as_many_rows_as_it_has_now() -> None:
    entries = [entry("train/topic/de/seed0", 99, 100), entry("train/topic/de/seed0", 10, 100)]

    found = estimate_plan([training("de")], entries, FACTS)

    assert found.seconds == pytest.approx(15)
    assert found.is_complete


def test_a_new_job_costs_what_its_like_did_per_row() -> None:
    entries = [
        entry(f"train/topic/{code}/seed0", seconds, 100).model_copy(update={"model": "individual"})
        for code, seconds in (("de", 10), ("en", 20), ("ja", 60))
    ]

    assert estimate_plan([training("fr")], entries, FACTS).seconds == pytest.approx(50 * 0.2)


def test_another_task_is_better_than_nothing() -> None:
    entries = [entry("train/other/de/seed0", 10, 100).model_copy(update={"model": "individual"})]

    assert estimate_plan([training("en")], entries, FACTS).seconds == pytest.approx(10)


def test_what_nothing_is_known_of_is_counted() -> None:
    merge = Decision(Job("merge/topic/ties/seed0", "merge", "topic", recipe="ties"), "run", "")

    found = estimate_plan([training("de"), merge], [], FACTS)

    assert (found.seconds, found.unknown, found.is_complete) == (0, {"train": 1, "merge": 1}, False)


def test_failures_and_what_does_not_run_count_for_nothing() -> None:
    failed = entry("train/topic/de/seed0", 5, 150).model_copy(update={"outcome": "failed"})
    reused = Decision(training("en").job, "reuse", "")
    ledger = [entry("train/topic/en/seed0", 10, 100), failed]

    found = estimate_plan([reused, training("de")], ledger, FACTS)

    assert (found.seconds, found.unknown) == (0, {"train": 1})


def test_a_continued_training_costs_what_the_last_one_did() -> None:
    decision = replace(training("de"), document={"continued": {"from": "x"}})

    found = estimate_plan([decision], [entry("train/topic/de/seed0", 4, 10)], FACTS)

    assert found.seconds == 4


def ancestor(share: float) -> Decision:
    needs = ("data/topic/de", "data/topic/en")
    job = Job("train/topic/ancestor/seed0", "train", "topic", None, "ancestor", needs=needs)
    return Decision(job, "run", "", {"share": share})


def test_an_ancestor_costs_its_share_of_the_rows() -> None:
    alone = entry("train/topic/ancestor/seed0", 5, 25)
    assert estimate_plan([ancestor(0.2)], [alone], FACTS).seconds == pytest.approx(10)

    like = entry("train/topic/de/seed0", 10, 100).model_copy(update={"model": "individual"})
    assert estimate_plan([ancestor(0.2)], [like], FACTS).seconds == pytest.approx(50 * 0.1)
