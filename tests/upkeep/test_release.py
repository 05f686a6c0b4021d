"""Releases: what one holds, the gate in the way, crashes in between, and the way back."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.adapter import Adapter
from langmerge.cli.run import run_project
from langmerge.errors import GateRefused, ProjectError, StorageError
from langmerge.files import write_atomically
from langmerge.project import load_project
from langmerge.tasks.predictions import PREDICTIONS_FILE, read_predictions, write_predictions
from langmerge.upkeep import release as release_module
from langmerge.upkeep.garbage import collect_garbage
from langmerge.upkeep.release import assess, release, rollback
from langmerge.upkeep.releases import Release, Releases
from langmerge.upkeep.verify import verify
from langmerge.workspace import Workspace, open_workspace

TASK = "classification"
DEV_ROWS = 24


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    project = make_project(
        tmp_path_factory.mktemp("once"), tiny_base_folder, compare=["individual"]
    )
    for language in ("de", "en"):
        path = project.parent / f"data/{TASK}/{language}/dev.jsonl"
        write_rows(path, rows(TASK, language, "dev", DEV_ROWS))
    run_project(project)
    return project


@pytest.fixture
def project(run_once: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(run_once.parent, folder)
    return folder / run_once.name


def remerge(project: Path, density: float) -> None:
    """Make another candidate, which trains nothing."""
    text = project.read_text().partition("\nmerge:")[0]
    project.write_text(f"{text}\nmerge: {{ties: {{method: ties, density: {density}}}}}\n")
    run_project(project)


def let_answer(project: Path, language: str, right: Callable[[int], bool]) -> None:
    """Put made-up answers in the place of the candidate's on dev."""
    workspace = open_workspace(project)
    store = workspace.store
    key = workspace.lock.jobs[f"evaluate/{TASK}/merged:ties/{language}/seed0/dev"]["key"]
    action = store.action(key)
    assert action is not None
    predictions = [
        replace(row, scores=(1.0, 0.0) if (row.answer == 0) == right(number) else (0.0, 1.0))
        for number, row in enumerate(
            read_predictions(store.object(action.output) / PREDICTIONS_FILE)
        )
    ]

    def build(folder: Path) -> None:
        write_predictions(folder / PREDICTIONS_FILE, predictions)

    path = store.root / "actions" / f"{key}.json"
    write_atomically(path, json.dumps({**vars(action), "output": store.put(build)}))


def publish(project: Path, message: str = "", force: bool = False) -> Release:
    workspace = open_workspace(project)
    return release(workspace, assess(workspace), message, force)


def back(project: Path, name: str | None = None) -> Release:
    workspace = open_workspace(project)
    return rollback(workspace.project, workspace.store, name)


def releases(project: Path) -> Releases:
    return Releases(open_workspace(project).store)


def served(project: Path) -> str:
    """Return the name of the release that a server would load."""
    Adapter.load(project.parent / "released" / TASK)
    return str(json.loads((project.parent / "released/.release.json").read_text())["name"])


def test_a_release_holds_all_it_needs(project: Path) -> None:
    made = publish(project, "the first")

    workspace = open_workspace(project)
    assert made.name == f"1-{made.name[2:]}"
    assert (made.number, made.message, made.forced, made.previous) == (1, "the first", False, None)
    assert made.gate.passed
    assert made.recipe["name"] == "ties"
    assert made.base["weights"] == workspace.base.weights_digest
    assert set(made.adapters[TASK]) == set(made.predictions[TASK]) == {"de", "en"}
    assert set(made.scores[TASK]["de"]) == {"dev", "test"}
    assert {made.models[TASK], *made.adapters[TASK].values()} < set(made.objects)
    assert releases(project).all() == [made]
    assert releases(project).current() == made
    assert served(project) == made.name
    folder = project.parent / "released" / TASK
    assert (folder / "adapter_config.json").is_file()
    assert f"release {made.name}" in (folder / "README.md").read_text(encoding="utf-8")
    assert not (workspace.store.object(made.models[TASK]) / "README.md").exists()
    assert verify(workspace.store, workspace.lock) == []


