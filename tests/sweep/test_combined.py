"""`langmerge sweep --combined`: the baseline's own search, its trainings kept and used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from projects import make_project
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.errors import JobsFailed, ProjectError, UserError
from langmerge.project import load_project
from langmerge.sweep import combined
from langmerge.sweep.combined import section_of, sweep_combined
from langmerge.sweep.tables import combined_table
from langmerge.workspace import open_workspace

pytest.importorskip("optuna")


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    path = make_project(
        tmp_path / "project", tiny_base_folder, compare=["base", "combined"], merge="linear"
    )
    run_project(path)
    return path


def test_trials_are_kept_and_the_winner_is_what_the_next_run_has(project, monkeypatch):
    found = sweep_combined(open_workspace(project), 4)
    own = load_project(project).train_for(None)
    assert found.trials[0].train == {
        "learning_rate": own.learning_rate,
        "num_train_epochs": own.num_train_epochs,
        "per_device_train_batch_size": own.per_device_train_batch_size,
    }
    assert len({json.dumps(trial.train) for trial in found.trials}) > 1
    assert found.best.value == max(trial.value for trial in found.trials)

    ledger = (project.parent / ".langmerge/ledger.jsonl").read_text()
    assert ledger.count("a trial of langmerge sweep --combined") >= 4

    from langmerge.engine import training

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_adapters", lambda *_, **__: pytest.fail("trained again"))
        assert sweep_combined(open_workspace(project), 4).trials == found.trials

        last = found.trials[-1].train
        project.write_text(project.read_text() + f"combined: {{train: {json.dumps(last)}}}\n")
        run = run_project(project, baselines=True)
    assert not run.of("failed", "skipped")
    assert run.results["train/classification/combined/seed0"].outcome == "reused"
    assert run.results["train/classification/de/seed0"].outcome == "reused"


def test_the_verb_prints_what_to_put_into_the_project(project):
    found = CliRunner().invoke(
        app, ["sweep", "--project", str(project), "--combined", "--trials", "2", "--json"]
    )
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["trials"]) == 2
    missing = CliRunner().invoke(app, ["sweep", "--project", str(project), "--combined"])
    assert isinstance(missing.exception, UserError)


def test_a_trial_that_fails_does_not_end_the_search(project, monkeypatch):
    from langmerge.engine import training

    train, calls = training.train_adapters, []

    def too_large(*args, **kwargs):
        calls.append(args)
        if len(calls) == fails:
            raise RuntimeError("out of memory")
        return train(*args, **kwargs)

    monkeypatch.setattr(training, "train_adapters", too_large)
    fails = 1
    path = project.parent / "first.yaml"
    path.write_text(project.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    with pytest.raises(JobsFailed, match="out of memory"):
        sweep_combined(open_workspace(path), 2)

    calls.clear()
    fails = 2
    found = sweep_combined(open_workspace(path), 4)
    assert (len(found.trials), len(found.failed)) == (3, 1)
    assert "out of memory" in found.failed[0].problem
    assert "1 more failed" in combined_table(found).to_markdown()


def test_the_projects_own_settings_of_the_combined_model_stay(project, monkeypatch):
    own = {"weight_decay": 0.25, "lr_scheduler_type": "constant", "learning_rate": 0.02}
    project.write_text(project.read_text() + f"combined: {{train: {json.dumps(own)}}}\n")
    trained = []
    do = combined._Trainer._do

    def watched(trainer, job, planner):
        trained.append(planner.project.train_for(None))
        return do(trainer, job, planner)

    monkeypatch.setattr(combined._Trainer, "_do", watched)
    found = sweep_combined(open_workspace(project), 1)
    assert {train.weight_decay for train in trained} == {0.25}
    assert {train.lr_scheduler_type for train in trained} == {"constant"}
    loaded = load_project(project)
    assert trained[0] == loaded.train_for(None)  # the first trial is the project as it is

    best = found.best.model_copy(update={"train": {**found.best.train, "learning_rate": 1e-5}})
    section = yaml.safe_load(section_of(loaded, best))
    assert section == {"combined": {"train": {**own, **best.train}}}


def test_combined_settings_are_checked_and_touch_no_language(project):
    project.write_text(project.read_text() + "combined: {train: {learning_rate: 0.5}}\n")
    loaded = load_project(project)
    assert loaded.train_for(None).learning_rate == 0.5
    assert loaded.train_for("de").learning_rate == 0.01
    project.write_text(project.read_text().replace("learning_rate: 0.5", "learning_rat: 0.5"))
    with pytest.raises(ProjectError, match=r"combined\.train: unknown key .learning_rat"):
        load_project(project)
