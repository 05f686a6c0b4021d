"""Garbage collection: what lock, plan and releases reach stays, and a crash leaves nothing half."""

import json
import shutil
from pathlib import Path

import pytest
from projects import make_project, rows, write_rows

from langmerge.canonical import digest_of
from langmerge.cli.run import run_project
from langmerge.engine.holding import held
from langmerge.errors import StorageError
from langmerge.plan import plan
from langmerge.store import Action, Store
from langmerge.upkeep import garbage as garbage_module
from langmerge.upkeep.garbage import Garbage, _reached, collect_garbage, size_of
from langmerge.upkeep.verify import verify
from langmerge.workspace import Workspace, open_workspace

DE_TRAIN = "data/classification/de/train.jsonl"
MERGE = "merge/classification/ties/seed0"


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    """A project whose German was trained, changed and trained again; the old lock beside it."""
    project = make_project(
        tmp_path_factory.mktemp("updated"), tiny_base_folder, compare=["individual", "combined"]
    )
    run_project(project)
    shutil.copy(project.parent / "langmerge.lock", project.parent / "old.lock")
    shutil.copy(project.parent / DE_TRAIN, project.parent / "old.jsonl")
    write_rows(project.parent / DE_TRAIN, rows("classification", "de", "train", 8))
    run_project(project)
    return project


@pytest.fixture
def project(updated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(updated.parent, tmp_path / "project")) / updated.name


def collect(project: Path, *, dry_run: bool = False) -> list[Garbage]:
    return collect_garbage(open_workspace(project), dry_run=dry_run)


def store_of(project: Path) -> Store:
    return Store(project.parent / ".langmerge")


def old_output(project: Path, job: str) -> str:
    output: str = json.loads((project.parent / "old.lock").read_text())["jobs"][job]["output"]
    return output


def stored_bytes(project: Path) -> int:
    """Return the bytes of what jobs made."""
    root = store_of(project).root
    return size_of(root / "objects") + size_of(root / "actions")


def is_consistent(project: Path) -> bool:
    workspace = open_workspace(project)
    return not verify(workspace.store, workspace.lock)


def test_what_an_update_replaced_goes_and_everything_else_stays(project: Path) -> None:
    before = stored_bytes(project)
    adapter = old_output(project, "train/classification/de/seed0")
    listed = collect(project, dry_run=True)
    assert store_of(project).object(adapter)

    removed = collect(project)

    assert removed == listed
    assert before - stored_bytes(project) == sum(item.size for item in removed)
    about = {item.about for item in removed if item.kind == "object"}
    assert {"train de", "merge de, en", "data"} <= about
    assert "train en" not in about
    assert adapter not in {path.name for path in store_of(project).objects()}
    assert is_consistent(project)
    decisions = plan(open_workspace(project).planner())
    assert {decision.action for decision in decisions} == {"reuse", "stale"}
    assert collect(project) == []


def test_a_rollback_not_yet_run_keeps_what_it_will_use(project: Path) -> None:
    shutil.copy(project.parent / "old.jsonl", project.parent / DE_TRAIN)

    collect(project)

    decisions = plan(open_workspace(project).planner())
    assert {decision.action for decision in decisions} == {"reuse"}


def test_the_same_predictions_do_not_keep_an_older_model() -> None:
    old, new, evaluate_old, evaluate_new, same = (letter * 64 for letter in "abcde")
    actions = [
        Action(evaluate_old, {"kind": "evaluate", "adapter": old}, same),
        Action(evaluate_new, {"kind": "evaluate", "adapter": new}, same),
        Action("f" * 64, {"kind": "train"}, new),
        Action("0" * 64, {"kind": "train"}, old),
    ]

    assert _reached(actions, {evaluate_new}) == {evaluate_new, same, new, "f" * 64}


