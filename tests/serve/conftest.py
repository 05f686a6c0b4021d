"""A finished project with a task of each type, and what answers for it."""

from pathlib import Path

import pytest
from projects import make_project

from langmerge.cli.run import run_project
from langmerge.serve.comparing import Comparer
from langmerge.workspace import open_workspace


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    """A project that was run; read only."""
    project = make_project(
        tmp_path_factory.mktemp("served") / "greetings",
        tiny_base_folder,
        tasks=("classification", "multiple_choice", "generation"),
        compare=["base", "individual", "combined"],
        merge={
            "ties": {"method": "ties", "density": 0.5},
            "mean": {"method": "linear", "weights": {"de": 2.0}},
        },
    )
    run_project(project)
    return project


@pytest.fixture(scope="package")
def comparer(served: Path) -> Comparer:
    return Comparer(open_workspace(served))
