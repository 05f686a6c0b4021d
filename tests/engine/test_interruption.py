"""A run killed at any moment and started again ends as if nothing had happened."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import make_project

from langmerge.results import RESULTS_FILE

DRIVER = """
import os, signal, sys
from pathlib import Path

import langmerge.engine.training as training
from langmerge.cli.run import run_project
from langmerge.plan.lock import Lock
from langmerge.store import Store
from langmerge.train.run import AdapterRun

moment, project = sys.argv[1], Path(sys.argv[2])
training.CHECKPOINT_SECONDS = 0.0
calls = {"n": 0}

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def kill_at(owner, name, call, before):
    original = getattr(owner, name)
    def wrapper(*args, **kwargs):
        calls["n"] += 1
        if calls["n"] == call and before:
            die()
        result = original(*args, **kwargs)
        if calls["n"] == call:
            die()
        return result
    setattr(owner, name, wrapper)

MOMENTS = {
    "in-training": (AdapterRun, "update", 5, True),
    "in-checkpoint": (AdapterRun, "save", 2, False),
    "object-written-not-published": (Store, "_publish", 4, True),
    "object-published-not-recorded": (Store, "record", 8, True),
    "recorded-not-locked": (Lock, "update", 9, True),
}
if moment in MOMENTS:
    kill_at(*MOMENTS[moment])
run_project(project)
"""


def drive(moment: str, project: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, moment, str(project)],
        cwd=project.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def end_state(project: Path) -> tuple[Any, dict[str, str]]:
    results = json.loads((project.parent / RESULTS_FILE).read_text())
    lock = json.loads((project.parent / "langmerge.lock").read_text())
    return results["scores"], {name: job["output"] for name, job in lock["jobs"].items()}


def finished(project: Path) -> dict[str, str]:
    actions = (project.parent / ".langmerge" / "actions").glob("*.json")
    return {path.name: path.read_text() for path in actions if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path
) -> tuple[Any, dict[str, str]]:
    project = make_project(tmp_path_factory.mktemp("undisturbed"), tiny_base_folder)
    assert drive("never", project) == 0
    return end_state(project)


@pytest.mark.parametrize(
    "moment",
    [
        "in-training",
        "in-checkpoint",
        "object-written-not-published",
        "object-published-not-recorded",
        "recorded-not-locked",
    ],
)
def test_killed_and_started_again(
    moment: str, tmp_path: Path, tiny_base_folder: Path, undisturbed: tuple[Any, dict[str, str]]
) -> None:
    project = make_project(tmp_path / "project", tiny_base_folder)

    assert drive(moment, project) == -9
    before = finished(project)
    assert drive("never", project) == 0

    assert end_state(project) == undisturbed
    after = finished(project)
    assert {name: after[name] for name in before} == before  # with their times: none was redone
    leftovers = [p.name for p in (project.parent / ".langmerge" / "work").glob("*")]
    assert leftovers == []
