"""A common ancestor through releases, garbage collection, verification, a sweep and the report."""

import shutil
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import Adapter
from langmerge.analysis import analyze
from langmerge.cli.run import run_project
from langmerge.errors import ProjectError, UserError
from langmerge.merging import merge
from langmerge.report.content import gather
from langmerge.selection import Models, select
from langmerge.serve.merges import Choice, Merges
from langmerge.sweep.ground import open_ground
from langmerge.upkeep.adoption import adopt
from langmerge.upkeep.garbage import collect_garbage, find_garbage
from langmerge.upkeep.release import assess, release
from langmerge.upkeep.verify import verify
from langmerge.workspace import open_workspace

TASK = "classification"
TRAIN = {"max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 0.01, "max_length": 64}
ANCESTOR = f"train/{TASK}/ancestor/seed0"


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("once"),
        tiny_base_folder,
        adapter={"r": 2, "lora_alpha": 4, "init": "ancestor"},
        train={**TRAIN, "ancestor": {"share": 0.5}},
        compare=["individual", "ancestor"],
        merge={"ties": {"method": "ties", "density": 0.5}},
    )
    run_project(project)
    return project


@pytest.fixture
def project(run_once: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(run_once.parent, folder)
    return folder / run_once.name


def folder_of(project: Path, job: str) -> Path:
    workspace = open_workspace(project)
    return workspace.store.object(workspace.lock.jobs[job]["output"])


def test_a_release_keeps_its_ancestor(project: Path) -> None:
    workspace = open_workspace(project)
    pinned = workspace.lock.jobs[ANCESTOR]["output"]
    first = release(workspace, assess(workspace), "first", force=True)
    assert first.ancestors == {TASK: pinned}
    assert pinned in first.objects
    card = (project.parent / f"released/{TASK}/README.md").read_text()
    assert pinned in card

    write_rows(project.parent / f"data/{TASK}/de/train.jsonl", rows(TASK, "de", "train", 8))
    run_project(project, remake_ancestor=True)
    workspace = open_workspace(project)
    assert workspace.lock.jobs[ANCESTOR]["output"] != pinned
    assert f"{TASK}: starts from another ancestor" in assess(workspace).changes
    collect_garbage(workspace)
    assert verify(workspace.store, workspace.lock) == []
    assert workspace.store.object(pinned).is_dir()


def test_the_pinned_ancestor_of_older_rows_is_no_garbage(project: Path) -> None:
    write_rows(project.parent / f"data/{TASK}/de/train.jsonl", rows(TASK, "de", "train", 8))
    run_project(project)
    workspace = open_workspace(project)
    pinned = workspace.lock.jobs[ANCESTOR]["output"]
    assert pinned not in {item.path.name for item in find_garbage(workspace)}
    collect_garbage(workspace)
    assert verify(workspace.store, workspace.lock) == []
    assert run_project(project).of("ran") == []


def test_it_can_be_asked_by_name(project: Path) -> None:
    selection = select(project, task=TASK, language="de", model="ancestor")
    assert selection.adapter == folder_of(project, ANCESTOR)


def test_the_report_compares_what_was_learned_since(project: Path) -> None:
    report = gather(project)
    folders = {code: folder_of(project, f"train/{TASK}/{code}/seed0") for code in ("de", "en")}
    expected = analyze(folders, ancestor=folder_of(project, ANCESTOR), density=None)
    assert report.vectors[TASK].whole == expected.whole
    assert report.vectors[TASK].whole != analyze(folders, density=None).whole


def test_merges_made_on_demand_have_it(project: Path) -> None:
    workspace = open_workspace(project)
    merges = Merges(workspace.project, Models(workspace))
    recipe = merges.recipe(Choice("ties", density=0.8), TASK)
    made = merges.adapter(recipe, TASK, lambda done, total: None)
    folders = [folder_of(project, f"train/{TASK}/{code}/seed0") for code in ("de", "en")]
    ancestor = folder_of(project, ANCESTOR)
    assert made.digest == merge(folders, "ties", density=0.8, ancestor=ancestor).digest


def test_a_sweep_merges_the_differences(project: Path) -> None:
    ground = open_ground(open_workspace(project))
    ancestor = Adapter.load(folder_of(project, ANCESTOR))
    recipe = ground.current.recipe(list(ground.languages), 0)
    with ground.bench() as bench:
        assert bench.ancestors[TASK].digest == ancestor.digest
        module = ancestor.modules[0]
        before = bench.base.module(module).weight.detach().clone()
        bench.put_on(TASK, recipe)
        change = bench.base.module(module).weight.detach() - before
    merged = Adapter.load(folder_of(project, f"merge/{TASK}/ties/seed0"))
    assert change.numpy() == pytest.approx(merged.factors(module).delta().numpy(), abs=1e-6)


def test_adopting_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"adapter.init is ancestor"):
        adopt(open_workspace(project), "de", tmp_path)


def test_remaking_what_is_not_there_is_refused(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder)
    with pytest.raises(UserError, match=r"--remake-ancestor: .* adapter.init is shared") as found:
        open_workspace(project, remake_ancestor=True)
    assert "\n" not in str(found.value)


def test_weights_by_norm_are_of_the_differences(project: Path) -> None:
    text = project.read_text()
    weighed = text.replace("density: 0.5", "density: 0.5\n    weights: norm")
    assert weighed != text
    project.write_text(weighed)
    run = run_project(project)
    action = run.results[f"merge/{TASK}/ties/seed0"].action
    assert action is not None
    start = Adapter.load(folder_of(project, ANCESTOR))
    de, en = (
        Adapter.load(folder_of(project, f"train/{TASK}/{code}/seed0")) for code in ("de", "en")
    )
    merged = Adapter.load(folder_of(project, f"merge/{TASK}/ties/seed0"))
    assert merged.recipe is not None
    weights = dict(zip(merged.recipe["adapters"], merged.recipe["recipe"]["weights"], strict=True))
    ratio = weights[de.digest] / weights[en.digest]
    assert ratio == pytest.approx(en.distance(start) / de.distance(start), rel=1e-4)
