"""The Ray engine on a real cluster of three nodes on this machine, against the local engine."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from buckets import new_prefix, s3_server
from projects import make_project

from langmerge.cli.run import run_project
from langmerge.engine import Cluster, Observer, Run
from langmerge.engine import run as run_plan
from langmerge.plan import Decision, Job
from langmerge.store import Store
from langmerge.upkeep.bill import read_ledger
from langmerge.workspace import open_workspace

ray = pytest.importorskip("ray")

_STORE = 80 * 1024 * 1024


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def nodes(bucket: str, tmp_path_factory: pytest.TempPathFactory):
    """A cluster of a head that takes no work, and two nodes with one CPU each."""
    from ray.cluster_utils import Cluster as Nodes

    os.environ["LANGMERGE_WORKER_FOLDER"] = str(tmp_path_factory.mktemp("workers"))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300}
    nodes = Nodes(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": _STORE,
            "include_dashboard": False,
            "_system_config": {**quick, "health_check_failure_threshold": 3},
        },
    )
    for _ in range(2):
        nodes.add_node(num_cpus=1, object_store_memory=_STORE)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()
        del os.environ["LANGMERGE_WORKER_FOLDER"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path) -> dict[str, str]:
    """What the local engine makes of the project, by job id."""
    return outputs(run_project(project_in(tmp_path_factory.mktemp("local"), tiny_base_folder)))


def project_in(folder: Path, base: Path, **sections) -> Path:
    """Write a project whose trainings last long enough to be interrupted."""
    project = make_project(folder, base, compare=["individual", "best-single"], **sections)
    project.write_text(project.read_text().replace("epochs: 1", "epochs: 60"))
    return project


def outputs(run: Run) -> dict[str, str]:
    assert run.of("failed", "skipped") == []
    return {name: action.output for name, action in run.actions().items()}


def run_there(project: Path, observer: Observer | None = None) -> Run:
    return run_plan(open_workspace(project).planner(), observer, cluster=Cluster())


class AtFirstTraining(Observer):
    """Does something once, when a training has told that it goes on."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do, self.done = do, False

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        if job.kind == "train" and not self.done:
            self.done = True
            self._do()


def workers(doing: str = "") -> list[int]:
    """Return the process ids of the Ray workers of langmerge."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_text().startswith(f"ray::Worker{doing}"):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def wait_for(happens: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.1)


def deaths(project: Path) -> list[str]:
    ledger = (project.parent / ".langmerge" / "ledger.jsonl").read_text().splitlines()
    return [line for line in ledger if "worker died" in line]


long = pytest.mark.skipif(
    os.environ.get("LANGMERGE_FAULTS") != "long", reason="minutes; LANGMERGE_FAULTS=long runs it"
)


def test_results_are_those_of_the_local_engine_though_a_worker_is_killed_as_for_its_memory(
    nodes, local, bucket: str, tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = project_in(tmp_path / "project", tiny_base_folder, store=new_prefix(bucket))
    # What the system's out-of-memory killer sends.
    kill = AtFirstTraining(lambda: os.kill(workers(".do")[0], signal.SIGKILL))

    there = run_there(project, kill)

    assert kill.done
    assert len(deaths(project)) >= 1
    assert outputs(there) == local
    wait_for(lambda: not workers(), 10)
    entries = read_ledger(project.parent / ".langmerge").entries
    keys = {action.key for action in there.actions().values()}
    assert sorted(entry.key for entry in entries if entry.is_finished) == sorted(keys)
    here = run_project(project)
    assert {result.outcome for result in here.results.values()} == {"reused"}


def test_a_cancelled_run_leaves_no_worker_and_another_goes_on_when_a_node_dies(
    nodes, local, tmp_path: Path, tiny_base_folder: Path
) -> None:
    shared = f"file://{tmp_path / 'shared'}"
    project = project_in(tmp_path / "project", tiny_base_folder, store=shared)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_there(project, AtFirstTraining(interrupt))
    wait_for(lambda: not workers(), 10)
    lines = (project.parent / ".langmerge" / "ledger.jsonl").read_text().splitlines()
    assert any('"outcome": "interrupted"' in line for line in lines)

    doomed = nodes.list_all_nodes()[1]
    kill = AtFirstTraining(lambda: nodes.remove_node(doomed, allow_graceful=False))
    try:
        assert outputs(run_there(project, kill)) == local
        assert kill.done
    finally:
        nodes.add_node(num_cpus=1, object_store_memory=_STORE)


def test_a_driver_that_was_killed_is_started_again(
    nodes, local, tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = project_in(tmp_path / "project", tiny_base_folder)
    command = [sys.executable, "-c", "from langmerge.cli import main; main()"]
    driver = subprocess.Popen(
        [*command, "run", "--engine", "ray", "--address", nodes.address],
        cwd=project.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    store = Store(project.parent / ".langmerge")

    def finished() -> dict[str, str]:
        return {
            path.name: path.read_text()
            for path in store.actions()
            if (action := store.recorded(path.stem)) and action.document["kind"] != "data"
        }

    try:
        wait_for(finished)
    finally:
        driver.kill()
        driver.wait()
    wait_for(lambda: not workers())
    before = finished()
    assert len(before) < len(local)

    again = run_there(project)

    assert outputs(again) == local
    after = finished()
    assert {name: after[name] for name in before} == before


class KillsNow(Observer):
    """Kills busy workers at random moments, up to four times."""

    def __init__(self, seed: int) -> None:
        self._random, self.kills = random.Random(seed), 0

    def job_started(self, decision: Decision) -> None:
        self._perhaps()

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        self._perhaps()

    def _perhaps(self) -> None:
        if self.kills < 4 and self._random.random() < 0.4 and (busy := workers(".do")):
            os.kill(self._random.choice(busy), signal.SIGKILL)
            self.kills += 1


@long
@pytest.mark.timeout(1800)
def test_killed_again_and_again_a_project_still_ends_as_it_should(
    nodes, local, tmp_path: Path, tiny_base_folder: Path
) -> None:
    kills = runs = 0
    for number in range(2):
        project = project_in(tmp_path / f"project{number}", tiny_base_folder)
        while True:
            observer = KillsNow(seed=runs)
            run = run_there(project, observer)
            kills, runs = kills + observer.kills, runs + 1
            if not run.of("failed", "skipped"):
                break
        assert outputs(run) == local
    sys.stdout.write(f"{kills} workers killed in {runs} runs of 2 projects\n")
    assert kills >= 4


SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do [[ "$1" == --nodelist ]] && shift; shift; done
exec "$@"
"""


@long
@pytest.mark.timeout(600)
def test_the_slurm_script_starts_ray_runs_and_ends(
    local, tmp_path: Path, tiny_base_folder: Path
) -> None:
    """Stand-ins for Slurm's commands start the nodes of an allocation on this machine."""
    project = project_in(tmp_path / "project", tiny_base_folder)
    commands = {"srun": SRUN, "scontrol": "#!/bin/sh\nprintf 'node1\\nnode2\\n'\n"}
    for name, text in commands.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = Path(__file__).parents[2] / "examples" / "slurm" / "run.sbatch"
    places = [str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]]
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "77", "SLURM_GPUS_ON_NODE": "0"}

    done = subprocess.run(
        ["bash", str(script), str(project), "--workers", "2"],
        env={**os.environ, **slurm, "PATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert outputs(run_project(project)) == local
