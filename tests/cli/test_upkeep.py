"""`gc`, `verify` and `cost` as a user calls them, on a project that was run and updated."""

import json
import shutil
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import StorageError, UserError

runner = CliRunner()


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("updated"), tiny_base_folder, compare=["individual", "combined"]
    )
    run_project(project)
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))
    run_project(project)
    return project


@pytest.fixture
def project(updated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(updated.parent, tmp_path / "project")) / updated.name


def call(project: Path, *arguments: str) -> str:
    result = runner.invoke(app, [*arguments, "--project", str(project)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_gc(project: Path) -> None:
    listed = call(project, "gc", "--dry-run")
    freed = call(project, "gc")
    again = call(project, "gc")

    assert "train de" in listed
    assert ".langmerge/objects/" in listed
    last = listed.splitlines()[-1]
    assert last.startswith("Would free ")
    assert freed.strip() == last.replace("Would free", "Freed")
    assert "Nothing to remove" in again


def test_verify_and_repair_and_run(project: Path) -> None:
    assert call(project, "verify").startswith("In order: ")
    lock = json.loads((project.parent / "langmerge.lock").read_text())
    adapter = lock["jobs"]["train/classification/de/seed0"]["output"]
    weights = project.parent / f".langmerge/objects/{adapter}/adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    for options in ([], ["--repair"]):
        result = runner.invoke(app, ["verify", *options, "--project", str(project)])
        assert isinstance(result.exception, StorageError)
        assert result.exception.exit_code == 2
        assert "adapter_model.safetensors has " in result.stdout
    assert (project.parent / ".langmerge" / "damaged" / adapter).is_dir()

    again = run_project(project)

    assert [result.decision.job.id for result in again.of("ran")] == [
        "train/classification/de/seed0"
    ]
    assert call(project, "verify").startswith("In order: ")
    assert json.loads((project.parent / "langmerge.lock").read_text()) == lock


def test_cost(project: Path) -> None:
    shown = call(project, "cost", "--price-per-hour", "3")
    bill = json.loads(call(project, "cost", "--json"))

    assert [run["kind"] for run in bill["runs"]] == ["initial", "update"]
    assert bill["runs"][0]["saving"] is None
    assert bill["runs"][1]["saving"]["basis"] == "estimated"
    assert bill["runs"][1]["by_kind"]["train"]["attempts"] == 1
    assert bill["runs"][1]["by_kind"]["train"]["supervised_tokens"] > 0
    assert "trained classification de: data.de (+2 rows, -0) changed." in shown
    assert "evaluating combined on the same data takes (estimated)." in shown
    assert "device-hours on cpu, price 0.0" in shown

    run_project(project, baselines=True)

    measured = json.loads(call(project, "cost", "--json"))["runs"]
    assert [run["kind"] for run in measured] == ["initial", "update", "baseline"]
    assert measured[1]["saving"]["basis"] == "measured"
    assert "(measured)" in call(project, "cost")


def test_cost_since(project: Path) -> None:
    assert json.loads(call(project, "cost", "--json", "--since", "2999-01-01"))["runs"] == []
    assert "no such attempts" in call(project, "cost", "--since", "2999-01-01T00:00Z")
    assert len(json.loads(call(project, "cost", "--json", "--since", "2020-01-01"))["runs"]) == 2
    result = runner.invoke(app, ["cost", "--since", "yesterday", "--project", str(project)])
    assert isinstance(result.exception, UserError)
    assert "--since yesterday: not a date, expected one such as" in str(result.exception)