def test_what_is_not_up_to_date_is_not_released(project: Path) -> None:
    path = project.parent / f"data/{TASK}/de/train.jsonl"
    write_rows(path, rows(TASK, "de", "train", 8))

    with pytest.raises(
        ProjectError, match=r"not up to date: .*data/classification/de .*`langmerge run`"
    ):
        assess(open_workspace(project))


def test_what_no_release_needs_holds_none_up(project: Path) -> None:
    project.write_text(project.read_text().replace("- individual", "- base"))

    assert publish(project).number == 1


def test_without_dev_there_is_no_gate(project: Path) -> None:
    text = project.read_text().replace(
        f"data: data/{TASK}/{{language}}/{{split}}.jsonl",
        f"data: {{train: 'data/{TASK}/{{language}}/train.jsonl', "
        f"test: 'data/{TASK}/{{language}}/test.jsonl'}}",
    )
    project.write_text(text)

    with pytest.raises(ProjectError, match="'de' has no dev: or gate: split"):
        assess(open_workspace(project))


def test_a_gate_split_is_what_releases_are_compared_on(project: Path) -> None:
    folder = project.parent / "data" / TASK
    for language in ("de", "en"):
        (folder / language / "dev.jsonl").rename(folder / language / "gate.jsonl")
    splits = ", ".join(
        f"{s}: 'data/{TASK}/{{language}}/{s}.jsonl'" for s in ("train", "gate", "test")
    )
    text = project.read_text()
    project.write_text(
        text.replace(f"data: data/{TASK}/{{language}}/{{split}}.jsonl", f"data: {{{splits}}}")
    )
    run_project(project)

    first = publish(project)
    remerge(project, 0.5)
    found = assess(open_workspace(project))

    assert set(first.scores[TASK]["de"]) == {"gate", "test"}
    assert {compared.split for compared in found.gate.compared} == {"gate"}
    card = (project.parent / "released" / TASK / "README.md").read_text()
    assert "| language | test | gate |" in card


def test_an_update_says_what_changed(project: Path) -> None:
    first = publish(project)
    remerge(project, 0.5)

    found = assess(open_workspace(project))
    assert found.current == first
    assert found.changes == ["changed: recipe.density"]

    path = project.parent / f"data/{TASK}/de/train.jsonl"
    write_rows(path, rows(TASK, "de", "train", 8))
    run_project(project)
    assert f"{TASK}: retrained: de" in assess(open_workspace(project)).changes


def test_the_same_model_is_not_released_twice(project: Path) -> None:
    first = publish(project)

    assert assess(open_workspace(project)).is_released
    assert publish(project, "again") == first
    assert releases(project).all() == [first]


def test_the_gate_refuses_and_is_overruled(project: Path) -> None:
    let_answer(project, "de", lambda _: True)
    first = publish(project)
    remerge(project, 0.5)
    let_answer(project, "de", lambda number: number > 12)

    with pytest.raises(GateRefused, match=r"classification de: worse: -.*--force"):
        publish(project)
    assert releases(project).current() == first
    assert served(project) == first.name

    second = publish(project, "all the same", force=True)
    assert second.forced
    assert not second.gate.passed
    assert second.gate.against == second.previous == first.name
    assert served(project) == second.name


def test_force_is_recorded_only_where_it_was_needed(project: Path) -> None:
    assert not publish(project, force=True).forced


def test_rollback_and_forward_again(project: Path) -> None:
    first = publish(project)
    remerge(project, 0.5)
    second = publish(project)
    link = project.parent / "released" / TASK
    new_bytes = (link / "adapter_model.safetensors").read_bytes()

    assert back(project) == first
    assert served(project) == first.name
    assert (link / "adapter_model.safetensors").read_bytes() != new_bytes
    with pytest.raises(ProjectError, match="is the first"):
        back(project)
    with pytest.raises(ProjectError, match=f"the releases are: {first.name}, {second.name}"):
        back(project, "9")

    assert back(project, "2") == second
    assert (link / "adapter_model.safetensors").read_bytes() == new_bytes
    back(project, first.name)
    remerge(project, 0.25)
    third = publish(project)
    assert (third.number, third.previous) == (3, first.name)


