"""`merge: auto`: chosen on dev where there is dev, the default elsewhere; recorded and kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import RECIPE_NAME
from langmerge.choose.candidates import Candidate
from langmerge.cli.run import run_project
from langmerge.errors import ProjectError
from langmerge.merging import auto
from langmerge.project import load_project
from langmerge.sweep.ground import open_ground
from langmerge.upkeep.release import assess, release
from langmerge.workspace import open_workspace

MERGE = "merge/classification/auto/seed0"
FEW = (
    {"method": "ties", "density": 1.0},
    {"method": "linear", "lambda": 2.0},
    {"method": "ties", "density": 0.2, "lambda": 1.5},
)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    for place in ("plan.keys", "engine.merging"):
        monkeypatch.setattr(f"langmerge.{place}.CANDIDATES", FEW)


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(tmp_path / "project", tiny_base_folder, merge="auto", compare=["base"])


def test_the_best_on_dev_is_merged_and_recorded(project):
    run = run_project(project)
    merge = run.results[MERGE]
    assert merge.outcome == "ran"
    assert merge.action is not None
    evidence = merge.action.facts["auto"]
    means = {found["recipe"]: found["mean"] for found in evidence["candidates"]}
    assert len(means) == len(FEW)
    assert means[evidence["chosen"]] == max(means.values())
    assert evidence["rows"] == {"de": 4, "en": 4}

    folder = project.parent / ".langmerge/objects" / merge.action.output
    record = json.loads((folder / RECIPE_NAME).read_text())
    assert record["auto"] == evidence
    assert record["recipe"]["method"] == merge.action.facts["recipe"]["method"]
    dev = [
        action.facts["metrics"]["macro_f1"]
        for name, action in run.actions().items()
        if "merged:auto" in name and name.endswith("/dev")
    ]
    assert sum(dev) / len(dev) == pytest.approx(max(means.values()))

    assert run_project(project).results[MERGE].outcome == "reused"
    workspace = open_workspace(project)
    released = release(workspace, assess(workspace), message="", force=False)
    assert released.recipe["chosen"]["classification"] == merge.action.facts["recipe"]
    assert open_ground(open_workspace(project)).current.label == evidence["chosen"]


def test_other_dev_rows_choose_again(project):
    run_project(project)
    data = project.parent / "data/classification/de"
    write_rows(data / "test.jsonl", rows("classification", "de", "test", 5))
    assert run_project(project).results[MERGE].outcome == "reused"
    write_rows(data / "dev.jsonl", rows("classification", "de", "dev", 6))
    again = run_project(project).results[MERGE]
    assert again.outcome == "ran"
    assert "dev.de" in again.decision.reason


@pytest.mark.parametrize(("init", "default"), [("shared", "ties"), ("ancestor", "linear")])
def test_without_dev_rows_it_is_the_default_and_shares_its_result(
    tmp_path, tiny_base_folder, init, default
):
    project = make_project(
        tmp_path / "project", tiny_base_folder, merge="auto", compare=["base"],
        adapter={"r": 4, "init": init},
    )  # fmt: skip
    text = project.read_text().replace(
        "data: data/classification/{language}/{split}.jsonl",
        "data: {train: 'data/classification/{language}/train.jsonl', "
        "test: 'data/classification/{language}/test.jsonl'}",
    )
    project.write_text(text.replace("merge: auto", f"merge: [{default}, auto]"))
    run = run_project(project)
    plain, chosen = run.results[f"merge/classification/{default}/seed0"], run.results[MERGE]
    assert plain.action is not None
    assert chosen.action is not None
    assert chosen.action.key == plain.action.key
    assert chosen.outcome == "reused"


def test_rank_and_seed_hold_for_what_is_chosen(project):
    text = project.read_text().replace("merge: auto", "merge: {method: auto, rank: 1}")
    project.write_text(text)
    action = run_project(project).results[MERGE].action
    assert action is not None
    assert action.facts["recipe"]["rank"] == 1
    text = text.replace("rank: 1", "density: 0.5")
    project.write_text(text)
    with pytest.raises(ProjectError, match="auto chooses 'density' itself"):
        load_project(project)


def test_every_candidate_is_a_recipe(monkeypatch):
    monkeypatch.undo()
    settings = [dict(candidate) for candidate in auto.CANDIDATES]
    keys = {Candidate(candidate).key(("a", "b")) for candidate in settings}
    assert len(keys) == len(settings) > 5
    assert settings[0] == dict(auto.DEFAULT)
    assert dict(auto.ANCESTOR_DEFAULT) in settings
