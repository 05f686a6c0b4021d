"""A real little run to report on: two languages in two scripts, two tasks, hostile rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import LABELS, make_project, rows, write_rows

from langmerge.cli.run import run_project
from langmerge.report import Report, gather
from langmerge.upkeep.release import assess, release
from langmerge.workspace import open_workspace

LANGUAGES = ("de", "ar")
TASKS = ("classification", "generation")
HOSTILE = '</script><script>document.title = "run"</script><img src=x onerror=alert(1)> & "quoted"'
ARABIC = "هذا نص"
MESSAGE = "better <b>German</b> | `rows`"


def _write_test_rows(folder: Path) -> None:
    """Replace the test rows by more and worse ones."""
    for language in LANGUAGES:
        text = HOSTILE if language == "de" else ARABIC
        found = [
            {"id": f"{language}-{n}", "text": f"{text} {n}", "label": LABELS[n % 2]}
            for n in range(8)
        ]
        write_rows(folder / f"data/classification/{language}/test.jsonl", found)
        found = [
            {"id": f"{language}-{n}", "text": f"{text} {n}", "summary": f"{text} {n}"}
            for n in range(4)
        ]
        write_rows(folder / f"data/generation/{language}/test.jsonl", found)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> Path:
    """A project run twice, with two releases; read only."""
    project = make_project(
        tmp_path_factory.mktemp("reported"),
        tiny_base_folder,
        TASKS,
        LANGUAGES,
        compare=["base", "individual", "combined"],
        merge={
            "ties": {"method": "ties", "density": 1.0},
            "half": {"method": "ties", "density": 0.5},
        },
    )
    _write_test_rows(project.parent)
    text = project.read_text(encoding="utf-8")
    several = text.replace("type: classification\n", "type: classification\n    seeds: [0, 1]\n")
    project.write_text(several, encoding="utf-8")
    for message in ("the first", MESSAGE):
        run_project(project)
        workspace = open_workspace(project)
        release(workspace, assess(workspace), message, force=True)
        train = project.parent / "data/classification/de/train.jsonl"
        write_rows(train, rows("classification", "de", "train", 8))
    return project


@pytest.fixture
def project(run_once: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be changed."""
    folder = tmp_path / "project"
    shutil.copytree(run_once.parent, folder, symlinks=True)
    return folder / run_once.name


@pytest.fixture(scope="session")
def report(run_once: Path) -> Report:
    """The report of the untouched run."""
    return gather(run_once)


@pytest.fixture
def edit_results(project: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """A function that changes the content of `results.json`, and returns the project."""
    import json

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        path = project.parent / "results.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")
        return project

    return edit