def test_rollback_to_what_is_damaged_moves_nothing(project: Path) -> None:
    first = publish(project)
    remerge(project, 0.5)
    second = publish(project)
    store = open_workspace(project).store
    path = store.object(first.models[TASK]) / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(StorageError, match=f"and release {first.name} needs it"):
        back(project)
    assert releases(project).current() == second
    assert served(project) == second.name


def test_garbage_collection_keeps_releases(project: Path) -> None:
    first = publish(project)
    remerge(project, 0.5)
    publish(project)
    remerge(project, 0.25)
    (project.parent / "langmerge.lock").unlink()

    collect_garbage(open_workspace(project))

    assert back(project, first.name) == first


@pytest.mark.parametrize("killed", ["make_current", "serve"])
def test_killed_in_between(project: Path, monkeypatch: pytest.MonkeyPatch, killed: str) -> None:
    first = publish(project)
    remerge(project, 0.5)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Releases if killed == "make_current" else release_module, killed, die)
        with pytest.raises(KeyboardInterrupt):
            publish(project)

    assert len(releases(project).all()) == 2
    assert served(project) == first.name
    is_current = releases(project).current() == first
    assert is_current == (killed == "make_current")

    again = publish(project)
    assert releases(project).current() == again
    assert again.number == (3 if is_current else 2)
    assert served(project) == again.name


def test_another_release_meanwhile(project: Path) -> None:
    workspace = open_workspace(project)
    found = assess(workspace)
    publish(project)

    with pytest.raises(StorageError, match="changed meanwhile"):
        release(workspace, found, "", False)


def test_where_links_are_refused_copies_are_served(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = publish(project)
    remerge(project, 0.5)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    second = publish(project)
    folder = project.parent / "released"
    assert not folder.is_symlink()
    assert served(project) == second.name
    assert (folder / TASK / "README.md").is_file()
    assert back(project) == linked
    assert served(project) == linked.name
    assert back(project, second.name) == second
    assert served(project) == second.name
    monkeypatch.undo()
    back(project, linked.name)
    assert folder.is_symlink()
    assert not list(project.parent.glob(".released-*"))


def test_a_folder_of_the_users_is_left(project: Path) -> None:
    (project.parent / "released").mkdir()

    with pytest.raises(StorageError, match="not made by langmerge"):
        publish(project)
    assert releases(project).current() is None
    assert releases(project).all() == []


def test_a_project_can_be_moved(project: Path) -> None:
    made = publish(project)
    moved = project.parent.with_name("elsewhere")
    project.parent.rename(moved)

    assert served(moved / project.name) == made.name


def test_damaged_manifests_and_pointers_are_named(project: Path) -> None:
    made = publish(project)
    path = releases(project).folder / f"{made.name}.json"
    whole = path.read_text()
    path.write_text(whole.replace('"message": ""', '"message": "edited"'))
    with pytest.raises(StorageError, match="not the release its name says"):
        releases(project).current()

    path.write_text(whole)
    (releases(project).folder / "current").write_text("4-00000000\n")
    with pytest.raises(StorageError, match="names release '4-00000000', which is not there"):
        assess(open_workspace(project))
    assert back(project, "1") == made
    assert releases(project).current() == made


def test_no_release_yet(project: Path) -> None:
    workspace: Workspace = open_workspace(project)

    assert assess(workspace).current is None
    with pytest.raises(ProjectError, match="no release yet"):
        rollback(workspace.project, workspace.store)


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path / "base", release={"recipe": "tie"})

    with pytest.raises(ProjectError, match=r"release\.recipe: unknown recipe 'tie'.*'ties'"):
        load_project(project)
