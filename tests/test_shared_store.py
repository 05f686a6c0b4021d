"""A store at a URL, on a shared folder and on S3: whole or not there, the first writer's stays."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from buckets import new_prefix, s3_server
from projects import make_project

from langmerge.cli.run import run_project
from langmerge.errors import MissingExtraError, ProjectError, StorageError
from langmerge.lease import leased
from langmerge.plan.lock import Lock
from langmerge.project import load_project
from langmerge.remote import Bucket, Remote, check_url, open_remote
from langmerge.shared_store import SharedStore
from langmerge.store import Action
from langmerge.upkeep.releases import Releases
from langmerge.upkeep.verify import verify


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return f"file://{tmp_path / 'shared'}"
    return new_prefix(request.getfixturevalue("bucket"))


@pytest.fixture
def machines(tmp_path: Path, url: str):
    """A function (name) -> the shared store as that machine sees it, with nothing remembered."""
    return lambda name="a": SharedStore(tmp_path / name, url)


def put(store: SharedStore, **files: str) -> str:
    def build(folder: Path) -> None:
        for name, text in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return store.put(build)


def test_what_one_machine_makes_another_has(machines) -> None:
    digest = put(machines("a"), a="x", inner__b="y")
    made = machines("a").record(Action("k", {"kind": "train"}, digest, {"rows": 1}))

    other = machines("b")

    assert other.action("k") == made
    assert (other.object(digest) / "inner" / "b").read_text() == "y"
    assert other.keys() == {"k"}
    assert other.digests() == {digest}
    assert machines("b").objects() == [other.object(digest)]


def test_the_first_result_of_a_key_stays(machines) -> None:
    a, b = machines("a"), machines("b")
    assert a.action("k") is b.action("k") is None  # both have looked, and begin
    first = Action("k", {}, put(a, a="1"))
    second = Action("k", {}, put(b, a="2"))

    assert a.record(first) == first
    assert b.record(second) == first
    assert b.action("k") == first


def test_many_writers_race_and_all_hear_of_one_winner(machines) -> None:
    stores = [machines(f"machine-{n}") for n in range(6)]
    actions = [Action("k", {}, put(store, a=str(n))) for n, store in enumerate(stores)]
    told: list[Action] = []
    start = threading.Barrier(len(stores))

    def write(store: SharedStore, action: Action) -> None:
        start.wait()
        told.append(store.record(action))

    threads = [
        threading.Thread(target=write, args=pair) for pair in zip(stores, actions, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told) == len(stores)
    assert len({action.output for action in told}) == 1
    assert machines("later").action("k") == told[0]


def test_a_killed_upload_leaves_nothing_that_counts(machines, monkeypatch) -> None:
    a = machines("a")
    remote = type(a._remote)
    upload, calls = remote.upload, []

    def killed(self: Remote, source: Path, name: str) -> None:
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        upload(self, source, name)

    monkeypatch.setattr(remote, "upload", killed)
    with pytest.raises(KeyboardInterrupt):
        put(a, a="x", b="y")
    monkeypatch.undo()

    (digest,) = {name.split("/")[1] for name in calls}
    assert machines("b").digests() == set()
    with pytest.raises(StorageError, match="missing"):
        machines("b").object(digest)
    assert put(machines("b"), a="x", b="y") == digest
    assert (machines("c").object(digest) / "b").read_text() == "y"


def test_changed_bytes_are_found_when_fetched_and_made_again(machines) -> None:
    a = machines("a")
    digest = put(a, a="content")
    a.record(Action("k", {}, digest))
    a._remote.write(f"objects/{digest}/a", b"CONTENT")

    assert [p.finding for p in verify(machines("c"), Lock(Path()))] != []
    with pytest.raises(StorageError, match=r"expected 7 bytes.*run again"):
        machines("b").object(digest)
    assert machines("d").action("k") is None

    again = machines("d")
    assert put(again, a="content") == digest
    assert again.record(Action("k", {}, digest)).output == digest
    assert (machines("b").object(digest) / "a").read_text() == "content"


def test_a_damaged_copy_is_fetched_anew(machines) -> None:
    digest = put(machines("a"), a="content")
    b = machines("b")
    (b.object(digest) / "a").write_text("changed")

    assert (machines("b").object(digest) / "a").read_text() == "content"


def test_a_damaged_action_is_written_again(machines) -> None:
    a = machines("a")
    digest = put(a, a="x")
    a.record(Action("k", {}, digest))
    a._remote.write("actions/k.json", b'{"key": "k"}')

    b = machines("b")
    assert b.action("k") is None
    assert b.set_damage_aside("k") is not None
    assert b.record(Action("k", {}, digest)).output == digest
    assert machines("c").action("k") is not None


def test_a_manifest_cannot_lead_out_of_its_object(machines, tmp_path: Path) -> None:
    a = machines("a")
    from langmerge.canonical import digest_of

    manifest = {"../../outside": {"sha256": "0" * 64, "size": 1}}
    digest = digest_of(manifest)
    a._remote.write(f"objects/{digest}/manifest.json", json.dumps(manifest).encode())
    a._remote.write("objects/outside", b"x")

    with pytest.raises(StorageError):
        machines("b").object(digest)
    assert not list(tmp_path.rglob("outside")) or all(
        path.is_relative_to(tmp_path / "shared") for path in tmp_path.rglob("outside")
    )


def test_a_place_that_creates_twice_is_refused(bucket: str, monkeypatch) -> None:
    remote = open_remote(new_prefix(bucket))
    assert isinstance(remote, Bucket)
    pipe = remote._files.pipe_file
    monkeypatch.setattr(remote._files, "pipe_file", lambda path, value, **_: pipe(path, value))

    with pytest.raises(StorageError, match="created twice"):
        remote.create("a", b"")
    assert remote.names("") == []


@pytest.mark.parametrize(
    "url",
    ["s3://key:secret@bucket/x", "s3://bucket/x?token=1", "results", "file://relative/x", "s3://"],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"credentials|URL") as found:
        check_url(url)
    assert "secret" not in str(found.value)


def test_unknown_protocols_and_missing_packages_are_named(monkeypatch) -> None:
    with pytest.raises(ProjectError, match="nowhere"):
        open_remote("nowhere://x/y")

    def missing(*_: object, **__: object) -> None:
        raise ImportError

    monkeypatch.setattr("fsspec.filesystem", missing)
    with pytest.raises(MissingExtraError, match=r"langmerge\[s3\]"):
        open_remote("s3://bucket/other")


def test_an_unreachable_place_is_one_line(monkeypatch) -> None:
    class Broken:
        def cat_file(self, path: str) -> bytes:
            raise PermissionError("Access Denied")

    remote = open_remote("s3://bucket/x")
    remote._files = Broken()  # type: ignore[attr-defined]

    with pytest.raises(StorageError, match="s3://bucket/x: Access Denied; check") as found:
        remote.read("a")
    assert "\n" not in str(found.value)


def test_a_lease_is_held_by_one(machines) -> None:
    remote = machines()._remote
    other = leased(remote, "run.lease")
    with leased(remote, "run.lease"), pytest.raises(StorageError, match=f"process {os.getpid()}"):
        other.__enter__()
    assert remote.read("run.lease") is None


def test_a_dead_holder_of_this_machine_is_replaced_at_once(machines) -> None:
    remote = machines()._remote
    code = (
        "import os, sys\n"
        "from langmerge.lease import leased\n"
        "from langmerge.remote import open_remote\n"
        "held = leased(open_remote(sys.argv[1]), 'run.lease'); held.__enter__(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, remote.url], check=True)
    assert remote.read("run.lease") is not None

    with leased(remote, "run.lease"):
        pass


def test_a_silent_holder_is_replaced_after_a_while(machines, monkeypatch) -> None:
    monkeypatch.setattr("langmerge.lease.STALE_SECONDS", 0.05)
    monkeypatch.setattr("langmerge.lease._WAIT_SECONDS", 0.1)
    remote = machines()._remote
    gone = {"host": "far", "machine": "far", "process": 1, "since": "then", "token": "t", "beat": 3}
    remote.write("run.lease", json.dumps(gone).encode())
    told: list[str] = []

    with leased(remote, "run.lease", told.append):
        assert told == ["process 1 on far (since then)"]


def test_releases_are_seen_by_all_machines(machines) -> None:
    a, b = Releases(machines("a")), Releases(machines("b"))
    made = a.add(_manifest(message="first"))
    a.make_current(made)

    assert b.all() == [made]
    assert b.current() == made
    second = b.add(_manifest(message="second"))
    b.make_current(second)
    assert second.number == 2
    assert a.current() == second


def test_a_run_is_done_for_another_checkout(tmp_path: Path, tiny_base_folder: Path, url) -> None:
    first = make_project(tmp_path / "first", tiny_base_folder, store=url)
    ran = run_project(first)
    second = make_project(tmp_path / "second", tiny_base_folder, store=url)

    again = run_project(second)

    assert {result.outcome for result in again.results.values()} == {"reused"}
    assert {n: a.output for n, a in again.actions().items()} == {
        n: a.output for n, a in ran.actions().items()
    }
    lock = first.parent / "langmerge.lock"
    assert lock.read_text() == (second.parent / "langmerge.lock").read_text()


def test_a_local_store_that_moves_to_a_url_is_shared_by_the_next_run(
    tmp_path: Path, tiny_base_folder: Path
) -> None:
    url = f"file://{tmp_path / 'shared'}"
    project = make_project(tmp_path / "project", tiny_base_folder)
    run_project(project)
    project.write_text(f"{project.read_text()}store: {url}\n")

    assert {r.outcome for r in run_project(project).results.values()} == {"reused"}

    other = make_project(tmp_path / "other", tiny_base_folder, store=url)
    assert {r.outcome for r in run_project(other).results.values()} == {"reused"}


def test_the_project_file_refuses_credentials(tmp_path: Path, tiny_base_folder: Path) -> None:
    project = make_project(tmp_path, tiny_base_folder, store="s3://me:secret@bucket/x")
    with pytest.raises(ProjectError, match="credentials") as found:
        load_project(project)
    assert "secret" not in str(found.value)


def _manifest(**changes):
    from langmerge.upkeep.gate import GateResult

    gate = GateResult(
        against=None, confidence=0.95, max_drop=1.0, on_undecided="warn", passed=True, compared=[]
    )
    fields = {
        "recipe": {}, "seed": 0, "base": {}, "models": {}, "adapters": {}, "predictions": {},
        "scores": {}, "objects": [], "created": "now", "gate": gate,
        "forced": False, "previous": None,
    }  # fmt: skip
    return {**fields, **changes}
