"""`weights: calibrated` in a project: learned by the merge, recorded, kept, and learned again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import RECIPE_NAME
from langmerge.cli.run import run_project
from langmerge.errors import ProjectError
from langmerge.project import load_project
from langmerge.selection import Models
from langmerge.serve.merges import Choice, Merges
from langmerge.sweep.ground import open_ground
from langmerge.upkeep.card import _recipe_of
from langmerge.upkeep.release import assess, release
from langmerge.workspace import open_workspace

MERGE = "merge/classification/task_arithmetic/seed0"
CALIBRATED = {"method": "task_arithmetic", "weights": "calibrated"}


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(
        tmp_path / "project", tiny_base_folder, merge=dict(CALIBRATED), compare=["base"]
    )


def changed_in(project: Path, old: str, new: str) -> None:
    text = project.read_text()
    assert old in text
    project.write_text(text.replace(old, new))


def test_a_merge_learns_its_weights_and_keeps_them(project):
    run = run_project(project)
    assert not run.of("failed", "skipped")
    merged = run.results[MERGE].action
    evidence = merged.facts["calibrated"]
    weights = evidence["weights"]
    assert weights.keys() == {"de", "en"}
    assert weights["de"] != weights["en"]
    assert min(evidence["losses"]) < evidence["losses"][0]
    assert evidence["rows"] == {"de": 4, "en": 4}
    assert merged.facts["recipe"]["weights"] == weights
    assert merged.ledger["calibration_seconds"] > 0

    store = project.parent / ".langmerge/objects"
    record = json.loads((store / merged.output / RECIPE_NAME).read_text())
    assert record["calibrated"] == evidence
    assert sorted(record["recipe"]["weights"]) == pytest.approx(sorted(weights.values()))

    assert {found.outcome for found in run_project(project).results.values()} == {"reused"}
    workspace = open_workspace(project)
    assert open_ground(workspace).current.settings["weights"] == pytest.approx(weights)
    merges = Merges(workspace.project, Models(workspace))
    recipe = merges.recipe(Choice("task_arithmetic"), "classification")
    assert dict(zip(("de", "en"), recipe.weights or (), strict=True)) == weights
    stored = merges._stored(recipe, "classification")
    assert stored is not None
    assert stored.name == merged.output
    released = release(workspace, assess(workspace), message="", force=False)
    shown = _recipe_of(released, "classification")
    assert shown["weights"] == weights
    assert shown["chosen by"] == "weights: calibrated"

    changed_in(project, "- de\n- en\n", "- en\n- de\n")
    assert run_project(project).results[MERGE].outcome == "reused"
    again = Models(open_workspace(project)).recipe("classification", "task_arithmetic")
    assert dict(zip(("en", "de"), again.weights or (), strict=True)) == weights


def test_other_dev_rows_or_settings_learn_again(project):
    run_project(project)
    data = project.parent / "data/classification/de"
    write_rows(data / "test.jsonl", rows("classification", "de", "test", 5))
    assert run_project(project).results[MERGE].outcome == "reused"
    write_rows(data / "dev.jsonl", rows("classification", "de", "dev", 6))
    again = run_project(project).results[MERGE]
    assert again.outcome == "ran"
    assert "dev.de" in again.decision.reason
    changed_in(project, "weights: calibrated", "weights: calibrated\n  calibration_rows: 3")
    fewer = run_project(project).results[MERGE]
    assert "calibration.rows" in fewer.decision.reason
    assert fewer.action.facts["calibrated"]["rows"] == {"de": 3, "en": 3}
    changed_in(project, "calibration_rows: 3", "calibration_bands: 2")
    bands = run_project(project).results[MERGE]
    assert "calibration.bands" in bands.decision.reason
    recipe = open_ground(open_workspace(project)).current.recipe(("de", "en"))
    assert list(recipe.layer_scales) == bands.action.facts["calibrated"]["layer_scales"]
    assert len(recipe.layer_scales) == 2


def test_it_merges_over_an_ancestor(tmp_path, tiny_base_folder):
    project = make_project(
        tmp_path / "project",
        tiny_base_folder,
        merge=dict(CALIBRATED),
        compare=["base"],
        adapter={"r": 2, "lora_alpha": 4, "init": "ancestor"},
    )
    run = run_project(project)
    assert not run.of("failed", "skipped")
    evidence = run.results[MERGE].action.facts["calibrated"]
    assert min(evidence["losses"]) <= evidence["losses"][0]


def without_dev(project: Path, languages: str) -> None:
    """Take the dev rows of languages away."""
    own = "data: {classification: {train: 'data/classification/{language}/train.jsonl', test: "
    own += "'data/classification/{language}/test.jsonl'}}"
    changed_in(
        project, "languages:\n- de\n- en\n", f"languages: {languages.replace('NONE', own)}\n"
    )


def test_one_language_may_lack_dev_rows_but_not_all(project):
    text = project.read_text()
    without_dev(project, "{de: {}, en: {NONE}}")
    run = run_project(project)
    assert not run.of("failed", "skipped")
    evidence = run.results[MERGE].action.facts["calibrated"]
    assert evidence["rows"] == {"de": 4, "en": 0}
    assert evidence["weights"].keys() == {"de", "en"}

    project.write_text(text)
    without_dev(project, "{de: {NONE}, en: {NONE}}")
    with pytest.raises(
        ProjectError,
        match=r"merge\.task_arithmetic\.weights: calibrated weights are learned on dev, and "
        r"tasks\.classification\.data has none of de, en; add dev:",
    ):
        load_project(project)


def test_recipes_before_their_merge_say_so(project):
    with pytest.raises(ProjectError, match=r"merge\.task_arithmetic\.weights: .*no result"):
        Models(open_workspace(project)).recipe("classification", "task_arithmetic")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("method: linear, weights: calibrated", "only their ratios would count; use method: task_"),
        ("method: ties, weights: calibrated", "ties: calibrated weights are those of a plain"),
        ("method: ta, weights: calibrated, lambda: 0.5", "leave it to the weights"),
        (
            "method: ta, weights: calibrated, layer_scales: [1, 2]",
            "leave it to calibration_bands",
        ),
        ("method: ta, weights: size, calibration_rows: 5", "add weights: calibrated"),
        ("method: ta, calibration_bands: 2", "add weights: calibrated"),
        ("method: ta, weights: calibrated, calibration_rows: 0", "calibration_rows"),
        ("method: auto, calibration_rows: 5", "auto chooses 'calibration_rows' itself"),
    ],
)
def test_mistakes_in_the_project_file(project, settings, expected):
    changed_in(
        project,
        "merge:\n  method: task_arithmetic\n  weights: calibrated\n",
        f"merge: {{m: {{{settings}}}}}\n",
    )
    with pytest.raises(ProjectError, match=r"langmerge\.yaml:\d+: merge\.m") as caught:
        load_project(project)
    assert expected in str(caught.value)
