"""A plan from the cache is the plan without it, whatever happened to store, files and cache."""

import json
import os
from pathlib import Path

import pytest
from pretender import Pretender
from projects import make_project

from langmerge.plan import plan
from langmerge.plan.cache import PlanCache


@pytest.fixture
def project(tmp_path: Path) -> Pretender:
    return Pretender(make_project(tmp_path, tmp_path / "base"))


def cached_plan(project: Pretender) -> dict[str, tuple[str, str]]:
    planner = project.planner()
    planner.cache = PlanCache(planner.store)
    found = {d.job.id: (d.action, d.reason) for d in plan(planner)}
    planner.cache.save()
    return found


def exact_plan(project: Pretender) -> dict[str, tuple[str, str]]:
    return {name: (d.action, d.reason) for name, d in project.plan().items()}


def cache_file(project: Pretender) -> Path:
    return project.project_file.parent / ".langmerge/plan-cache.json"


def test_nothing_is_written_where_there_is_no_store(project: Pretender) -> None:
    assert cached_plan(project) == exact_plan(project)
    assert not (project.project_file.parent / ".langmerge").exists()


def test_all_done_and_then_changed(project: Pretender) -> None:
    project.run()
    for _ in range(2):
        assert {action for action, _ in cached_plan(project).values()} == {"reuse"}
    assert cache_file(project).exists()

    project.change_rows("de", 9)
    assert cached_plan(project) == exact_plan(project)
    project.run()
    assert cached_plan(project) == exact_plan(project)


def test_a_file_changed_in_place_with_its_old_time_is_seen(project: Pretender) -> None:
    project.run()
    cached_plan(project)
    path = project.project_file.parent / "data/classification/de/train.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace("thing 0", "thing X"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert path.stat().st_size == before.st_size
    assert cached_plan(project)["train/classification/de/seed0"][0] == "run"


def test_results_that_are_gone_do_not_count(project: Pretender) -> None:
    project.run()
    cached_plan(project)
    planner = project.planner()
    merge = project.plan()["merge/classification/ties/seed0"].result
    assert merge is not None
    planner.store.remove_object(merge.output)

    assert cached_plan(project)["merge/classification/ties/seed0"][0] == "run"

    (planner.store.root / "actions" / f"{merge.key}.json").unlink()
    assert cached_plan(project) == exact_plan(project)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 9}', '{"version": 1, "results": 3}'])
def test_a_damaged_cache_is_none(project: Pretender, text: str) -> None:
    project.run()
    cached_plan(project)
    cache_file(project).write_text(text)

    assert cached_plan(project) == exact_plan(project)
    assert json.loads(cache_file(project).read_text())["version"] == 1


def test_a_store_for_reading_only_is_planned_all_the_same(
    project: Pretender, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    planner = project.planner()
    planner.cache = PlanCache(planner.store)
    plan(planner)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    planner.cache.save()

    assert not cache_file(project).exists()
