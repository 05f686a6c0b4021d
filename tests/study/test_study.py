"""`langmerge study` on tiny projects: cells, parts at a time, nothing twice, one report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from projects import add_routed, make_project, rows, write_rows
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.errors import ProjectError, StorageError
from langmerge.plan import plan as make_plan
from langmerge.project import load_project
from langmerge.results import load_results
from langmerge.study import run as study_run
from langmerge.study.cells import plan_study
from langmerge.study.config import load_study
from langmerge.study.records import is_done, read_record, record_path
from langmerge.study.report import choices, records, write_report
from langmerge.study.run import OutOfTime, run_study
from langmerge.upkeep.garbage import collect_garbage
from langmerge.workspace import open_workspace


@pytest.fixture
def source(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(
        tmp_path / "project",
        tiny_base_folder,
        tasks=("classification", "multiple_choice"),
        languages=("de", "en", "fr"),
        compare=["base", "individual"],
        merge={
            "ties": {"method": "ties"},
            "heavy": {"method": "linear", "weights": {"de": 2.0, "fr": 0.5}},
        },
    )


def write_study(source: Path, **keys) -> Path:
    path = source.parent.parent / "small.yaml"
    path.write_text(yaml.safe_dump({"project": "project/langmerge.yaml", **keys}))
    return path


def test_every_combination_is_a_cell_and_a_valid_project(source):
    study = write_study(
        source,
        languages={"two": ["de", "en"], "three": ["de", "en", "fr"]},
        variants={"plain": {}, "wide": {"adapter": {"r": 4}}},
        seeds=[0, 1],
    )
    plan = plan_study(load_study(study))
    assert len(plan.groups) == 2 * 2 * 2
    assert len(plan.cells()) == 16
    assert [seed for _, seed in plan.cells()] == [0] * 8 + [1] * 8
    by_name = {group.name: group for group in plan.groups}
    group = by_name["own--wide--two--classification"]
    project = load_project(plan.write(group, (0, 1)))
    assert list(project.languages) == ["de", "en"]
    assert list(project.tasks) == ["classification"]
    assert (project.adapter.r, project.adapter.lora_alpha) == (4, 4)
    assert project.seeds == (0, 1)
    assert project.merge["heavy"].weights == {"de": 2.0}
    assert (project.folder / ".langmerge").resolve() == plan.study.folder / "store"


def test_cells_share_what_they_have_in_common_and_are_not_done_twice(source, monkeypatch):
    study = write_study(
        source,
        tasks=["classification"],
        languages={"two": ["de", "en"], "three": ["de", "en", "fr"]},
    )
    plan = plan_study(load_study(study))
    ran: list[str] = []
    started = study_run.Watch.job_started

    def watched(watch, decision):
        ran.append(decision.job.id)
        started(watch, decision)

    monkeypatch.setattr(study_run.Watch, "job_started", watched)
    done = run_study(plan)
    assert (len(done.cells), done.left, done.failed) == (2, 0, {})
    trained = [job for job in ran if job.startswith("train/")]
    assert len(trained) == len(set(trained)) == 3  # de and en once, for both sets

    ran.clear()
    again = run_study(plan)
    assert (again.cells, ran) == ((), [])

    data = source.parent / "data/classification/fr/train.jsonl"
    write_rows(data, rows("classification", "fr", "train", 8))
    update = run_study(plan)
    assert update.cells == ("own--own--three--classification/seed0",)
    assert [job for job in ran if job.startswith("train/")] == ["train/classification/fr/seed0"]


def test_what_another_group_needs_is_no_garbage(source):
    study = write_study(
        source,
        tasks=["classification"],
        languages={"two": ["de", "en"], "other": ["en", "fr"]},
    )
    plan = plan_study(load_study(study))
    run_study(plan)
    first, second = (plan.folder(group) / "langmerge.yaml" for group in plan.groups)

    assert collect_garbage(open_workspace(first)) == []
    assert {d.action for d in make_plan(open_workspace(second).planner())} == {"reuse"}

    shutil.move(second.parent, second.parent.parent / "elsewhere")
    with pytest.raises(StorageError, match=r"two|other") as caught:
        collect_garbage(open_workspace(first))
    assert "shares this store, is not there" in str(caught.value)
    assert "\n" not in str(caught.value)
    (plan.study.folder / "store/projects.json").write_text("{}")
    with pytest.raises(StorageError, match="not a list of project files"):
        collect_garbage(open_workspace(first), dry_run=True)


def test_seeds_are_pooled_as_they_come(source):
    study = write_study(source, tasks=["classification"], seeds=[0, 1])
    plan = plan_study(load_study(study))
    run_study(plan)
    (group,) = plan.groups
    record = read_record(plan, group)
    assert record is not None
    assert record["seeds"] == [0, 1]
    averages = record["results"]["averages"]
    merged = next(a for a in averages if a["model"] == "merged:ties" and a["split"] == "test")
    assert set(merged["seed_spread"]["values"]) == {"0", "1"}


def test_a_part_at_a_time(source, monkeypatch):
    study = write_study(source, seeds=[0, 1])
    plan = plan_study(load_study(study))
    assert run_study(plan, minutes=0).left == 4

    check = study_run.Clock.check
    checks = {"left": 14}

    def soon(clock):
        checks["left"] -= 1
        if checks["left"] < 0:
            raise OutOfTime
        check(clock)

    monkeypatch.setattr(study_run.Clock, "check", soon)
    some = run_study(plan)
    assert some.left >= 3
    monkeypatch.setattr(study_run.Clock, "check", check)
    rest = run_study(plan)
    assert len(some.cells) + len(rest.cells) == 4
    assert rest.left == 0


def test_a_recipe_is_chosen_on_dev_and_reported_on_test(source):
    study = write_study(
        source,
        tasks=["classification"],
        languages={"two": ["de", "en"]},
        seeds=[0, 1],
        sweep={"methods": ["linear"], "lambdas": [0.5, 2.0]},
    )
    plan = plan_study(load_study(study))
    assert run_study(plan).failed == {}
    (group,) = plan.groups
    record = read_record(plan, group)
    assert record is not None
    evidence = json.loads((plan.study.folder / "cells" / f"{group.name}.sweep.json").read_text())
    assert record["recipes"]["sweep"] == evidence["winner"]["recipe"]
    assert record["choice"] == {
        "recipe": "sweep",
        "objective": "mean",
        "seed": 0,
        **{name: evidence["winner"][name] for name in ("label", "value", "mean")},
    }
    models = {a["model"] for a in record["results"]["averages"] if a["split"] == "test"}
    assert "merged:sweep" in models
    assert run_study(plan).cells == ()

    # Dev and test are of the same adapters: those of the seed with which it was chosen.
    averages = record["results"]["averages"]
    spread = next(
        a["seed_spread"]["values"]
        for a in averages
        if (a["model"], a["split"]) == ("merged:sweep", "test")
    )
    dev, test = record["choice"]["mean"], spread["0"]
    (row,) = choices([record]).rows
    assert row[1:] == (
        evidence["winner"]["label"], f"{dev:.1f}", f"{test:.1f}", f"{dev - test:+.1f}",
    )  # fmt: skip
    assert "Chosen on dev" in write_report(plan.study.folder).read_text()
    # A record of an older version says which recipe, and not how it did.
    path = record_path(plan, group)
    path.write_text(json.dumps({k: v for k, v in record.items() if k != "choice"}))
    assert "Chosen on dev" not in write_report(plan.study.folder).read_text()
    assert run_study(plan).cells == ()


def test_a_recipe_is_chosen_beside_one_that_is_weighted_by_gains(source):
    content = yaml.safe_load(source.read_text())
    content["merge"] = {"won": {"method": "linear", "weights": "gain"}}
    source.write_text(yaml.safe_dump(content))
    study = write_study(
        source,
        tasks=["classification"],
        languages={"two": ["de", "en"]},
        sweep={"methods": ["linear"], "lambdas": [0.5]},
    )
    done = run_study(plan_study(load_study(study)))
    assert (done.failed, done.left) == ({}, 0)


@pytest.mark.parametrize("changed", ["data", "sweep", "base"])
def test_a_recipe_is_chosen_anew_where_what_it_was_chosen_for_changed(
    source, tiny_base_folder, changed
):
    base = source.parent.parent / "base"
    shutil.copytree(tiny_base_folder, base)
    keys = {
        "tasks": ["classification"],
        "languages": {"two": ["de", "en"]},
        "models": {"tiny": str(base)},
        "sweep": {"methods": ["linear"], "lambdas": [0.5]},
    }
    plan = plan_study(load_study(write_study(source, **keys)))
    (group,) = plan.groups
    assert run_study(plan).failed == {}
    evidence = plan.study.folder / "cells" / f"{group.name}.sweep.json"
    before = json.loads(evidence.read_text())
    if changed == "data":
        data = source.parent / "data/classification/de/dev.jsonl"
        write_rows(data, rows("classification", "de", "dev", 11))
    elif changed == "sweep":
        keys["sweep"] = {"methods": ["ties"], "densities": [0.3]}
    else:
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, "changed": True}))
    plan = plan_study(load_study(write_study(source, **keys)))
    assert not is_done(plan, group, 0)
    assert run_study(plan).failed == {}
    after = json.loads(evidence.read_text())
    part = "rows" if changed == "sweep" else changed
    assert before[part] != after[part]
    record = read_record(plan, group)
    assert record is not None
    assert record["recipes"] == {"sweep": after["winner"]["recipe"]}
    assert run_study(plan).cells == ()


def test_merging_over_languages_tasks_and_both(source):
    study = write_study(
        source, languages={"two": ["de", "en"]}, cross={"method": "ties", "density": 0.5}
    )
    plan = plan_study(load_study(study))
    assert run_study(plan, minutes=0).left == 2 + 1
    done = run_study(plan)
    assert (done.failed, done.left) == ({}, 0)
    path = plan.study.folder / "cells" / "cross--own--own--two.json"
    record = json.loads(path.read_text())
    assert list(record["rows"]) == ["individual", "over languages", "over tasks", "over both"]
    # What is merged over languages here is what a project's own recipe merges.
    own = source.read_text().replace("method: ties\n", "method: ties\n    density: 0.5\n")
    source.write_text(own)
    plan = plan_study(load_study(study))
    run_study(plan)
    for group in plan.groups:
        results = load_results(plan.write(group, (0,)))
        scores = {
            a.model: a.average.value
            for a in results.averages
            if a.split == "test" and a.task == group.task
        }
        kinds = {kind: row["tasks"][group.task] for kind, row in record["rows"].items()}
        assert kinds["individual"] == pytest.approx(scores["individual"])
        assert kinds["over languages"] == pytest.approx(scores["merged:ties"])
    before = path.stat().st_mtime_ns
    assert run_study(plan, minutes=0).left == 0
    run_study(plan)
    assert path.stat().st_mtime_ns == before


def test_a_crossing_that_fails_is_named_and_the_report_is_written(source):
    study = write_study(source, languages={"two": ["de", "en"]}, cross={"method": "tise"})
    found = CliRunner().invoke(app, ["study", str(study), "--json"])
    assert found.exception is not None
    assert "1 cells or crossings failed" in str(found.exception)
    told = json.loads(found.stdout)
    assert told["left"] == 1
    assert "no merging method is named 'tise'" in told["failed"]["cross--own--own--two"]
    assert "merged:ties" in (study.parent / "small-study/report.md").read_text()


def test_the_verb_writes_a_report(source):
    study = write_study(source, tasks=["classification"], languages={"two": ["de", "en"]})
    found = CliRunner().invoke(app, ["study", str(study)])
    assert found.exit_code == 0, found.output
    folder = study.parent / "small-study"
    text = (folder / "report.md").read_text()
    assert "merged:ties" in text
    assert "own--" not in text
    assert len(records(folder)) == 1
    for path in (folder / "store/objects").glob("*"):
        assert path.exists()
    again = CliRunner().invoke(app, ["study", str(study), "--report", "--json"])
    assert json.loads(again.stdout)["groups"][0]["about"]["languages"] == "two"


def test_what_routing_takes_is_told_beside_its_scores(source):
    study = write_study(source, tasks=["classification"], languages={"two": ["de", "en"]})
    plan = plan_study(load_study(study))
    run_study(plan)
    (group,) = plan.groups
    record = read_record(plan, group)
    assert record is not None
    add_routed(record["results"])
    record_path(plan, group).write_text(json.dumps(record))
    told = "routed: 2 adapters in memory, 2.5 MB; 30 ms to switch"
    assert told in write_report(plan.study.folder).read_text()


def test_a_cell_that_fails_is_named_and_the_others_go_on(source):
    bad = source.parent / "data/multiple_choice/en/train.jsonl"
    bad.write_text("{}\n")
    study = write_study(source, languages={"two": ["de", "en"]})
    plan = plan_study(load_study(study))
    done = run_study(plan)
    assert list(done.failed) == ["own--own--two--multiple_choice/seed0"]
    assert len(done.cells) == 1
    assert done.left == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"languages": {"two": ["de", "xx"]}}, "languages.two: the project has no language 'xx'"),
        ({"tasks": ["topic"]}, "tasks: the project has no task 'topic'"),
        ({"variants": {"bad": {"train": {"epochs": 3}}}}, "cell own--bad.* is no project"),
        (
            {"sweep": {"trials": 3, "densities": [0.5]}},
            "sweep: densities has no effect with trials",
        ),
        ({"models": {"cross": "../base"}}, "models: 'cross' names what is merged over tasks"),
        ({"variants": {"a--b": {}}}, "variants: 'a--b': cells are named by these joined by --"),
        ({"languages": {"two-": ["de", "en"]}}, "languages: 'two-': cells are named by"),
        ({"model": "x"}, "unknown key 'model'; did you mean 'models'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(source, keys, message):
    with pytest.raises(ProjectError, match=message):
        plan_study(load_study(write_study(source, **keys)))
