"""The Ray engine's driver, with workers in this process: what is tried again, and what is not."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import make_project

from langmerge.base import weights_bytes
from langmerge.cli.run import run_project
from langmerge.engine import Cluster, Run
from langmerge.engine import run as run_plan
from langmerge.engine.attempts import Attempt
from langmerge.engine.ray import TRIES
from langmerge.engine.worker import MARK_FILE, Assignment, Worker
from langmerge.errors import BaseModelError, StorageError, UserError
from langmerge.plan import Job
from langmerge.train.run import AdapterRun
from langmerge.workspace import open_workspace

exceptions = pytest.importorskip("ray.exceptions")


class Here:
    """Stands for the module `ray`: actors are objects, and streams their generators."""

    def __init__(self) -> None:
        self.dies: Callable[[Job], bool] = lambda job: False
        self.dies_after: Callable[[Assignment], bool] = lambda assignment: False
        self.memory: int | None = None
        self.units: list[list[str]] = []
        self.actors = 0
        self.stillborn = False
        self.alive = [_node(CPU=1.0), _node(CPU=1.0)]

    def nodes(self) -> list[dict[str, Any]]:
        if self.memory is not None:
            return [_node(CPU=1.0, GPU=1.0), _node(CPU=1.0)]
        return self.alive

    def put(self, value: Any) -> Any:
        return value

    def kill(self, actor: Any) -> None:
        actor.worker = None

    def remote(self, kind: type[Worker]) -> Any:
        return _Maker(self)

    def wait(self, streams: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return streams[:1], streams[1:]

    def get(self, call: Callable[[], Any]) -> Any:
        return call()


def _node(**resources: float) -> dict[str, Any]:
    return {"Alive": True, "Resources": {"memory": 8e9, **resources}}


class _Maker:
    def __init__(self, ray: Here) -> None:
        self._ray = ray

    def options(self, **_: Any) -> "_Maker":
        return self

    def remote(self, order: Any) -> Any:
        self._ray.actors += 1
        return _Actor(self._ray, Worker(order))


class _Actor:
    def __init__(self, ray: Here, worker: Worker) -> None:
        self._ray, self.worker = ray, worker
        self.start = _Method(lambda: self._start)
        self.do = _Method(self._do)

    def _start(self) -> tuple[int, int]:
        if self._ray.stillborn:
            _die()
        with _as_ray_tells():
            process, memory = self.worker.start()
        return process, self._ray.memory or memory

    def _do(self, assignment: Assignment) -> Iterator[Callable[[], Any]]:
        self._ray.units.append([decision.job.id for decision in assignment.decisions])
        if any(self._ray.dies(decision.job) for decision in assignment.decisions):
            yield _die
            return
        stream = self.worker.do(assignment)
        for told in stream:
            yield lambda told=told: told
            if isinstance(told, Attempt) and self._ray.dies_after(assignment):
                list(stream)  # its thread cannot be killed
                yield _die
                return


class _Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call

    def options(self, **_: Any) -> "_Method":
        return self


def _die() -> None:
    raise exceptions.ActorDiedError


@contextlib.contextmanager
def _as_ray_tells() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise exceptions.RayTaskError("start", "traceback", error) from None


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    ray = Here()
    monkeypatch.setattr(
        "langmerge.engine.ray.connected", lambda cluster: contextlib.nullcontext(ray)
    )
    return ray


@pytest.fixture
def project(tmp_path: Path, tiny_base_folder: Path) -> Path:
    return make_project(tmp_path / "project", tiny_base_folder, compare=["individual"])


def run(project: Path) -> Run:
    return run_plan(open_workspace(project).planner(), cluster=Cluster())


def lines(project: Path, outcome: str) -> list[dict[str, Any]]:
    text = (project.parent / ".langmerge" / "ledger.jsonl").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    return [entry for entry in entries if entry["outcome"] == outcome]


def test_nothing_is_done_twice_and_all_as_the_local_engine_does(
    here: Here, project: Path, tmp_path: Path, tiny_base_folder: Path
) -> None:
    there = run(project)

    other = make_project(tmp_path / "other", tiny_base_folder, compare=["individual"])
    local = run_project(other)
    assert {n: a.output for n, a in there.actions().items()} == {
        n: a.output for n, a in local.actions().items()
    }
    given = [name for unit in here.units for name in unit]
    assert len(given) == len(set(given))
    assert list(there.results) == list(local.results)
    assert {result.outcome for result in run(project).results.values()} == {"reused"}


def test_jobs_that_ask_the_same_are_done_once(
    here: Here, tmp_path: Path, tiny_base_folder: Path
) -> None:
    project = make_project(tmp_path, tiny_base_folder, compare=["individual", "best-single"])

    done = run(project)

    assert len(done.of("ran")) == len({result.action.key for result in done.results.values()})
    assert len(done.of("reused")) == 1  # a language's best single adapter is its own


def test_a_worker_that_dies_once_is_replaced(here: Here, project: Path) -> None:
    dead = []

    def dies(job: Job) -> bool:
        if job.kind == "train" and not dead:
            dead.append(job.id)
            return True
        return False

    here.dies = dies
    done = run(project)

    assert done.of("failed", "skipped") == []
    assert here.actors == 3
    failed = lines(project, "failed")
    assert [entry["job"] for entry in failed] == dead
    assert "worker died" in failed[0]["error"]


def test_the_time_of_a_unit_is_billed_once(
    here: Here, tmp_path: Path, tiny_base_folder: Path
) -> None:
    languages = ["l1", "l2", "l3", "l4", "l5"]
    project = make_project(tmp_path, tiny_base_folder, languages=languages, compare=["individual"])
    here.memory = 10**12
    begun: list[float] = []

    def dies_after(assignment: Assignment) -> bool:
        if len(assignment.decisions) == 5 and not begun:
            begun.append(assignment.run_seconds)
        return len(assignment.decisions) == 5

    here.dies_after = dies_after
    run(project)

    assert len(here.units[0]) == 5  # all languages, in the same steps
    failed = lines(project, "failed")
    assert len(failed) == 4
    died = failed[0]["run_seconds"]
    unfinished = {entry["job"] for entry in failed}
    (told,) = [
        entry
        for entry in lines(project, "finished")
        if entry["kind"] == "train" and entry["job"] not in unfinished
    ]
    billed = told["seconds"] + sum(entry["seconds"] for entry in failed)
    assert billed == pytest.approx(died - begun[0], rel=0.1)


def test_a_job_that_kills_every_worker_fails_and_the_others_go_on(
    here: Here, project: Path
) -> None:
    killer = "train/classification/de/seed0"
    here.dies = lambda job: job.id == killer

    done = run(project)

    assert [result.decision.job.id for result in done.of("failed")] == [killer]
    assert [unit for unit in here.units if killer in unit] == [[killer]] * TRIES
    assert len(lines(project, "failed")) == TRIES
    assert done.results["train/classification/en/seed0"].outcome == "ran"
    assert done.results["evaluate/classification/individual/en/seed0/test"].outcome == "ran"
    assert done.results["merge/classification/ties/seed0"].outcome == "skipped"


def test_a_mistake_is_not_tried_again(
    here: Here, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def diverge(self: AdapterRun, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise UserError("training diverged")
        return update(self, *arguments)

    update = AdapterRun.update
    monkeypatch.setattr(AdapterRun, "update", diverge)

    done = run(project)

    (failed,) = done.of("failed")
    assert failed.problem == "training diverged"
    assert len(lines(project, "failed")) == 1
    assert here.actors == 2
    assert len(done.of("ran")) > 0


def test_a_worker_that_does_not_see_the_store_stops_the_run(
    here: Here, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langmerge.engine.ray.write_atomically", lambda path, text: None)

    with pytest.raises(StorageError, match="not seen by"):
        run(project)
    assert not (project.parent / ".langmerge" / MARK_FILE).exists()


def test_a_worker_with_another_base_stops_the_run(
    here: Here, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = open_workspace(project).planner()
    monkeypatch.setattr("langmerge.base.ResolvedBase.identity", lambda base: {"id": id(base)})

    with pytest.raises(BaseModelError, match="not the bytes"):
        run_plan(planner, cluster=Cluster())


def test_workers_that_never_start_end_the_run(here: Here, project: Path) -> None:
    here.stillborn = True

    with pytest.raises(UserError, match="no worker starts"):
        run(project)


def test_a_base_that_fits_no_device_is_one_line(here: Here, project: Path) -> None:
    here.memory = 1000

    with pytest.raises(UserError, match="largest device"):
        run(project)


def test_a_smaller_dtype_is_advised_where_it_helps(
    here: Here, tmp_path: Path, tiny_base_folder: Path
) -> None:
    train = {"num_train_epochs": 1, "max_length": 64}
    wide = make_project(tmp_path / "wide", tiny_base_folder, train={**train, "dtype": "float32"})
    narrow = make_project(tmp_path / "narrow", tiny_base_folder, train=train)
    base = open_workspace(wide).planner().base
    here.memory = weights_bytes(base, 2) + weights_bytes(base, 1)

    with pytest.raises(UserError, match=r"or train\.dtype: bfloat16"):
        run(wide)
    assert run(narrow).of("failed", "skipped") == []
    here.memory = 1000
    with pytest.raises(UserError, match=r"smaller base$"):
        run(make_project(tmp_path / "again", tiny_base_folder, train=train))


def test_more_memory_than_a_node_has_is_refused(here: Here, project: Path) -> None:
    here.alive = [_node(CPU=1.0), _node(CPU=2.0, memory=32e9), _node(memory=64e9)]

    with pytest.raises(UserError, match=r"--worker-memory 40: .* 32\.0 GB"):
        run_plan(open_workspace(project).planner(), cluster=Cluster(memory=int(40e9)))
    assert here.actors == 0

    run_plan(open_workspace(project).planner(), cluster=Cluster(memory=int(16e9)))
    assert here.actors == 1  # on the one node that has as much


def test_a_node_that_gives_no_cpus_gets_no_worker(here: Here, project: Path) -> None:
    here.alive.append(_node(CPU=0.0))
    run(project)
    assert here.actors == 2

    here.alive = [_node()]
    with pytest.raises(UserError, match="no CPUs"):
        run(project)


def test_a_cancelled_run_writes_down_what_it_was_at(here: Here, project: Path) -> None:
    def interrupted(job: Job) -> bool:
        if job.kind == "train":
            raise KeyboardInterrupt
        return False

    here.dies = interrupted

    with pytest.raises(KeyboardInterrupt):
        run(project)
    assert {entry["job"].split("/")[0] for entry in lines(project, "interrupted")} == {"train"}


def test_options_of_ray_need_its_engine(project: Path) -> None:
    from typer.testing import CliRunner

    from langmerge.cli import app

    result = CliRunner().invoke(app, ["run", "--project", str(project), "--workers", "2"])

    assert isinstance(result.exception, UserError)
    assert "--engine ray" in str(result.exception)
