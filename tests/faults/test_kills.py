"""Killed at random moments and started again, every verb ends as if nothing had happened.

A moment is drawn in one of two ways, half of the time each: uniformly over the duration of an
undisturbed run, and uniformly over its steps from one phase to another, since the phases in which
files are renamed take a thousandth of the time. `LANGMERGE_FAULTS=long` kills more often.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.attempts import (
    Attempt,
    Ended,
    carry_out,
    check_nothing_lost_or_redone,
    end_state,
    finished,
    store_of,
)
from projects import rows, write_rows

from langmerge.plan import plan
from langmerge.upkeep.garbage import collect_garbage, find_garbage
from langmerge.upkeep.releases import Releases
from langmerge.upkeep.verify import verify
from langmerge.workspace import open_workspace

RUN_KILLS = {False: 20, True: 220}
VERB_KILLS = {False: 3, True: 20}


class Killer:
    """Starts verbs and kills them at random moments of an undisturbed one."""

    def __init__(self, seed: int, like: Ended, scratch: Path) -> None:
        self._random, self._like, self._scratch = random.Random(seed), like, scratch
        self.phases: Counter[str] = Counter()

    def attempt(self, arguments: list[str]) -> Ended:
        if self._random.random() < 0.5:
            moment = self._random.uniform(0, self._like.seconds)
            ended = Attempt(arguments, self._scratch).end(kill_after=moment)
        else:
            step = self._random.randint(1, self._like.steps)
            ended = Attempt(arguments, self._scratch, kill_at=step).end()
        assert ended.code in (0, -9), ended.output
        if ended.code != 0:
            self.phases[ended.phase] += 1
        return ended

    @property
    def kills(self) -> int:
        return self.phases.total()


@pytest.mark.timeout(3600)
def test_runs(
    undisturbed,
    new_project: Callable[[Path], Path],
    is_long: bool,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    killer = Killer(0, undisturbed.run, tmp_path)
    projects = resumed = 0
    while killer.kills < RUN_KILLS[is_long]:
        project = new_project(tmp_path / f"project{projects}")
        verb = ["run", "--project", str(project)]
        before: dict[str, bytes] = {}
        ended = killer.attempt(verb)
        while ended.code != 0:
            check_nothing_lost_or_redone(project, before)
            before = finished(project)
            resumed += any(store_of(project).root.glob("work/*/checkpoint.safetensors"))
            is_enough = killer.kills >= RUN_KILLS[is_long]
            ended = carry_out(verb, tmp_path) if is_enough else killer.attempt(verb)
        check_nothing_lost_or_redone(project, before)
        assert end_state(project) == undisturbed.state
        shutil.rmtree(project.parent)
        projects += 1

    write = pytestconfig.get_terminal_writer().line
    write(f"\n{killer.kills} kills of runs over {projects} projects, {resumed} with a checkpoint:")
    for phase, count in killer.phases.most_common():
        write(f"  {count:4d} {phase}")
    write("  results lost: 0, results made twice: 0, end states that differ: 0")
    assert len(killer.phases) >= 5
    assert resumed


@pytest.fixture(scope="module")
def released(undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one release, newer rows, and the run and the release that they led to."""
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(undisturbed.project.parent, folder / "project")
    project = folder / "project" / undisturbed.project.name
    where = ["--project", str(project)]
    assert carry_out(["release", *where], folder).code == 0
    train = project.parent / "data/classification/de/train.jsonl"
    write_rows(train, rows("classification", "de", "train", 8))
    for verb in (["run"], ["release", "--force"]):
        ended = carry_out([*verb, *where], folder)
        assert ended.code == 0, ended.output
    return project


def check_served(project: Path) -> str:
    """Assert that a whole release is served; return its name."""
    workspace = open_workspace(project)
    assert verify(workspace.store, workspace.lock) == []
    for task in workspace.project.tasks:
        assert (project.parent / "released" / task / "adapter_config.json").is_file()
    current = Releases(workspace.store).current()
    assert current is not None
    return current.name


def undo_release(project: Path) -> None:
    """Make the project one whose second release was not made yet."""
    first, second = Releases(store_of(project)).all()
    assert carry_out(["rollback", "--project", str(project)], project.parent).code == 0
    (store_of(project).root / "releases" / f"{second.name}.json").unlink()
    shutil.rmtree(store_of(project).root / "releases" / second.name)
    assert check_served(project) == first.name


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", ["release", "rollback", "gc", "export"])
def test_other_verbs(
    verb: str, released: Path, is_long: bool, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    start = Path(shutil.copytree(released.parent, tmp_path / "start", symlinks=True))
    if verb == "release":
        undo_release(start / released.name)

    def fresh(name: str) -> tuple[Path, list[str]]:
        project = Path(shutil.copytree(start, tmp_path / name, symlinks=True)) / released.name
        options = {
            "release": ["--force"],
            "rollback": ["1"],
            "export": [str(project.parent / "out"), "--task", "classification"],
        }
        return project, [verb, *options.get(verb, []), "--project", str(project)]

    whole, arguments = fresh("whole")
    like = carry_out(arguments, tmp_path)
    assert like.code == 0, like.output
    outcome = _outcome(verb, whole)

    killer = Killer(1, like, tmp_path)
    number = 0
    while killer.kills < VERB_KILLS[is_long]:
        project, arguments = fresh(f"project{number}")
        number += 1
        if killer.attempt(arguments).code != 0:
            check_served(project)
            if not (project.parent / "out").exists():
                again = carry_out(arguments, tmp_path)
                assert again.code == 0, again.output
            collect_garbage(open_workspace(project))
            assert store_of(project).leftovers() == []
            assert not list(project.parent.glob(".released-*"))
        assert _outcome(verb, project) == outcome
        shutil.rmtree(project.parent)
    phases = ", ".join(f"{count} {phase}" for phase, count in killer.phases.most_common())
    pytestconfig.get_terminal_writer().line(f"\n{killer.kills} kills of {verb}: {phases}")


def _outcome(verb: str, project: Path) -> object:
    """Return what a verb has to achieve, by content; a release's name has the time in it."""
    current = check_served(project)
    if verb == "export":
        folder = project.parent / "out"
        return {path.name: path.read_bytes() for path in folder.iterdir()}
    if verb == "gc":
        workspace = open_workspace(project)
        assert {decision.action for decision in plan(workspace.planner())} <= {"reuse", "stale"}
        garbage = [item.path for item in find_garbage(workspace)]
        return garbage, [path.name for path in workspace.store.objects()]
    return current.partition("-")[0]
