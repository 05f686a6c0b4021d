"""A disk that is full or for reading only: one line that says so, and nothing half is left."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.attempts import (
    Ended,
    carry_out,
    check_nothing_lost_or_redone,
    end_state,
    finished,
    store_of,
)

_KIB = 1024


class Disk:
    """A small file system in memory, whose size can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
        if shutil.which("mount") is None:
            pytest.skip("no mount program")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"a tmpfs can only be mounted by root: {done.stderr.strip()}")

    def remount(self, options: str) -> None:
        command = ["mount", "-o", f"remount,{options}", str(self.folder)]
        subprocess.run(command, capture_output=True, check=True)

    @property
    def used(self) -> int:
        return sum(path.stat().st_blocks * 512 for path in self.folder.rglob("*"))

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.unmount()


def check_one_line(ended: Ended, place: Path, words: str) -> None:
    """Assert that a verb ended as a user's mistake does, naming place and fix."""
    assert ended.code == 2, ended.output
    assert "Traceback" not in ended.output
    last = ended.last
    assert re.match(rf"error: {re.escape(str(place))}\S*: {words}", last), last


def check_no_half(project: Path) -> None:
    store = store_of(project)
    assert store.leftovers() == []
    assert not list(project.parent.glob(".*-????????"))
    assert not list(store.root.glob("work/*/.*"))


def test_a_disk_that_fills_up_again_and_again(
    undisturbed, disk: Disk, new_project: Callable[[Path], Path], is_long: bool, tmp_path: Path
) -> None:
    project = new_project(disk.folder / "project")
    verb = ["run", "--project", str(project)]
    before: dict[str, bytes] = {}
    failures, size = 0, disk.used
    while True:
        size += (16 if is_long else 128) * _KIB
        disk.remount(f"size={size}")
        ended = carry_out(verb, tmp_path)
        check_nothing_lost_or_redone(project, before)
        check_no_half(project)
        if ended.code == 0:
            break
        check_one_line(ended, disk.folder, "the disk is full; free space and run again")
        before = finished(project)
        failures += 1
    assert failures >= 3
    assert end_state(project) == undisturbed.state


@pytest.mark.parametrize("options", [[], ["--checkpoint"]])
def test_exporting_to_a_full_disk(
    project: Path, disk: Disk, options: list[str], tmp_path: Path
) -> None:
    out = disk.folder / "out"
    verb = ["export", str(out), "--task", "generation", *options, "--project", str(project)]
    disk.remount(f"size={12 * _KIB}")

    check_one_line(carry_out(verb, tmp_path), out, "the disk is full")

    assert list(disk.folder.iterdir()) == []


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_disk_for_reading_only(
    undisturbed,
    disk: Disk,
    new_project: Callable[[Path], Path],
    is_begun: bool,
    tmp_path: Path,
) -> None:
    if is_begun:
        shutil.copytree(undisturbed.project.parent, disk.folder / "project")
        project = disk.folder / "project" / undisturbed.project.name
    else:
        project = new_project(disk.folder / "project")
    where = ["--project", str(project)]
    disk.remount("ro")

    assert carry_out(["plan", *where], tmp_path).code == 0
    for verb in (["run"], ["gc"], ["release"]) if is_begun else (["run"],):
        ended = carry_out([*verb, *where], tmp_path)
        check_one_line(ended, project.parent, "the file system is read-only; choose a writable")
    disk.remount("rw")
    assert carry_out(["run", *where], tmp_path).code == 0
    assert end_state(project) == undisturbed.state
