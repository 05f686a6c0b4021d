"""A store at a URL, on a shared folder and on S3: whole or not there, the first writer's stays."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from buckets import new_prefix, s3_server
from projects import make_project

from langmerge.canonical import digest_of
from langmerge.cli.run import run_project
from langmerge.errors import MissingExtraError, ProjectError, StorageError
from langmerge.lease import _is_dead, _machine, leased
from langmerge.plan.lock import Lock
from langmerge.project import load_project
from langmerge.remote import Bucket, Remote, check_url, open_remote
from langmerge.shared_store import SharedStore
from langmerge.store import MANIFEST_FILE, Action, Store, text_of
from langmerge.upkeep.releases import Releases
from langmerge.upkeep.verify import verify

KEY = "5e" * 32


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
    made = machines("a").record(Action(KEY, {"kind": "train"}, digest, {"rows": 1}))

    other = machines("b")

    assert other.action(KEY) == made
    assert (other.object(digest) / "inner" / "b").read_text() == "y"
    assert other.keys() == {KEY}
    assert other.digests() == {digest}
    assert machines("b").objects() == [other.object(digest)]


def test_the_first_result_of_a_key_stays(machines) -> None:
    a, b = machines("a"), machines("b")
    assert a.action(KEY) is b.action(KEY) is None  # both have looked, and begin
    first = Action(KEY, {}, put(a, a="1"))
    second = Action(KEY, {}, put(b, a="2"))

    assert a.record(first) == first
    assert b.record(second) == first
    assert b.action(KEY) == first


def test_many_writers_race_and_all_hear_of_one_winner(machines) -> None:
    stores = [machines(f"machine-{n}") for n in range(6)]
    actions = [Action(KEY, {}, put(store, a=str(n))) for n, store in enumerate(stores)]
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
    assert machines("later").action(KEY) == told[0]


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
    a.record(Action(KEY, {}, digest))
    a._remote.write(f"objects/{digest}/a", b"CONTENT")

    assert [p.finding for p in verify(machines("c"), Lock(Path()))] != []
    with pytest.raises(StorageError, match=r"expected 7 bytes.*run again"):
        machines("b").object(digest)
    assert machines("d").action(KEY) is None

    again = machines("d")
    assert put(again, a="content") == digest
    assert again.record(Action(KEY, {}, digest)).output == digest
    assert (machines("b").object(digest) / "a").read_text() == "content"


def test_a_damaged_copy_is_fetched_anew(machines) -> None:
    digest = put(machines("a"), a="content")
    b = machines("b")
    (b.object(digest) / "a").write_text("changed")

    assert (machines("b").object(digest) / "a").read_text() == "content"


def test_a_damaged_action_is_written_again(machines) -> None:
    a = machines("a")
    digest = put(a, a="x")
    a.record(Action(KEY, {}, digest))
    a._remote.write(f"actions/{KEY}.json", b'{"key": "k"}')

    b = machines("b")
    assert b.action(KEY) is None
    assert b.set_damage_aside(KEY) is not None
    assert b.record(Action(KEY, {}, digest)).output == digest
    assert machines("c").action(KEY) is not None


BAD_NAMES = (
    ["../../outside"],
    ["/outside"],
    ["a/../../outside"],
    ["a\0b"],
    ["a", "a/b"],
    ["a//b"],
    ["manifest.json"],
    ["manifest.json/a"],
    ["x" * 300],
)


@pytest.mark.parametrize("names", BAD_NAMES)
def test_a_manifest_of_impossible_names_is_set_aside_unread(
    machines, tmp_path: Path, monkeypatch, names: list[str]
) -> None:
    manifest = {name: {"sha256": "0" * 64, "size": 1} for name in names}
    _expect_refused(machines, monkeypatch, json.dumps(manifest), digest_of(manifest))
    assert not [path for path in tmp_path.rglob("*outside*") if "shared" not in path.parts]


@pytest.mark.parametrize("content", ["[1]", '{"a": 1}', '{"a": {"size": 1}}', "null"])
def test_a_manifest_that_is_none_is_set_aside_unread(machines, monkeypatch, content: str) -> None:
    _expect_refused(machines, monkeypatch, content, digest_of(json.loads(content)))


def test_nothing_is_fetched_by_a_manifest_of_another_digest(machines, monkeypatch) -> None:
    manifest = json.dumps({"a": {"sha256": "0" * 64, "size": 1}})
    _expect_refused(machines, monkeypatch, manifest, "1" * 64)


def _expect_refused(machines, monkeypatch, manifest: str, digest: str) -> None:
    a = machines("a")
    a._remote.write(f"objects/{digest}/manifest.json", manifest.encode())
    monkeypatch.setattr(type(a._remote), "download", lambda *_: pytest.fail("fetched"))

    assert machines("b").damage(digest) is not None
    with pytest.raises(StorageError, match=r"manifest\.json .*no longer used") as found:
        machines("b").object(digest)
    assert "\n" not in str(found.value)
    assert machines("c").digests() == set()
    assert [path.name for path in (a.root.parent / "b" / "damaged").iterdir()] == [f"{digest}.json"]


def test_an_action_leads_nowhere_but_to_an_object(machines, tmp_path: Path) -> None:
    a = machines("a")
    user = tmp_path / "b" / "data"
    user.mkdir(parents=True)
    (user / "rows").write_text("mine")
    text = text_of(Action(KEY, {}, "../data"))
    a._remote.write(f"actions/{KEY}.json", text.encode())
    a._remote.create("data/manifest.json", b"{}")
    b = machines("b")
    (b.root / "actions").mkdir()
    (b.root / "actions" / f"{KEY}.json").write_text(text)

    assert b.recorded(KEY) is b.action(KEY) is Store(b.root).recorded(KEY) is None
    assert b.set_damage_aside(KEY) is not None
    with pytest.raises(StorageError):
        b.object("../data")
    assert (user / "rows").read_text() == "mine"


def test_only_names_of_the_store_are_taken_from_others(machines, tmp_path: Path, monkeypatch):
    b = machines("b")
    name = f"1-{'0' * 8}.json"
    listed = {
        "releases": ["../../x.json", "/x.json", "a/x.json", "x.json", name],
        "actions": ["../../package.json", f"{KEY}.json", "k.json"],
        "objects": [f"../../data/{MANIFEST_FILE}", f"{KEY}/{MANIFEST_FILE}"],
    }
    monkeypatch.setattr(b._remote, "names", listed.__getitem__)
    monkeypatch.setattr(b._remote, "read", lambda name: b"{}" if name.endswith("json") else None)

    b.sync_releases()

    assert b.keys() == b.digests() == {KEY}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [b.root / "releases" / name]


def test_a_release_gone_since_or_of_other_bytes_is_no_traceback(machines, monkeypatch) -> None:
    b, names = machines("b"), [f"{n}-{'0' * 8}.json" for n in (1, 2)]
    b._remote.write(f"releases/{names[1]}", b"\xff\xfe")
    b._remote.write("releases/current", b"\xff")
    monkeypatch.setattr(b._remote, "names", lambda _: names)  # the first is gone since

    b.sync_releases()

    assert [path.name for path in b.releases()] == [names[1]]
    with pytest.raises(StorageError, match="not the release its name says"):
        Releases(b).all()
    with pytest.raises(StorageError, match="which is not there"):
        Releases(b).current()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0", "", "a//b", "./a", "\ud800"])
def test_names_that_lead_out_of_a_place_are_refused(url: str, tmp_path: Path, name: str) -> None:
    remote = open_remote(url)
    for act in (
        remote.read,
        remote.remove,
        lambda name: remote.write(name, b""),
        lambda name: remote.create(name, b""),
        lambda name: remote.upload(Path(__file__), name),
        lambda name: remote.download(name, tmp_path / "y"),
    ):
        with pytest.raises(StorageError, match="is no name of a file in there"):
            act(name)
    assert not list(tmp_path.rglob("x"))


def test_a_shared_disk_without_hard_links_can_be_created_on(tmp_path: Path, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    remote = open_remote(f"file://{tmp_path}")

    assert remote.create("a/b", b"1")
    assert not remote.create("a/b", b"2")
    assert remote.read("a/b") == b"1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_files_of_a_shared_folder_are_readable_for_others(tmp_path: Path) -> None:
    remote = open_remote(f"file://{tmp_path}")
    remote.write("written", b"")
    remote.create("created", b"")
    remote.upload(Path(__file__), "uploaded")

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    assert len(list(tmp_path.iterdir())) == 3


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


class Slow:
    """A place whose changes take a while on their way."""

    def __init__(self, remote: Remote, seconds: float) -> None:
        self._remote, self._seconds = remote, seconds

    def __getattr__(self, name: str):
        if name in ("remove", "write"):
            time.sleep(self._seconds)
        return getattr(self._remote, name)


@pytest.mark.parametrize("is_stale", [True, False], ids=["silent", "dead"])
def test_of_two_waiters_one_takes_a_lease_over(machines, monkeypatch, is_stale: bool) -> None:
    monkeypatch.setattr("langmerge.lease._WAIT_SECONDS", 0.02)
    if is_stale:
        monkeypatch.setattr("langmerge.lease.STALE_SECONDS", 1.0)
        monkeypatch.setattr("langmerge.lease.BEAT_SECONDS", 0.1)
    else:
        monkeypatch.setattr("langmerge.lease._is_dead", lambda now: b'"gone"' in now)
    gone = {"host": "far", "machine": "x", "process": 1, "since": "then", "token": "gone"}
    remote = machines()._remote
    remote.write("run.lease", json.dumps(gone).encode())
    inside: list[int] = []
    most: list[int] = []

    def work(seconds: float) -> None:
        with leased(Slow(remote, seconds), "run.lease", lambda _: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.5)
            inside.pop()

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.02, 0.2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert most == [1, 1]
    assert remote.names("") == []


def test_a_takeover_that_was_killed_is_taken_over(machines) -> None:
    remote = machines()._remote
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          check=True, capture_output=True).stdout  # fmt: skip
    holder = {"machine": _machine(), "process": int(gone), "host": "h", "since": "s", "token": "t"}
    for name in ("run.lease", "run.lease.takeover"):
        remote.write(name, json.dumps(holder).encode())

    with leased(remote, "run.lease"):
        assert b'"t"' not in (remote.read("run.lease") or b"")
    assert remote.names("") == []


@pytest.mark.parametrize(
    ("error", "is_dead"), [(ProcessLookupError, True), (PermissionError, False), (None, False)]
)
def test_a_process_of_another_user_is_alive_though_it_is_hidden(
    monkeypatch, error: type[OSError] | None, is_dead: bool
) -> None:
    def kill(process: int, signal: int) -> None:
        assert (process, signal) == (999_999_999, 0)
        if error is not None:
            raise error

    monkeypatch.setattr("os.kill", kill)
    holder = {"machine": _machine(), "process": 999_999_999}
    assert _is_dead(json.dumps(holder).encode()) is is_dead
    assert not _is_dead(json.dumps({**holder, "process": -1}).encode())


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