def test_a_release_keeps_its_objects_and_what_made_them(project: Path) -> None:
    release = store_of(project).root / "releases" / "1.json"
    release.parent.mkdir()
    release.write_text(json.dumps({"objects": [old_output(project, MERGE)]}))

    collect(project)

    kept = {path.name for path in store_of(project).objects()}
    assert {old_output(project, MERGE), old_output(project, "train/classification/de/seed0")} < kept
    assert is_consistent(project)


def test_an_unreadable_release_stops_everything(project: Path) -> None:
    release = store_of(project).root / "releases" / "1.json"
    release.parent.mkdir()
    release.write_text('{"objects": ["')

    with pytest.raises(StorageError, match=r"1\.json: not a release's JSON"):
        collect(project)
    assert old_output(project, MERGE) in {path.name for path in store_of(project).objects()}


def wanted_key(workspace: Workspace, job: str) -> str:
    decision = next(d for d in plan(workspace.planner()) if d.job.id == job)
    return digest_of(decision.document)


def test_work_of_a_planned_job_stays(project: Path) -> None:
    store = store_of(project)
    finished = wanted_key(open_workspace(project), "train/classification/de/seed0")
    write_rows(project.parent / DE_TRAIN, rows("classification", "de", "train", 9))
    wanted = wanted_key(open_workspace(project), "train/classification/de/seed0")
    stale = wanted_key(open_workspace(project), "train/classification/combined/seed0")
    for key in (finished, wanted, stale, "f" * 64):
        (store.work(key) / "checkpoint.safetensors").write_text("x")
    (store.work(wanted) / ".checkpoint-1").write_text("half")

    collect(project)

    assert {path.name for path in store.work_folders()} == {wanted, stale}
    assert [path.name for path in store.work(wanted).iterdir()] == ["checkpoint.safetensors"]


def test_leftovers_of_killed_writes_go(project: Path) -> None:
    root = store_of(project).root
    leftovers = [
        root / "objects" / ".incoming-x1" / "file",
        root / "objects" / f".removing-{'a' * 64}" / "file",
        root / "actions" / f".{'a' * 64}.json-x1",
        root / "releases" / ".1.json-x1",
        root / "releases" / ".current-x1",
        root / "releases" / ".1-abcdef01-x1" / "task",
        project.parent / ".langmerge.lock-abcd_123",
        project.parent / ".results.json-abcd_123",
        project.parent / ".released-abcd_123" / "new",
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")

    (project.parent / ".released-notes").write_text("a user's own")

    removed = collect(project)

    assert (project.parent / ".released-notes").exists()
    assert sum(item.kind == "leftover" for item in removed) == len(leftovers)
    assert not any(path.exists() for path in leftovers)
    assert (project.parent / "langmerge.lock").exists()
    assert (project.parent / "results.json").exists()


def test_refused_while_a_run_holds_the_project(project: Path) -> None:
    with held(store_of(project).root), pytest.raises(StorageError, match="is at work on"):
        collect(project)
    assert old_output(project, MERGE) in {path.name for path in store_of(project).objects()}


def test_a_project_that_never_ran_has_none(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder)

    assert collect(project) == []
    assert not (tmp_path / ".langmerge").exists()


@pytest.mark.parametrize("moment", range(1, 12, 2))
def test_stopped_between_two_removals(
    project: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, calls = garbage_module._remove, []

    def stopped(store: Store, item: Garbage) -> None:
        calls.append(item)
        if len(calls) == moment:
            raise KeyboardInterrupt
        remove(store, item)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(garbage_module, "_remove", stopped)
        collect(project)

    assert is_consistent(project)
    collect(project)
    assert is_consistent(project)
    assert collect(project) == []


def test_stopped_inside_a_removal_leaves_no_half_object(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("langmerge.store.shutil.rmtree", stopped)
        collect(project)

    assert is_consistent(project)
    assert [p.name.partition("-")[0] for p in store_of(project).leftovers()] == [".removing"]
    assert "leftover" in {item.kind for item in collect(project)}
    assert store_of(project).leftovers() == []
