"""The paper's projects on rows in the real columns of their data sets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from recipes.samples import write_sample
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.project import HubBase, load_project
from langmerge.recipes import RECIPES
from langmerge.study.config import load_study

STUDY = Path(__file__).parents[2] / "studies" / "paper"
PROJECTS = sorted(path for path in STUDY.glob("*.yaml") if path.stem != "study")
LANGUAGES = ("en", "de", "fr", "ja", "zh")


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def script(name, *arguments):
    command = [sys.executable, str(STUDY / name), *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Samples of the three sets, fetched and cut by the study's own script."""
    pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("paper")
    sources = []
    for name in ("wiki-lingua", "mcsqa", "multilingual-sentiment"):
        sample = write_sample(RECIPES[name], folder / "hub" / name, LANGUAGES)
        sources += ["--source", f"{name}={sample}"]
    script("prepare.py", *sources, "--out", folder)
    return folder


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.stem)
def test_check_and_plan(path, prepared, tiny_chat_base_folder, tmp_path):
    """With a tiny chat model in the base's place; all else is the project's own."""
    content = yaml.safe_load(path.read_text("utf-8"))
    content["base"] = str(tiny_chat_base_folder)
    for folder in ("data", "updates"):
        shutil.copytree(prepared / folder, tmp_path / folder)
    project = tmp_path / path.name
    project.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert "error" not in invoke("check", "--project", project)
    planned = invoke("plan", "--project", project, "--json")
    for job in ("train/sentiment/zh/seed2", "merge/reasoning/knots-0.2/seed0"):
        assert f'"{job}"' in planned
    if path.stem == "llama-3.1-8b":
        rows = (tmp_path / "data/sentiment/en/dev.jsonl").read_text("utf-8")  # the sample has few
        (tmp_path / "updates/sentiment/en/train.jsonl").write_text(rows, encoding="utf-8")
        updated = script("experiments.py", "update", project, "--dry-run")
        assert "train" in updated
        script("experiments.py", "add", project, "--language", "zh", "--dry-run")
        left = load_project(tmp_path / "llama-3.1-8b-add-zh.yaml")
        assert list(left.languages) == ["en", "de", "fr", "ja"]


def test_projects_are_the_papers_and_differ_in_their_base_alone():
    projects = [load_project(path) for path in PROJECTS]
    assert len(projects) == 3
    for project in projects:
        assert isinstance(project.base, HubBase)
        assert (project.adapter.r, project.adapter.lora_alpha) == (64, 64)
        train = project.train
        assert (train.learning_rate, train.num_train_epochs) == (2e-5, 4)
        assert (train.per_device_train_batch_size, train.max_length) == (8, 8192)
        methods = {recipe.method for recipe in project.merge.values()}
        assert methods >= {"ties", "dare_ties", "dare_linear", "knots_ties", "linear"}
    study = load_study(STUDY / "study.yaml")
    assert study.models == {path.stem: load_project(path).base for path in PROJECTS}
    assert study.project_path in PROJECTS
    same = [project.model_dump(exclude={"base"}) for project in projects]
    assert same[0] == same[1] == same[2]
