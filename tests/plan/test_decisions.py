"""Decisions: what runs, what is reused, what is stale, and the reasons given."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pretender import Pretender
from projects import make_project, rows, write_rows

from langmerge.base import ResolvedBase
from langmerge.errors import ProjectError
from langmerge.plan.decisions import _only_newer_data
from langmerge.plan.keys import differences
from langmerge.plan.lock import Lock
from langmerge.store import Action


@pytest.fixture
def project(tmp_path: Path) -> Pretender:
    return Pretender(make_project(tmp_path, tmp_path / "base"))


def test_nothing_there_yet(project: Pretender) -> None:
    decisions = project.plan()

    assert {d.action for d in decisions.values()} == {"run"}
    assert decisions["train/classification/de/seed0"].reason == "no result yet"
    assert decisions["merge/classification/ties/seed0"].reason.startswith(
        "after train/classification/de"
    )


def test_done_is_reused(project: Pretender) -> None:
    assert project.run()
    assert {d.action for d in project.plan().values()} == {"reuse"}
    assert project.run() == []


def test_new_rows_are_named_and_the_combined_model_is_stale(project: Pretender) -> None:
    project.run()
    path = project.project_file.parent / "data/classification/de/train.jsonl"
    write_rows(path, rows("classification", "de", "train", 9))

    decisions = project.plan()

    assert decisions["train/classification/de/seed0"].reason == "data.de (+3 rows, -0) changed"
    assert decisions["train/classification/en/seed0"].action == "reuse"
    combined = decisions["train/classification/combined/seed0"]
    assert combined.action == "stale"
    assert "--baselines" in combined.reason
    assert project.plan(baselines=True)[combined.job.id].action == "run"


def test_a_changed_base_or_prompt_reruns_the_combined_model_too(project: Pretender) -> None:
    project.run()
    other = ResolvedBase("folder", "base", "v" * 64, "t" * 64)

    for decision in project.plan(base=other).values():
        if decision.job.kind == "train":
            assert (decision.action, decision.reason) == ("run", "base.weights changed")


def test_a_changed_recipe_trains_nothing(project: Pretender) -> None:
    project.run()
    text = project.project_file.read_text()
    project.project_file.write_text(text + "merge: {ties: {method: ties, density: 0.5}}\n")

    ran = project.run()

    assert {job.partition("/")[0] for job in ran} == {"merge", "evaluate"}
    assert all("ties" in job for job in ran)


def test_a_test_row_reruns_evaluations_of_that_language_alone(project: Pretender) -> None:
    project.run()
    path = project.project_file.parent / "data/classification/en/test.jsonl"
    write_rows(path, rows("classification", "en", "test", 5))

    ran = [job for job in project.run() if not job.startswith("data/")]

    assert {job.split("/")[3] for job in ran} == {"en"}
    assert all(job.startswith("evaluate/") for job in ran)


def test_rolling_back_data_finds_the_old_results(project: Pretender) -> None:
    project.run()
    path = project.project_file.parent / "data/classification/de/train.jsonl"
    old = path.read_text()
    write_rows(path, rows("classification", "de", "train", 9))
    project.run()
    path.write_text(old)

    assert {d.action for d in project.plan().values()} == {"reuse"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"data": {"de": "2"}}, True),
        ({"data": {"de": "1", "fr": "1"}, "task": {"de": "p", "fr": "p"}}, True),
        ({"task": {"de": "q"}}, False),
        ({"data": {"de": "2"}, "task": {"de": "q"}}, False),
        ({"seed": 1}, False),
    ],
)
def test_only_newer_data_makes_stale(change: dict[str, Any], stale: bool) -> None:
    old = {"data": {"de": "1"}, "task": {"de": "p"}, "seed": 0}

    assert _only_newer_data(old, {**old, **change}) is stale


def test_differences_are_dotted() -> None:
    old = {"adapter": {"r": 1, "x": None}, "seed": 0}
    new = {"adapter": {"r": 2}, "seed": 0}

    assert differences(old, new) == ["adapter.r", "adapter.x"]


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "[]", '{"version": 1}', '{"version": 9}'])
def test_a_damaged_lock_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "langmerge.lock").write_text(text)

    with pytest.raises(ProjectError, match=r"langmerge\.lock"):
        Lock.load(tmp_path)


def test_plan_as_json_without_torch(project: Pretender, tiny_base_folder: Path) -> None:
    file = project.project_file
    text = file.read_text().replace(str(file.parent / "base"), str(tiny_base_folder))
    file.write_text(text)
    code = (
        "import sys\nfrom langmerge.cli import app\n"
        f"app(['plan', '--json', '--project', {str(file)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    jobs = json.loads(done.stdout)
    assert {job["kind"] for job in jobs} == {"data", "train", "merge", "evaluate"}
    assert set(jobs[0]) >= {
        "id", "kind", "task", "language", "model", "recipe", "seed", "needs", "action", "reason"
    }  # fmt: skip
    combined = next(job for job in jobs if job["id"] == "train/classification/combined/seed0")
    assert combined["language"] is None


def test_a_local_data_set_is_known_by_its_content(project: Pretender) -> None:
    folder = project.project_file.parent
    text = project.project_file.read_text()
    data = "data: data/classification/{language}/{split}.jsonl"
    hub = (
        "data: {hub: {path: 'data/classification/{language}',"
        " splits: {train: train, dev: dev, test: test}}}"
    )
    project.project_file.write_text(text.replace(data, hub))
    before = {d.job.id: d.document for d in project.plan().values() if d.job.kind == "data"}

    write_rows(
        folder / "data/classification/de/train.jsonl", rows("classification", "de", "train", 9)
    )

    after = {d.job.id: d.document for d in project.plan().values() if d.job.kind == "data"}
    assert [name for name in before if before[name] != after[name]] == ["data/classification/de"]


def test_what_costs_otherwise_and_gives_the_same_is_not_keyed(project: Pretender) -> None:
    project.run()
    text = project.project_file.read_text()
    project.project_file.write_text(
        text.replace("max_length: 64", "max_length: 64\n  gradient_checkpointing: true")
    )

    assert {d.action for d in project.plan().values()} == {"reuse"}


def test_a_removed_language_is_forgotten(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "langmerge.lock")
    action = Action("a" * 64, {}, "b" * 64)
    lock.update({"train/de": action, "train/en": action})

    lock.update({"train/en": action}, known={"train/en"})

    assert list(Lock.load(tmp_path).jobs) == ["train/en"]


@pytest.mark.parametrize("place", ["key", "output"])
@pytest.mark.parametrize("value", ["../../package", "", None, 7, "A" * 64])
def test_a_lock_names_digests_and_nothing_else(tmp_path: Path, place: str, value: object) -> None:
    entry = {"key": "a" * 64, "output": "b" * 64, place: value}
    (tmp_path / "langmerge.lock").write_text(json.dumps({"version": 1, "jobs": {"j": entry}}))

    with pytest.raises(ProjectError, match=f"j: its {place} is .*restore the file") as found:
        Lock.load(tmp_path)
    assert "\n" not in str(found.value)
