"""The job graph: its jobs, their needs, and their order."""

from pathlib import Path

import pytest
from projects import make_project

from langmerge.plan import job_graph
from langmerge.project import load_project


@pytest.fixture
def project_file(tmp_path: Path) -> Path:
    return make_project(tmp_path, tmp_path / "base")


def test_every_job_comes_after_what_it_needs(project_file: Path) -> None:
    seen: set[str] = set()
    for job in job_graph(load_project(project_file)):
        assert set(job.needs) <= seen, job.id
        assert job.id not in seen
        seen.add(job.id)


def test_what_the_jobs_need(project_file: Path) -> None:
    jobs = {job.id: job for job in job_graph(load_project(project_file))}

    de, en = "train/classification/de/seed0", "train/classification/en/seed0"
    assert jobs[de].needs == ("data/classification/de",)
    assert jobs["merge/classification/ties/seed0"].needs == (de, en)
    assert jobs["train/classification/combined/seed0"].needs == (
        "data/classification/de",
        "data/classification/en",
    )
    assert jobs["evaluate/classification/merged:ties/en/seed0/test"].needs == (
        "data/classification/en",
        "merge/classification/ties/seed0",
    )
    assert jobs["evaluate/classification/adapter:de/en/seed0/dev"].needs == (
        "data/classification/en",
        de,
    )
    best = jobs["evaluate/classification/best-single/en/seed0/test"]
    assert {de, en} < set(best.needs)
    assert sum(need.endswith("/dev") for need in best.needs) == 4


def test_only_what_is_compared_is_made(tmp_path: Path) -> None:
    project = load_project(make_project(tmp_path, tmp_path / "base", compare=["individual"]))

    models = {job.model for job in job_graph(project) if job.kind == "evaluate"}

    assert models == {"individual", "merged:ties"}
    assert not any(job.is_baseline for job in job_graph(project))


def test_the_released_model_alone_is_evaluated_on_dev_for_the_gate(tmp_path: Path) -> None:
    project = load_project(
        make_project(
            tmp_path, tmp_path / "base", compare=["individual"], seeds=[3, 4],
            merge=["ties", "dare_ties"], release={"recipe": "dare_ties"},
        )
    )  # fmt: skip

    on_dev = {job.id: job for job in job_graph(project) if job.split == "dev"}

    assert list(on_dev) == [
        "evaluate/classification/merged:dare_ties/de/seed3/dev",
        "evaluate/classification/merged:dare_ties/en/seed3/dev",
    ]
    assert on_dev["evaluate/classification/merged:dare_ties/en/seed3/dev"].needs == (
        "data/classification/en",
        "merge/classification/dare_ties/seed3",
    )


def test_a_tasks_own_seeds_make_runs_of_that_task_alone(tmp_path: Path) -> None:
    file = make_project(tmp_path, tmp_path / "base", ("classification", "generation"))
    before = {job.id: job for job in job_graph(load_project(file))}
    file.write_text(
        file.read_text().replace("type: generation", "type: generation\n    seeds: [0, 5]")
    )
    after = {job.id: job for job in job_graph(load_project(file))}

    assert {name: after[name] for name in before} == before
    added = [job for name, job in after.items() if name not in before]
    assert {(job.task, job.seed) for job in added} == {("generation", 5)}
    assert "evaluate/generation/combined/en/seed5/test" in after
    assert "evaluate/generation/base/en/seed5/test" not in after


def test_without_dev_nothing_is_evaluated_for_the_gate(tmp_path: Path) -> None:
    file = make_project(tmp_path, tmp_path / "base", compare=["individual"])
    paths = "{train: 'data/{language}/train.jsonl', test: 'data/{language}/test.jsonl'}"
    text = file.read_text().replace("data/classification/{language}/{split}.jsonl", paths)
    file.write_text(text)

    assert all(job.split != "dev" for job in job_graph(load_project(file)))
