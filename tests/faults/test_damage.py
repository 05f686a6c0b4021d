"""Damage to every kind of stored file is found before use: made again, or named with the fix."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.attempts import check_nothing_lost_or_redone, end_state, store_of
from typer.testing import CliRunner

import langmerge.engine.training as training
from langmerge.cli import app
from langmerge.cli.run import run_project
from langmerge.engine import Run
from langmerge.errors import LangmergeError, ProjectError, StorageError
from langmerge.plan.lock import LOCK_FILE, Lock
from langmerge.results import RESULTS_FILE, load_results
from langmerge.selection import select
from langmerge.train.run import AdapterRun
from langmerge.upkeep.bill import read_ledger
from langmerge.upkeep.releases import Releases
from langmerge.upkeep.verify import verify

TRAIN = "train/classification/de/seed0"
MERGE = "merge/generation/ties/seed0"
EVALUATE = "evaluate/classification/individual/de/seed0/test"
DATA = "data/generation/en"


def flip(path: Path) -> None:
    """Change one bit in the middle, where neither size nor times tell."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lose(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize("damage", [flip, truncate, empty, lose])


def ran(run: Run) -> set[str]:
    return {result.decision.job.id for result in run.of("ran")}


def makers(project: Path, digest: str) -> set[str]:
    """Return the jobs whose result is an object: equal answers are one object."""
    jobs = Lock.load(project.parent).jobs
    return {job for job, entry in jobs.items() if entry["output"] == digest}


