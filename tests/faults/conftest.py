"""The project that the fault tests disturb, and what it is when nothing disturbs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.attempts import Ended, carry_out, end_state, finished
from projects import make_project


@dataclass(frozen=True)
class Undisturbed:
    """A project after a run that nothing disturbed, and that run."""

    project: Path
    run: Ended
    state: dict[str, Any]


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether to disturb as often as the published figures say: LANGMERGE_FAULTS=long."""
    return os.environ.get("LANGMERGE_FAULTS") == "long"


@pytest.fixture(scope="session")
def new_project(tiny_base_folder: Path) -> Callable[[Path], Path]:
    """A function that writes the project into a new folder: two languages, two tasks."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True)
        return make_project(
            folder,
            tiny_base_folder,
            tasks=("classification", "generation"),
            compare=["individual", "combined"],
        )

    return make


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, new_project: Callable[[Path], Path]
) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    project = new_project(folder / "project")
    carry_out(["--version"], folder)  # starts the fork server, which imports everything
    run = carry_out(["run", "--project", str(project)], folder)
    assert run.code == 0, run.output
    assert len(finished(project)) > 20
    return Undisturbed(project, run, end_state(project))


@pytest.fixture
def project(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of the finished project."""
    return copy_of(undisturbed.project, tmp_path)


def copy_of(project: Path, folder: Path) -> Path:
    shutil.copytree(project.parent, folder / "project", symlinks=True)
    return folder / "project" / project.name
