"""W&B and trackio through the same interface: one as a stand-in, one for real where installed."""

import sys
from pathlib import Path
from typing import Any

import pytest

from langmerge.cli.run import run_project
from langmerge.errors import MissingExtraError, ProjectError
from langmerge.tracking.config import TrackingSettings
from langmerge.tracking.publishing import publishing
from langmerge.tracking.tracker import open_tracker, tracking_to
from langmerge.upkeep.release import assess, release
from langmerge.workspace import open_workspace


class Artifact:
    def __init__(self, name: str, type: str, **about: Any) -> None:
        self.name, self.type, self.about, self.files = name, type, about, {}

    def add_file(self, path: str, name: str) -> None:
        self.files[name] = Path(path).read_bytes()


class StandIn:
    """Behaves as the part of wandb that is used, and remembers what it was told."""

    def __init__(self) -> None:
        self.runs: list[StandIn] = []
        self.logged: list[dict[str, float]] = []
        self.artifacts: list[tuple[Artifact, list[str]]] = []
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.may_ask = True
        self.failing = ""

    Artifact = Artifact
    Settings = staticmethod(lambda **settings: settings)

    def setup(self, settings: Any) -> None:
        self.may_ask = not settings["silent"]

    def init(self, *, project: str, name: str, config: dict[str, Any], settings: Any) -> "StandIn":
        assert not self.may_ask, "without a key, this would wait for one to be typed"
        run = StandIn()
        run.config, run.failing = config, self.failing
        self.runs.append(run)
        return run

    def define_metric(self, name: str, step_metric: str) -> None:
        assert step_metric == "step"

    def log(self, values: dict[str, float]) -> None:
        self.logged.append(values)

    def log_artifact(self, artifact: Artifact, aliases: list[str]) -> None:
        if self.failing in aliases:
            raise ConnectionError("no answer")
        self.artifacts.append((artifact, aliases))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)  # type: ignore[arg-type]
    return stand_in


def test_a_run_and_a_release_in_wandb(wandb: StandIn, project: Path) -> None:
    run_project(project, track="wandb")

    (run,) = wandb.runs
    assert run.exit_code == 0
    assert run.config["adapter.r"] == "2"
    curve = [line for line in run.logged if "loss/classification/de/seed0" in line]
    assert [line["step"] for line in curve] == list(range(1, len(curve) + 1))
    assert any("test/classification/base/de/macro_f1" in line for line in run.logged)
    ((files, _),) = run.artifacts
    assert {"results.json", "langmerge.lock", "report/report.html"} <= set(files.files)

    workspace = open_workspace(project)
    made = release(workspace, assess(workspace), "", force=False)
    publishing(workspace.project, "wandb", pytest.fail)(made)

    released = wandb.runs[1]
    assert released.exit_code == 0
    model, aliases = released.artifacts[-1]
    assert aliases == [made.name, "released"]
    assert model.about["metadata"]["langmerge.model"] == made.models["classification"]
    assert "adapter_model.safetensors" in model.files


def test_a_release_that_fails_midway_closes_its_run_and_is_tried_again(
    wandb: StandIn, project: Path
) -> None:
    run_project(project)
    workspace = open_workspace(project)
    made = release(workspace, assess(workspace), "", force=False)
    wandb.failing = "released"  # the alias, after the model is registered
    warnings: list[str] = []

    publishing(workspace.project, "wandb", warnings.extend)(made)

    assert [run.exit_code for run in wandb.runs] == [1, 1]  # once, and once more at the end
    assert len(warnings) == 1
    wandb.failing = ""
    publishing(workspace.project, "wandb", pytest.fail)(made)
    assert wandb.runs[-1].exit_code == 0


def test_a_report_that_fails_holds_up_nothing(
    wandb: StandIn, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("too large")

    monkeypatch.setattr("langmerge.report.gather", fail)
    run_project(project, track="wandb")

    (run,) = wandb.runs
    assert run.exit_code == 0
    ((files, _),) = run.artifacts
    assert files.files["no-report.txt"] == b"too large\n"
    assert "results.json" in files.files


def test_a_run_in_trackio(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed")

    from trackio import sqlite_storage

    run_project(project, track="trackio")

    (run,) = trackio.Api().runs("greetings")
    assert run.config["adapter.r"] == "2"
    names = set(sqlite_storage.SQLiteStorage.get_all_metrics_for_run("greetings", run.name))
    assert {"loss/classification/de/seed0", "test/classification/base/de/macro_f1"} <= names


@pytest.mark.parametrize("name", ["mlflow", "wandb", "trackio"])
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]

    with pytest.raises(MissingExtraError, match=rf"pip install 'langmerge\[{name}\]'"):
        open_tracker(TrackingSettings.model_validate({"to": name}), "x")


def test_what_goes_before_what() -> None:
    own = TrackingSettings(to="mlflow", uri="http://host", experiment="mine")

    assert tracking_to(own, None) is own
    assert tracking_to(own, "mlflow") is own
    assert tracking_to(own, "none") is None
    assert tracking_to(None, None) is None
    other = tracking_to(own, "wandb")
    assert other is not None
    assert (other.to, other.uri, other.experiment) == ("wandb", None, "mine")
    with pytest.raises(ProjectError, match="did you mean 'mlflow'"):
        tracking_to(own, "mlfow")


def test_a_password_in_the_project_file_is_refused() -> None:
    with pytest.raises(ValueError, match="holds a password") as caught:
        TrackingSettings(uri="https://me:hidden@host")
    assert isinstance(caught.value, ValueError)