@DAMAGES
@pytest.mark.parametrize(
    ("job", "name"),
    [
        (DATA, "train.jsonl"),
        (TRAIN, "adapter_model.safetensors"),
        (TRAIN, "adapter_config.json"),
        (MERGE, "adapter_model.safetensors"),
        (EVALUATE, "predictions.jsonl"),
        (EVALUATE, "manifest.json"),
    ],
)
def test_objects(
    undisturbed,
    project: Path,
    job: str,
    name: str,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_project(project)
    digest = Lock.load(project.parent).jobs[job]["output"]
    damage(store_of(project).root / "objects" / digest / name)

    run = run_project(project)

    first = min(makers(project, digest), key=list(run.results).index)
    assert ran(run) == {first}
    told = capsys.readouterr().err.replace("\n", " ")
    assert f"warning: {first}: {store_of(project).root / 'objects' / digest}: {name} " in told
    assert f"set aside as damaged/{digest}; making it again" in told
    assert [path.name for path in (store_of(project).root / "damaged").iterdir()] == [digest]
    assert end_state(project) == undisturbed.state
    assert verify(store_of(project), Lock.load(project.parent)) == []


def test_a_damaged_object_is_not_given_out(project: Path) -> None:
    """Verbs that make nothing refuse it."""
    digest = Lock.load(project.parent).jobs[MERGE]["output"]
    flip(store_of(project).root / "objects" / digest / "adapter_model.safetensors")

    with pytest.raises(ProjectError, match=f"not up to date: {MERGE} has no result"):
        select(project, task="generation", any_language=True)
    with pytest.raises(StorageError, match=r"expected .* run again to rebuild it"):
        store_of(project).object(digest)


@DAMAGES
@pytest.mark.parametrize("job", [DATA, TRAIN])
def test_actions(
    undisturbed,
    project: Path,
    job: str,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = Lock.load(project.parent).jobs[job]["key"]
    path = store_of(project).root / "actions" / f"{key}.json"
    damage(path)

    assert ran(run_project(project)) == {job}

    aside = [] if damage is lose else [path.name]
    assert [p.name for p in store_of(project).root.glob("damaged/*")] == aside
    assert ("not the action that was written" in capsys.readouterr().err) == bool(aside)
    assert end_state(project) == undisturbed.state


def test_every_byte_of_an_action(project: Path) -> None:
    """No changed bit is believed."""
    store = store_of(project)
    path = store.actions()[0]
    whole, action = path.read_bytes(), store.recorded(path.stem)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert store.recorded(path.stem) in (None, action), place
    path.write_bytes(whole)
    assert store.recorded(path.stem) == action


@pytest.mark.parametrize("name", [LOCK_FILE, RESULTS_FILE])
def test_every_byte_of_what_readers_get(project: Path, name: str) -> None:
    """A changed bit gives other content or one line with the fix, never a stack trace."""
    path = project.parent / name
    whole = path.read_bytes()

    def read() -> object:
        if name == LOCK_FILE:
            return Lock.load(project.parent).key_of(TRAIN)
        return load_results(project)

    for place in range(0, len(whole), max(1, len(whole) // 250)):
        for bit in (1, 128):
            changed = bytearray(whole)
            changed[place] ^= bit
            path.write_bytes(changed)
            try:
                read()
            except LangmergeError as error:
                assert str(error).startswith(f"{path}: ")
                assert "\n" not in str(error)


@DAMAGES
def test_the_lock(undisturbed, project: Path, damage: Callable[[Path], None]) -> None:
    path = project.parent / LOCK_FILE
    damage(path)

    try:
        run = run_project(project)
    except ProjectError as error:
        assert "or delete it: finished jobs are found again in the store" in str(error)
        path.unlink()
        run = run_project(project)

    assert ran(run) == set()
    assert end_state(project) == undisturbed.state


@pytest.mark.parametrize("damage", [flip, truncate, empty])
def test_the_ledger(undisturbed, project: Path, damage: Callable[[Path], None]) -> None:
    """Lines that were lost are in the actions, and come back."""
    root = store_of(project).root
    whole = {entry.key: entry for entry in read_ledger(root).entries}
    damage(root / "ledger.jsonl")

    assert ran(run_project(project)) == set()

    check_nothing_lost_or_redone(project, {})
    again = {entry.key: entry for entry in read_ledger(root).entries}
    same = [key for key in whole if again[key] == whole[key]]
    assert again.keys() >= whole.keys()
    assert len(same) >= len(whole) - 1  # a changed figure in a line that can be read is believed
    assert end_state(project) == undisturbed.state


@DAMAGES
@pytest.mark.parametrize("name", [RESULTS_FILE, ".langmerge/verified.jsonl"])
def test_what_is_only_derived(
    undisturbed, project: Path, name: str, damage: Callable[[Path], None]
) -> None:
    run_project(project)
    damage(project.parent / name)

    assert ran(run_project(project)) == set()

    assert end_state(project) == undisturbed.state


@DAMAGES
def test_a_checkpoint(
    undisturbed,
    project: Path,
    damage: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(project)
    entry = Lock.load(project.parent).jobs[TRAIN]
    (store.root / "actions" / f"{entry['key']}.json").unlink()
    store.remove_object(entry["output"])
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def interrupted(run: AdapterRun, *_: object) -> None:
        if run.progress.step == 2:
            raise KeyboardInterrupt
        update(run, *_)

    update = AdapterRun.update
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(AdapterRun, "update", interrupted)
        run_project(project)
    damage(store.work(entry["key"]) / "checkpoint.safetensors")

    run_project(project)

    assert end_state(project) == undisturbed.state


@pytest.mark.parametrize("damage", [flip, truncate, empty])
@pytest.mark.parametrize("kind", ["manifest", "current"])
def test_releases(project: Path, kind: str, damage: Callable[[Path], None]) -> None:
    def verb(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments, "--project", str(project)])
        assert isinstance(done.exception, LangmergeError | SystemExit | None), done.exception
        return done.exit_code, str(done.exception)

    assert verb("release", "-m", "first")[0] == 0
    releases = Releases(store_of(project))
    release = releases.current()
    assert release is not None
    manifest, pointer = releases.folder / f"{release.name}.json", releases.folder / "current"
    whole = manifest.read_bytes()
    damage(manifest if kind == "manifest" else pointer)

    code, error = verb("history")

    assert code != 0
    assert error.startswith(f"{manifest if kind == 'manifest' else pointer}: ")
    if kind == "manifest":
        assert "restore it from a backup, or delete it" in error
        manifest.write_bytes(whole)
    else:
        assert "`langmerge rollback RELEASE` chooses another" in error
        assert verb("rollback", release.name)[0] == 0
    assert verb("history")[0] == 0
    assert releases.current() == release


@pytest.mark.parametrize("years", [-30, 30])
def test_clocks_may_jump(
    undisturbed, project: Path, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files from another time, and a clock at yet another, change nothing."""
    other = time.time() + years * 365 * 86400
    for path in project.parent.rglob("*"):
        os.utime(path, (other, other))
    monkeypatch.setattr(time, "time", lambda: other / 2)

    assert ran(run_project(project)) == set()
    assert end_state(project) == undisturbed.state


def test_whole_objects_are_read_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied store is read at its first use, and never again while it looks the same."""
    read: list[Path] = []
    monkeypatch.setattr(
        "langmerge.store.digest_of_file", lambda path: (read.append(path), digest_of_file(path))[1]
    )
    from langmerge.canonical import digest_of_file

    run_project(project)
    assert len(read) >= len(store_of(project).objects())
    read.clear()
    run_project(project)
    assert read == []


def test_what_is_noted_of_objects_is_readable(project: Path) -> None:
    run_project(project)
    lines = (store_of(project).root / "verified.jsonl").read_text().splitlines()
    noted: set[str] = set()
    for line in filter(None, lines):
        noted |= json.loads(line).keys()
    assert noted == {path.name for path in store_of(project).objects()}
