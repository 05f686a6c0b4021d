"""Runs and releases in a real MLflow server on SQLite."""

import json
from pathlib import Path
from typing import Any

import pytest
from projects import make_project, rows, write_rows
from tracking.conftest import free_port
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import DataError

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

runner = CliRunner()


@pytest.fixture(autouse=True)
def _address(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)


@pytest.fixture
def client(mlflow_uri: str) -> Any:
    return mlflow.MlflowClient(tracking_uri=mlflow_uri)


def call(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def runs_of(client: Any, experiment: str) -> list[Any]:
    """Return the runs of an experiment, the oldest first."""
    found = client.get_experiment_by_name(experiment)
    return list(reversed(client.search_runs([found.experiment_id]))) if found else []


def test_a_run_is_recorded_whole(client: Any, project: Path, tmp_path: Path) -> None:
    outcome = run_project(project, track="mlflow")

    (run,) = runs_of(client, "greetings")
    assert run.info.status == "FINISHED"
    assert run.data.params["adapter.r"] == "2"
    assert run.data.params["merge.ties.method"] == "ties"
    assert len(run.data.params["base.weights"]) == 64

    results = json.loads((project.parent / "results.json").read_text())
    for score in results["scores"]:
        where = "/".join(score[name] for name in ("split", "task", "model", "language"))
        for name, measured in score["metrics"].items():
            assert run.data.metrics[f"{where}/{name}"] == pytest.approx(measured["value"])
    average = results["averages"][0]
    mean = "/".join((average["split"], average["task"], average["model"], "mean"))
    found = run.data.metrics[f"{mean}/{average['metric']}"]
    assert found == pytest.approx(average["average"]["value"])

    trained = outcome.results["train/classification/de/seed0"].action
    assert trained is not None
    record = project.parent / ".langmerge/objects" / trained.output / "training.json"
    curve = client.get_metric_history(run.info.run_id, "loss/classification/de/seed0")
    assert [point.step for point in curve] == list(range(1, len(curve) + 1))
    assert [point.value for point in curve] == json.loads(record.read_text())["losses"]
    assert run.data.tags["langmerge.train.classification.de.seed0"] == trained.output

    spent = sum(r.action.ledger["seconds"] for r in outcome.of("ran") if r.action is not None)
    assert run.data.metrics["cost/all/seconds"] == pytest.approx(spent)
    assert run.data.metrics["cost/all/price"] == pytest.approx(spent / 3600 * 2.5)
    assert run.data.metrics["jobs/ran"] == len(outcome.results)

    files = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    for name in ("results.json", "langmerge.lock"):
        assert (files / name).read_bytes() == (project.parent / name).read_bytes()
    recipe = json.loads((files / "recipes/classification/ties/seed0.json").read_text())
    assert "density" in json.dumps(recipe)
    page = (files / "report/report.html").read_text()
    assert "classification" in page
    assert "de test thing" not in page  # no text of the data


def test_a_run_with_nothing_to_do_records_what_is_there(client: Any, finished: Path) -> None:
    run_project(finished, track="mlflow")

    run = runs_of(client, "known")[-1]
    assert run.data.metrics["jobs/ran"] == 0
    assert "cost/all/seconds" not in run.data.metrics
    assert client.get_metric_history(run.info.run_id, "loss/classification/en/seed0")
    assert run.data.metrics["test/classification/merged:ties/mean/macro_f1"] >= 0


def test_a_failed_run_is_a_failed_run(client: Any, tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path / "broken", tiny_base_folder, compare=["base"])
    text = project.read_text().replace(
        "- de\n- en", "  de: {train: {learning_rate: 1.0e+30}}\n  en: {}"
    )
    project.write_text(f"{text}tracking: {{to: mlflow, experiment: other}}\n")

    run_project(project)

    (run,) = runs_of(client, "other")
    assert run.info.status == "FAILED"
    assert run.data.metrics["jobs/failed"] == 1
    assert "test/classification/base/de/macro_f1" in run.data.metrics


def test_wrong_data_starts_no_run(client: Any, project: Path) -> None:
    path = project.parent / "data/classification/en/test.jsonl"
    path.write_text(path.read_text() + '{"id": "x", "text": "a", "label": "godo"}\n')
    before = len(runs_of(client, "greetings"))

    with pytest.raises(DataError):
        run_project(project, track="mlflow")
    assert len(runs_of(client, "greetings")) == before


def test_releases_and_rollbacks_move_the_alias(client: Any, finished: Path, tmp_path: Path) -> None:
    options = ("--project", str(finished))
    name = "known-classification"

    call("release", "-m", "the first", "--track", "mlflow", *options)
    first = client.get_model_version_by_alias(name, "released")
    assert first.version in (1, "1")
    assert first.description == "the first"
    lock = json.loads((finished.parent / "langmerge.lock").read_text())["jobs"]
    digest = lock["merge/classification/ties/seed0"]["output"]
    assert first.tags["langmerge.model"] == digest
    adapter = lock["train/classification/de/seed0"]["output"]
    assert first.tags["langmerge.adapter.de"] == adapter
    downloaded = Path(
        mlflow.artifacts.download_artifacts(f"models:/{name}@released", dst_path=str(tmp_path))
    )
    served = finished.parent / "released/classification/adapter_model.safetensors"
    assert (downloaded / served.name).read_bytes() == served.read_bytes()
    assert (downloaded / "README.md").is_file()

    train = finished.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))
    run_project(finished)
    call("release", "--force", *options)  # the registry hears nothing of this one
    assert client.get_model_version_by_alias(name, "released").version == first.version
    call("release", "--track", "mlflow", *options)  # nothing to release, but to register
    second = client.get_model_version_by_alias(name, "released")
    assert int(second.version) == 2
    assert second.tags["langmerge.release"].startswith("2-")
    assert second.tags["langmerge.model"] != digest

    call("rollback", "--track", "mlflow", *options)
    assert client.get_model_version_by_alias(name, "released").version == first.version
    assert len(client.search_model_versions(f"name = '{name}'")) == 2


def test_a_server_that_is_down_stops_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden@127.0.0.1:{free_port()}")

    outcome = run_project(project, track="mlflow")

    assert not outcome.of("failed", "skipped")
    assert (project.parent / "results.json").is_file()
    shown = capsys.readouterr().err
    assert shown.count("warning: mlflow does not take what it is sent") == 1
    assert "hidden" not in shown
