"""The paper's projects on rows in the real columns of their data sets."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from projects import make_project, rows, write_rows
from recipes.samples import write_sample
from typer.testing import CliRunner

from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.plan.keys import CONTINUED
from langmerge.project import HubBase, load_project
from langmerge.recipes import RECIPES
from langmerge.sharing import sharing
from langmerge.study.cells import plan_study
from langmerge.study.config import load_study
from langmerge.upkeep.bill import make_bill, read_ledger
from langmerge.workspace import open_workspace

STUDY = Path(__file__).parents[2] / "studies" / "paper"
MODELS = load_study(STUDY / "study.yaml").models
PROJECTS = [STUDY / name / "langmerge.yaml" for name in MODELS]
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


@pytest.fixture
def experiment(monkeypatch):
    """`experiments.py` in this process: call it with its arguments.

    `.ran` is what it ran, and `.most` after how many of these it is killed.
    """
    spec = importlib.util.spec_from_file_location("experiments", STUDY / "experiments.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["experiments.py", *map(str, arguments)])
        module.main()

    def langmerge(*arguments):
        if len(run.ran) == run.most:
            raise KeyboardInterrupt
        run.ran.append(arguments[0])
        run.output = invoke(*arguments)

    run.ran, run.most = [], None
    monkeypatch.setattr(module, "_langmerge", langmerge)
    return run


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_check_and_plan(path, prepared, tiny_chat_base_folder, tmp_path, experiment):
    """With a tiny chat model in the base's place; all else is the project's own."""
    content = yaml.safe_load(path.read_text("utf-8"))
    content["base"] = str(tiny_chat_base_folder)
    for folder in ("data", "updates"):
        shutil.copytree(prepared / folder, tmp_path / folder)
    project = tmp_path / path.parent.name / path.name
    project.parent.mkdir()
    project.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert "error" not in invoke("check", "--project", project)
    planned = invoke("plan", "--project", project, "--json")
    for job in ("train/sentiment/zh/seed2", "merge/reasoning/knots-0.2/seed0"):
        assert f'"{job}"' in planned
    if path.parent.name == "llama-3.1-8b":
        with pytest.raises(SystemExit, match="no new rows"):
            experiment("update", project, "--dry-run")
        rows = (tmp_path / "data/sentiment/en/dev.jsonl").read_text("utf-8")  # the sample has few
        (tmp_path / "updates/sentiment/en/train.jsonl").write_text(rows, encoding="utf-8")
        experiment("update", project, "--dry-run")
        assert "train/sentiment/en/seed0" in experiment.output
        assert "reasoning" not in experiment.output
        own = tmp_path / "llama-3.1-8b-update-sentiment-en"
        before = (tmp_path / "data/sentiment/en/train.jsonl").read_text("utf-8")
        assert (own / "train.jsonl").read_text("utf-8") == before
        assert (own / ".langmerge").resolve() == project.parent / ".langmerge"
        experiment("add", project, "--language", "zh", "--dry-run")
        left = load_project(tmp_path / "llama-3.1-8b-add-sentiment-zh/langmerge.yaml")
        assert list(left.languages) == ["en", "de", "fr", "ja"]
        assert experiment.ran == ["plan", "plan"]


@pytest.fixture
def tiny(tmp_path, tiny_base_folder):
    """A project laid out as the paper's are: its data beside its folder."""
    made = make_project(
        tmp_path,
        tiny_base_folder,
        languages=("de", "en", "fr"),
        compare=["base", "individual", "combined", "combined-continued"],
    )
    new = tmp_path / "updates/classification/de/train.jsonl"
    write_rows(new, rows("classification", "de", "update", 6))
    path = tmp_path / "tiny/langmerge.yaml"
    path.parent.mkdir()
    path.write_text(made.read_text().replace("data: data/", "data: ../data/"))
    made.unlink()
    return path


def test_an_update_is_the_second_run_of_a_project_and_goes_on_where_it_was(tiny, experiment):
    arguments = ("update", tiny, "--task", "classification", "--language", "de")
    with pytest.raises(SystemExit, match="has no 'xx', but de, en, fr"):
        experiment(*arguments[:4], "--language", "xx")
    run_project(tiny, steps=["train"])
    own = tiny.parent.with_name("tiny-update-classification-de")
    experiment.most = 1
    with pytest.raises(KeyboardInterrupt):
        experiment(*arguments)
    first = open_workspace(own / tiny.name)
    experiment.most = None
    experiment(*arguments)
    assert experiment.ran == ["run", "run", "cost"]

    workspace = open_workspace(own / tiny.name)
    runs = make_bill(read_ledger(workspace.store.root)).runs
    assert [run.kind for run in runs] == ["initial", "initial", "update"]
    assert runs[1].trained == []  # found in the project's store
    (trained,) = runs[2].trained
    assert trained.startswith("classification de: ")
    assert runs[2].saving is not None
    assert runs[2].saving.basis == "measured"
    continued = workspace.lock.key_of("train/classification/combined-continued/seed0")
    start = workspace.store.action(continued).document[CONTINUED]["from"]
    assert start == first.lock.jobs["train/classification/combined/seed0"]["output"]
    assert set(sharing(workspace.store.root)) == {tiny, own / tiny.name}

    experiment(*arguments, "--dry-run")
    assert "Nothing to run" in experiment.output


def test_a_language_is_added_in_a_second_run_with_a_store_of_its_own(tiny, experiment):
    run_project(tiny, steps=["train"])
    experiment("add", tiny, "--task", "classification", "--language", "fr")
    assert experiment.ran == ["run", "run", "cost"]
    store = tiny.parent.with_name("tiny-add-classification-fr") / ".langmerge"
    assert not store.is_symlink()
    first, second = make_bill(read_ledger(store)).runs
    assert (first.kind, second.kind) == ("initial", "update")
    assert len(first.trained) == 2
    (trained,) = second.trained
    assert trained.startswith("classification fr: ")


def test_orthogonality_is_of_trained_adapters_and_from_their_ancestor(tiny, experiment):
    arguments = ("orthogonality", tiny, "--task", "classification")
    with pytest.raises(SystemExit, match="train/classification/de/seed0 is not done yet"):
        experiment(*arguments)
    content = yaml.safe_load(tiny.read_text())
    content["adapter"]["init"] = "ancestor"
    tiny.write_text(yaml.safe_dump(content))
    run_project(tiny, steps=["train"])
    experiment(*arguments)
    assert experiment.ran == ["analyze"]
    assert "cosine" in experiment.output


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
        assert "routed" in project.compare
        assert project.merge["mean-gain"].weights == "gain"
    assert {path.parent.name: load_project(path).base for path in PROJECTS} == MODELS
    study = load_study(STUDY / "study.yaml")
    assert study.project_path in PROJECTS
    same = [project.model_dump(exclude={"base"}) for project in projects]
    assert same[0] == same[1] == same[2]


def test_the_study_is_every_model_start_task_and_seed():
    plan = plan_study(load_study(STUDY / "study.yaml"))
    assert len(plan.cells()) == 3 * 3 * 3 * 3
    compared = {group.variant: plan.project(group, plan.seeds)["compare"] for group in plan.groups}
    assert "ancestor" not in compared["separate"]
    assert set(compared["ancestor"]) == {*compared["paper"], "ancestor"}
