"""`langmerge sweep` on a real tiny project, from the grid to the recipe in the project file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from projects import make_project, rows, write_rows
from typer.testing import CliRunner

from langmerge.choose.bench import Bench
from langmerge.choose.racing import Racing
from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.cli.sweep import sweep_project
from langmerge.errors import ProjectError, UserError
from langmerge.report import gather
from langmerge.report.sections.sweep import curves
from langmerge.sweep import project_file
from langmerge.sweep.evidence import caution, comments
from langmerge.sweep.ground import Ground, open_ground
from langmerge.sweep.record import Bounds, Counts, Row, Sweep
from langmerge.sweep.run import Request, sweep
from langmerge.workspace import open_workspace

REQUEST = Request(methods=("ties", "linear"), densities=(0.1, 1.0))
MADE = {
    "created": "", "objective": "mean", "metrics": {}, "languages": ["de", "en"],
    "rows_per_language": {}, "confidence": 0.95, "risk": 0.05,
    "counts": Counts(measured=2, stopped=0, failed=0), "seconds": 0.0, "adapters": {},
    "data": {}, "base": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_base_folder) -> Path:
    """A project with trained adapters and enough dev rows to race on; copied, never changed."""
    folder = tmp_path_factory.mktemp("trained") / "project"
    path = make_project(folder, tiny_base_folder, compare=["base", "individual"])
    for language in ("de", "en"):
        for split in ("dev", "test"):
            rows_of = rows("classification", language, split, 60)
            write_rows(folder / f"data/classification/{language}/{split}.jsonl", rows_of)
    run_project(path, steps=["train"])
    return path


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained.parent, tmp_path / "project")
    return tmp_path / "project" / trained.name


def ground_of(project: Path) -> Ground:
    return open_ground(open_workspace(project))


def test_the_winner_is_written_and_the_next_run_merges_by_it(project, capsys):
    found = sweep_project(project, REQUEST)
    assert ("Not shown to be better" in capsys.readouterr().out) == (caution(found) is not None)
    assert found.winner.value == max(row.value for row in found.rows if row.share == 1.0)
    assert found.rows[0].name == "ties"  # the current recipe leads the table
    assert found.improves
    content = yaml.safe_load(project.read_text())
    assert content["merge"] == {"sweep": found.winner.recipe}
    (evidence,) = (project.parent / ".langmerge/sweeps").glob("*.json")
    assert evidence.name in project.read_text()
    told = comments(found, evidence, project.parent)
    assert all(project_file._OURS.match(f"  # {line}") for line in told)
    assert json.loads(evidence.read_text())["winner"]["label"] == found.winner.label

    results = run_project(project)
    merged = next(r for r in results.results.values() if r.decision.job.kind == "merge")
    assert merged.decision.job.recipe == "sweep"
    dev = {
        name: action.facts["metrics"]["macro_f1"]
        for name, action in results.actions().items()
        if name.startswith("evaluate/classification/merged:sweep") and name.endswith("/dev")
    }
    # The model that is made of the recipe scores on dev what the sweep said.
    assert sum(dev.values()) / len(dev) == pytest.approx(found.winner.mean, abs=1e-6)

    report = gather(project)
    assert report.sweep is not None
    (figure,) = curves(report, "classification")
    assert figure.name == "density-dev-classification-ties"

    before = project.read_text()
    for dry_run in (True, False):
        capsys.readouterr()
        again = sweep_project(project, REQUEST, dry_run=dry_run)
        assert not again.improves
        assert project.read_text() == before
        kept = set((project.parent / ".langmerge/sweeps").glob("*.json")) - {evidence}
        assert len(kept) == (0 if dry_run else 1)
    (path,) = kept
    assert f"All candidates: {path}" in capsys.readouterr().out
    assert Sweep.model_validate_json(path.read_text()) == again


def test_a_second_sweep_asks_nothing_again(project, monkeypatch):
    first = sweep(ground_of(project), REQUEST)
    monkeypatch.setattr(Bench, "put_on", lambda *_: pytest.fail("merged again"))
    second = sweep(ground_of(project), REQUEST)
    assert second.model_dump(exclude={"created"}) == first.model_dump(exclude={"created"})


def test_a_killed_sweep_goes_on(project, monkeypatch):
    merged: list[str] = []
    put_on = Bench.put_on

    def killed(bench, task, recipe):
        counted(bench, task, recipe)
        if len(set(merged)) == 3:
            raise KeyboardInterrupt

    def counted(bench, task, recipe):
        merged.append(str(recipe))
        put_on(bench, task, recipe)

    monkeypatch.setattr(Bench, "put_on", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(ground_of(project), REQUEST)
    interrupted, before = merged[-1], set(merged)
    merged.clear()
    monkeypatch.setattr(Bench, "put_on", counted)
    sweep(ground_of(project), REQUEST)
    assert interrupted in merged
    assert not (before - {interrupted}) & set(merged)


def test_test_rows_are_read_after_the_choice_only(project, monkeypatch):
    seen = []
    units = Ground.units

    def watched(ground, split, racing):
        seen.append(split)
        return units(ground, split, racing)

    monkeypatch.setattr(Ground, "units", watched)
    chosen = sweep(ground_of(project), REQUEST).winner.label
    assert seen == ["dev"]
    reported = sweep(ground_of(project), Request(**{**vars(REQUEST), "report_test": True}))
    assert seen == ["dev", "dev", "test"]
    assert reported.winner.label == chosen
    assert reported.test[0].name == "ties"
    for row in reported.test:
        assert row.gap == pytest.approx(row.dev - row.test.value)


@pytest.mark.parametrize("objective", ["worst-language", "retention", "size"])
def test_objectives(project, objective):
    found = sweep(ground_of(project), Request(**{**vars(REQUEST), "objective": objective}))
    whole = [row for row in found.rows if row.share == 1.0]
    assert found.winner.value == max(row.value for row in whole)
    if objective == "worst-language":
        for row in whole:
            assert row.value == pytest.approx(min(change.score for change in row.changes))
    if objective == "size":
        assert {row.recipe.get("rank") for row in found.rows} >= {2, 4}
        assert all(row.size for row in whole)


def test_changes_by_language_are_paired_against_the_current_recipe(project):
    found = sweep(ground_of(project), REQUEST)
    current = {change.language: change.score for change in found.rows[0].changes}
    for row in found.rows:
        for change in row.changes:
            assert change.difference == pytest.approx(change.score - current[change.language])
            assert not (change.is_loss and change.difference >= 0)


def test_two_tasks_are_swept_together(tmp_path, tiny_base_folder):
    tasks = ("classification", "generation")
    path = make_project(tmp_path / "both", tiny_base_folder, tasks=tasks, compare=["base"])
    run_project(path, steps=["train"])
    request = Request(methods=("linear",), lambdas=(0.5,), objective="worst-language")
    found = sweep(ground_of(path), request)
    assert set(found.metrics) == set(tasks)
    for row in found.rows:
        scores = {(change.task, change.language): change.score for change in row.changes}
        assert len(scores) == 4
        means = [sum(scores[task, code] for task in tasks) / 2 for code in ("de", "en")]
        assert row.value == pytest.approx(min(means))
    one = sweep(open_ground(open_workspace(path), ["generation"]), request)
    assert {change.task for change in one.rows[0].changes} == {"generation"}


def test_search_by_trials(project):
    pytest.importorskip("optuna")
    request = Request(methods=("ties", "linear"), trials=12)
    found = sweep(ground_of(project), request)
    assert found.trials == 12
    whole, stopped = found.counts.measured, found.counts.stopped
    assert 1 <= whole + stopped <= 13
    assert found.rows[0].name == "ties"
    assert sweep(ground_of(project), request).winner == found.winner


def test_the_verb(project):
    text = project.read_text()
    arguments = ["sweep", "--project", str(project), "--method", "linear", "--lambda", "0.5"]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert project.read_text() == text
    assert not list((project.parent / ".langmerge/sweeps").glob("*.json"))
    printed = CliRunner().invoke(app, [*arguments, "--dry-run", "--json"])
    assert json.loads(printed.stdout)["counts"]["measured"] >= 1


def test_what_is_wrong_is_said(project, tmp_path, tiny_base_folder):
    with pytest.raises(ProjectError, match="--task topic: the project has no such task"):
        open_ground(open_workspace(project), ["topic"])
    found = CliRunner().invoke(app, ["sweep", "--project", str(project), "--objective", "worst"])
    assert isinstance(found.exception, UserError)
    assert "did you mean 'worst-language'" in str(found.exception)
    fresh = make_project(tmp_path / "fresh", tiny_base_folder)
    with pytest.raises(ProjectError, match="run --only train"):
        open_ground(open_workspace(fresh))
    no_dev = fresh.read_text().replace(
        "data: data/classification/{language}/{split}.jsonl",
        "data: {train: 'data/classification/{language}/train.jsonl', "
        "test: 'data/classification/{language}/test.jsonl'}",
    )
    fresh.write_text(no_dev + "compare: [base]\n")
    with pytest.raises(ProjectError, match="'de' has no dev: split"):
        open_ground(open_workspace(fresh))


@pytest.mark.parametrize(
    ("beside", "option"),
    [
        *(
            ("--trials", option)
            for option in ("--density=0.5", "--lambda=1", "--space=core", "--rank=4")
        ),
        *(
            ("--combined", option)
            for option in (
                "--method=ties", "--density=0.5", "--lambda=1", "--space=core", "--rank=4",
                "--risk=0.1", "--report-test", "--name=mine", "--dry-run",
            )
        ),
    ],
)  # fmt: skip
def test_an_option_without_effect_is_refused(tmp_path, beside, option):
    arguments = ["sweep", "--project", str(tmp_path / "none.yaml"), "--trials", "2", option]
    if beside == "--combined":
        arguments.append(beside)
    found = CliRunner().invoke(app, arguments)
    assert isinstance(found.exception, UserError)
    assert str(found.exception).startswith(
        f"{option.partition('=')[0]}: has no effect with {beside}"
    )


def test_weights_by_gains_need_the_gains(project):
    content = yaml.safe_load(project.read_text())
    content["merge"] = {"own": {"method": "linear"}, "won": {"method": "linear", "weights": "gain"}}
    project.write_text(yaml.safe_dump(content))
    with pytest.raises(ProjectError, match=r"merge\.won\.weights: gain .*`langmerge run` measures"):
        ground_of(project)
    run_project(project)
    weights = ground_of(project).recipes()[1].settings["weights"]
    assert set(weights) == {"de", "en"}


def test_the_order_of_rows_is_part_of_the_key(project):
    ground = ground_of(project)
    assert ground.journal("dev", Racing()) == ground.journal("dev", Racing(looks=(), risk=0.2))
    assert ground.journal("dev", Racing()) != ground.journal("dev", Racing(seed=1))
    assert ground.journal("dev", Racing()) != ground.journal("test", Racing())


def test_installed_methods_are_part_of_the_key(project, monkeypatch):
    ground = ground_of(project)
    own = ground.journal("dev", Racing())
    keys = {own}
    for version in ("1.0", "1.1"):
        monkeypatch.setattr("langmerge.sweep.ground.method_packages", lambda v=version: {"more": v})
        keys.add(ground.journal("dev", Racing()))
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (Bounds(value=0.8, low=-0.3, high=1.9), "+0.8 (-0.3 to +1.9)"),
        (Bounds(value=0.8, low=0.0, high=1.9), "+0.8 (+0.0 to +1.9)"),
        (Bounds(value=0.8, low=None, high=None), "+0.8"),
        (Bounds(value=0.8, low=0.1, high=1.9), None),
    ],
)
def test_a_gain_that_may_be_none_is_told(gain, expected):
    current = Row(label="ties density=0.3333", recipe={"method": "ties", "density": 1 / 3})
    winner = Row(label="linear", recipe={"method": "linear"}, against_current=gain)
    found = Sweep(**MADE, current=current.label, winner=winner, rows=[current, winner])
    told = expected and f"Not shown to be better than ties density=0.3333: {expected} on dev."
    assert caution(found) == told


def test_a_winner_that_only_rounding_makes_alike_improves():
    current = Row(label="ties density=0.3333", recipe={"method": "ties", "density": 1 / 3})
    close = current.model_copy(update={"recipe": {"method": "ties", "density": 0.3333}})
    alike = Row(label="TIES", recipe={"method": "TIES", "density": 1 / 3, "space": "dense"})
    made = {**MADE, "current": current.label}
    assert Sweep(**made, winner=close, rows=[current, close]).improves
    assert not Sweep(**made, winner=alike, rows=[current, alike]).improves
