"""Two processes on one project: the second waits and says for whom, or stops at once."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.attempts import Attempt, carry_out, check_nothing_lost_or_redone, end_state

from langmerge.engine.holding import held


@pytest.fixture
def fresh(new_project: Callable[[Path], Path], tmp_path: Path) -> Path:
    return new_project(tmp_path / "project")


def stop_while_it_holds(attempt: Attempt) -> None:
    """Stop a run as it is, once it has done its first job under the lock."""
    attempt.wait_for("training classification de")
    os.kill(attempt.pid, signal.SIGSTOP)


def test_the_second_run_waits_and_does_nothing_again(
    undisturbed, fresh: Path, tmp_path: Path
) -> None:
    verb = ["run", "--project", str(fresh)]
    first = Attempt(verb, tmp_path)
    stop_while_it_holds(first)
    second = Attempt(verb, tmp_path)
    second.wait_for("waiting for it to end")
    os.kill(first.pid, signal.SIGCONT)

    assert (first.end().code, second.end().code) == (0, 0), second.output
    assert re.search(rf"warning: process {first.pid} \(since 20[^)]*\) is at work", second.output)
    check_nothing_lost_or_redone(fresh, {})
    assert end_state(fresh) == undisturbed.state


def test_the_second_goes_on_where_the_first_was_killed(
    undisturbed, fresh: Path, tmp_path: Path
) -> None:
    verb = ["run", "--project", str(fresh)]
    first = Attempt(verb, tmp_path)
    stop_while_it_holds(first)
    second = Attempt(verb, tmp_path)
    second.wait_for("waiting for it to end")
    assert first.end(kill_after=0).code == -9

    assert second.end().code == 0, second.output
    check_nothing_lost_or_redone(fresh, {})
    assert end_state(fresh) == undisturbed.state


@pytest.mark.parametrize("verb", [["run", "--no-wait"], ["gc"], ["verify", "--repair"]])
def test_others_stop_at_once(project: Path, verb: list[str], tmp_path: Path) -> None:
    with held(project.parent / ".langmerge"):
        ended = carry_out([*verb, "--project", str(project)], tmp_path)

    assert ended.code == 2
    last = ended.last
    assert last.startswith(f"error: {project.parent}: process {os.getpid()} (since ")
    assert "Traceback" not in ended.output


def test_what_is_served_can_change_during_a_run(project: Path, tmp_path: Path) -> None:
    with held(project.parent / ".langmerge"):
        released = carry_out(["release", "--project", str(project)], tmp_path)
        again = carry_out(["rollback", "1", "--project", str(project)], tmp_path)

    assert (released.code, again.code) == (0, 0), released.output + again.output


def test_releases_exclude_each_other(project: Path, tmp_path: Path) -> None:
    with held(project.parent / ".langmerge", lock="release"):
        for verb in ("release", "gc"):
            ended = carry_out([verb, "--project", str(project)], tmp_path)
            assert ended.code == 2
            assert "is at work on this project" in ended.last
